"""Python's own: containers of recorded values are ordinary containers."""

from builtins import dict, isinstance, list, tuple  # noqa: UP029 - their names are what is imported

__all__ = ["dict", "isinstance", "list", "tuple"]
