"""The examples on the pages about composing and editing give what they show."""

import pytest

from tests.pages import run_examples


@pytest.mark.parametrize("page", ["composing.md", "editing.md"])
def test_the_examples_give_what_they_show(page: str) -> None:
    assert run_examples(page) > 5
