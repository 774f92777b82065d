"""The examples of a page of the documentation, run as doctests."""

import doctest
import re
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"


def run_examples(page: str) -> int:
    """Run the Python examples of ``docs/<page>``, all of which must give what they show; their number."""
    examples = "\n".join(re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL))
    runner = doctest.DocTestRunner()
    runner.run(doctest.DocTestParser().get_doctest(examples, {}, page, str(DOCS / page), 0))
    assert runner.failures == 0
    return runner.tries
