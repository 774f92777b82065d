"""How far training is, on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

__all__ = ["progress_of"]

Report = Callable[[int, Mapping[str, float]], None]


@contextmanager
def progress_of(epochs: int, shown: bool) -> Iterator[Report]:
    """A function that is told each epoch's number and values: a bar of tqdm where that is installed, else lines."""
    if not shown:
        yield lambda epoch, values: None
    elif find_spec("tqdm") is None:
        yield lambda epoch, values: print(f"epoch {epoch + 1}/{epochs}: {_text(values)}", file=sys.stderr)
    else:
        with import_module("tqdm.auto").tqdm(total=epochs, unit="epoch") as bar:

            def report(epoch: int, values: Mapping[str, float]) -> None:
                bar.set_postfix_str(_text(values), refresh=False)
                bar.update()

            yield report


def _text(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
