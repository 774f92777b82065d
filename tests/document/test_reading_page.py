"""The examples on the page about reading tapes give what they show."""

from tests.pages import run_examples


def test_the_examples_give_what_they_show() -> None:
    assert run_examples("reading.md") > 20
