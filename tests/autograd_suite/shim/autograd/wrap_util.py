"""From an operator on functions of one argument to one on functions of several."""

import functools
from collections.abc import Callable, Sequence
from typing import Any


def unary_to_nary(operator: Callable[..., Any]) -> Callable[..., Any]:
    """``operator(function, x)`` as ``operator(function, argnum)(*args)``; several argnums make ``x`` a tuple."""

    @functools.wraps(operator)
    def of_function(
        function: Callable[..., Any], argnum: int | Sequence[int] = 0, *options: Any, **named: Any
    ) -> Callable[..., Any]:
        def at(*args: Any, **kwargs: Any) -> Any:
            def of_argument(x: Any) -> Any:
                chosen = {argnum: x} if isinstance(argnum, int) else dict(zip(argnum, x, strict=True))
                return function(*(chosen.get(i, arg) for i, arg in enumerate(args)), **kwargs)

            x = args[argnum] if isinstance(argnum, int) else tuple(args[i] for i in argnum)
            return operator(of_argument, x, *options, **named)

        return at

    return of_function
