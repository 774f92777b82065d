"""The examples on the page about machine code give what they show."""

from fastgrad.native.source import MAX_OPTIMISED, MAX_OVER_LANES
from fastgrad.native.store import DEFAULT_MB
from fastgrad.native.tier import FIXED, LOOK_AFTER, OPTIMISED, QUICK
from tests.pages import DOCS, run_examples


def test_the_examples_give_what_they_show() -> None:
    assert run_examples("native.md") > 8


def test_the_numbers_are_those_of_the_code() -> None:
    text = " ".join((DOCS / "native.md").read_text().split())
    assert f"After {LOOK_AFTER / 1e6:.0f} ms" in text
    assert f"({FIXED / 1e6:.0f} ms and {OPTIMISED / 1e3:.0f} us an instruction, {QUICK / 1e3:.0f} us in long" in text
    assert f"({DEFAULT_MB})" in text
    assert f"more than {MAX_OPTIMISED:,} instructions" in text
    assert f"those of more than some {MAX_OVER_LANES:,} stay in the VM" in text
