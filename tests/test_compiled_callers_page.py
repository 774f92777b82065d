"""The examples on the page about compiled callers give what they show."""

import pytest

from tests.pages import run_examples


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_examples_give_what_they_show() -> None:
    pytest.importorskip("scipy")
    pytest.importorskip("nutpie")
    assert run_examples("compiled_callers.md") > 40
