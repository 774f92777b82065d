"""docs/autograd_suite.md, written from the reasons."""

from itertools import groupby
from pathlib import Path

from tests.autograd_suite.reasons import N_TESTS, REASONS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "autograd_suite.md"
README = ROOT / "README.md"

INTRODUCTION = """# autograd's tests on fastgrad

{passed} of the {total} tests of autograd 1.8.0 pass on fastgrad, through a package of the same name that forwards to
fastgrad, NumPy and SciPy. A test counts as passed only if it takes a derivative. Most compare forward and reverse mode
with finite differences, and the derivatives of the derivatives too. fastgrad's arguments and results are real, so a
complex one is passed as its real and its imaginary part.

`python -m pytest -m autograd` downloads the tests into `.autograd/`, runs them, and fails if a test that is not listed
here fails, if a listed one passes, or if it fails in another way than listed. The list is
`tests/autograd_suite/reasons.py`; `python -m tests.autograd_suite.page` writes this page from it.
"""


def n_passed() -> int:
    return N_TESTS - sum(len(reason.tests) for reason in REASONS)


def page() -> str:
    """The text of the page."""
    parts = [INTRODUCTION.format(passed=n_passed(), total=N_TESTS)]
    for group, reasons in groupby(REASONS, key=lambda reason: reason.group):
        listed = list(reasons)
        parts.append(f"\n## {group}: {sum(len(reason.tests) for reason in listed)}\n\n| why | tests |\n|---|---|\n")
        for reason in listed:
            parts.append(f"| {reason.why} | {', '.join(f'`{test}`' for test in reason.tests)} |\n")
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page())
