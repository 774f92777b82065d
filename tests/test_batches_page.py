"""The examples on the page about batches give what they show."""

import pytest

from tests.pages import run_examples


def test_the_examples_give_what_they_show() -> None:
    pytest.importorskip("dask")
    assert run_examples("batches.md") > 20
