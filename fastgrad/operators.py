"""Python's operators on the values of the op table, written once for every kind of code that they become.

LLVM values (``fastgrad.emit``) and C expressions (``fastgrad.native.c_values``) differ in how an operation is written
down, not in which operators there are. A class of values gets its operators from here and defines ``_binary(sign, x,
y)`` and ``_compare(sign, other)``; the sign is Python's, and ``>>>`` is the shift to the right that ignores the sign.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ConditionOperators", "FloatOperators", "IntegerOperators", "OperationOperand"]


class OperationOperand:
    """An operation of the table applied to a value runs its ``forward``. Values are not hashable: ``==`` makes code."""

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]
    emitter: Any

    def apply_operation(self, operation: Any, operands: tuple[Any, ...]) -> Any:
        return operation.forward(*[x if isinstance(x, OperationOperand) else self.emitter.float(x) for x in operands])


class _Comparisons:
    """The six comparisons."""

    __slots__ = ()

    def _compare(self, sign: str, other: Any) -> Any:
        raise NotImplementedError

    def __lt__(self, other: Any) -> Any:
        return self._compare("<", other)

    def __le__(self, other: Any) -> Any:
        return self._compare("<=", other)

    def __gt__(self, other: Any) -> Any:
        return self._compare(">", other)

    def __ge__(self, other: Any) -> Any:
        return self._compare(">=", other)

    def __eq__(self, other: Any) -> Any:
        return self._compare("==", other)

    def __ne__(self, other: Any) -> Any:
        return self._compare("!=", other)


class _SumsAndProducts(_Comparisons):
    __slots__ = ()

    def _binary(self, sign: str, x: Any, y: Any) -> Any:
        raise NotImplementedError

    def __add__(self, other: Any) -> Any:
        return self._binary("+", self, other)

    def __radd__(self, other: Any) -> Any:
        return self._binary("+", other, self)

    def __sub__(self, other: Any) -> Any:
        return self._binary("-", self, other)

    def __rsub__(self, other: Any) -> Any:
        return self._binary("-", other, self)

    def __mul__(self, other: Any) -> Any:
        return self._binary("*", self, other)

    def __rmul__(self, other: Any) -> Any:
        return self._binary("*", other, self)


class FloatOperators(_SumsAndProducts):
    """``+ - * /`` and comparisons."""

    __slots__ = ()

    def __truediv__(self, other: Any) -> Any:
        return self._binary("/", self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._binary("/", other, self)


class _Bits:
    __slots__ = ()

    def _binary(self, sign: str, x: Any, y: Any) -> Any:
        raise NotImplementedError

    def __and__(self, other: Any) -> Any:
        return self._binary("&", self, other)

    def __or__(self, other: Any) -> Any:
        return self._binary("|", self, other)

    def __xor__(self, other: Any) -> Any:
        return self._binary("^", self, other)


class IntegerOperators(_Bits, _SumsAndProducts):
    """``+ - *``, bits, shifts and comparisons."""

    __slots__ = ()

    def __lshift__(self, other: Any) -> Any:
        return self._binary("<<", self, other)

    def __rshift__(self, other: Any) -> Any:
        return self._binary(">>", self, other)

    def logical_right_shift(self, other: Any) -> Any:
        return self._binary(">>>", self, other)


class ConditionOperators(_Bits):
    """``& | ^``."""

    __slots__ = ()
