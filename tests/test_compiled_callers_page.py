"""The examples on the page about compiled callers give what they show."""

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parent.parent / "docs" / "compiled_callers.md"


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_the_examples_give_what_they_show() -> None:
    pytest.importorskip("scipy")
    pytest.importorskip("nutpie")
    examples = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL))
    test = doctest.DocTestParser().get_doctest(examples, {}, PAGE.name, str(PAGE), 0)
    runner = doctest.DocTestRunner()
    runner.run(test)
    assert runner.tries > 40
    assert runner.failures == 0
