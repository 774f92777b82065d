"""The oldest of autograd's checks."""

from collections.abc import Callable, Sequence
from typing import Any

from autograd.test_util import check_grads


def quick_grad_check(function: Callable[..., Any], x: Any, more: Sequence[Any] = ()) -> None:
    check_grads(function)(x, *more)
