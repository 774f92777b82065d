"""The examples on the page about drawings give what they show."""

from tests.pages import run_examples


def test_the_examples_give_what_they_show() -> None:
    assert run_examples("drawing.md") > 4
