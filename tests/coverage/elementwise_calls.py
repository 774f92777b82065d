"""Sample calls of NumPy's ufuncs and other elementwise functions."""

from __future__ import annotations

from tests.coverage.drawing import FLAG, Call, positive, real, truth, whole

Calls = dict[str, list[Call]]


def of_one(names: str, argument: object = "*", **how: object) -> Calls:
    """Functions of one array."""
    return {name: [Call(f"np.{name}(x)", x=argument, **how)] for name in names.split()}


def of_two(names: str, x: object = "+", y: object = "~x") -> Calls:
    """Functions of two arrays that broadcast."""
    return {name: [Call(f"np.{name}(x, y)", x=x, y=y)] for name in names.split()}


ELEMENTWISE: Calls = {
    # ---- smooth, or smooth but for kinks
    **of_one("abs absolute fabs positive negative square exp exp2 expm1 sin cos tan sinh cosh tanh"),
    **of_one("arctan arcsinh atan asinh cbrt sinc i0 deg2rad rad2deg degrees radians"),
    **of_one("conj conjugate real nan_to_num real_if_close"),
    **of_one("arcsin arccos arctanh asin acos atanh", real("*", -0.95, 0.95)),
    **of_one("log log2 log10 sqrt", positive("*")),
    **of_one("log1p", real("*", -0.8, 3.0)),
    **of_one("arccosh acosh", real("*", 1.1, 3.0)),
    **of_one("reciprocal", positive("*")),
    "add": [
        Call("np.add(x, y)", x="+", y="~x"),
        Call("np.add(x, y, where=y > 0, out=np.zeros(x.shape))", x="+", y="~x"),
        Call("np.add.reduce(x, axis=axis, keepdims=keep)", x="n m", axis=(0, 1, -1, None, (0, 1)), keep=FLAG),
        Call("np.add.accumulate(x, axis=axis)", x="n m", axis=(0, 1)),
        Call("np.add.outer(x, y)", x="*", y="n"),
        Call("np.add.reduceat(x, [0, 2, 1])", x="N"),
        Call("z = x * 1.0; np.add.at(z, [0, 2, 0], y); return z", x="N", y="3"),
        Call("2.5 - x + (+y) + (-x)", x="+", y="~x"),
    ],
    "subtract": [
        Call("np.subtract(x, y)", x="+", y="~x"),
        Call("np.subtract.outer(x, y)", x="*", y="n"),
        Call("np.subtract.reduce(x, axis=0)", x="n m"),
        Call("np.subtract.accumulate(x)", x="n"),
        Call("z = x * 1.0; np.subtract.at(z, [0, 2, 0], y); return z", x="N", y="3"),
    ],
    "multiply": [
        Call("np.multiply(x, y)", x="+", y="~x"),
        Call("z = np.ones(x.shape); np.multiply(x, y, out=z); return z", x="+", y="~x"),
        Call("np.multiply.reduce(x, axis=axis)", x="n m", axis=(0, 1, None)),
        Call("np.multiply.accumulate(x, axis=axis)", x="n m", axis=(0, 1)),
        Call("np.multiply.outer(x, y)", x="*", y="n"),
        Call("np.multiply.reduceat(x, [0, 2])", x="N"),
        Call("z = x * 1.0; np.multiply.at(z, [0, 2, 0], y); return z", x="N", y="3"),
    ],
    **{
        name: [
            Call(f"np.{name}(x, y)", x="+", y=positive("~x")),
            Call(f"np.{name}.outer(x, y)", x="n", y=positive("m")),
            Call(f"np.{name}.reduce(x)", x=positive("n m")),
            Call(f"z = x * 1.0; np.{name}.at(z, [0, 2, 0], y); return z", x="N", y=positive("3")),
        ]
        for name in ("divide", "true_divide")
    },
    **{
        name: [
            Call(f"np.{name}(x, y)", x=positive("+"), y="~x"),
            Call(f"np.{name}(x, n)", x=positive("+"), n=(-2.0, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0)),
            Call(f"np.{name}(x, n)", x="+", n=(0, 1, 2, 3, 4)),
            Call(f"np.{name}(2.5, x)", x="+"),
        ]
        for name in ("power", "pow", "float_power")
    },
    **{
        name: [
            Call(f"np.{name}(x, y)", x="+", y="~x"),
            Call(f"np.{name}.reduce(x, axis=axis)", x="n m", axis=(0, -1, None)),
            Call(f"np.{name}.accumulate(x, axis=axis)", x="n m", axis=(0, 1)),
            Call(f"np.{name}.outer(x, y)", x="n", y="m"),
        ]
        for name in ("maximum", "minimum", "fmax", "fmin", "logaddexp", "logaddexp2")
    },
    **of_two("arctan2 atan2 copysign hypot"),
    **of_two("fmod mod remainder", y=positive("~x")),
    "divmod": [Call("np.divmod(x, y)", x="+", y=positive("~x")), Call("divmod(x, y)", x="+", y=positive("~x"))],
    "modf": [Call("np.modf(x)", x="*")],
    "frexp": [Call("np.frexp(x)", x="*")],
    "ldexp": [Call("np.ldexp(x, k)", x="+", k=whole("~x", -3, 4))],
    "nextafter": [Call("np.nextafter(x, y)", x="+", y="~x")],
    "clip": [
        Call("np.clip(x, -0.7, 1.1)", x="*"),
        Call("np.clip(x, low, high)", x="+", low=real("~x", -1.5, -0.5), high=real("~x", 0.5, 1.5)),
        Call("np.clip(x, None, high)", x="+", high="~x"),
        Call("np.clip(x, min=low)", x="+", low="~x"),
    ],
    "unwrap": [
        Call("np.unwrap(x)", x=real("n m", -9.0, 9.0)),
        Call("np.unwrap(x, axis=axis, period=2.5)", x=real("n m", -9.0, 9.0), axis=(0, 1)),
        Call("np.unwrap(x, discont=2.0, period=2.5)", x=real("N", -9.0, 9.0)),
    ],
    "where": [
        Call("np.where(x > 0.3, x, y)", x="+", y="~x"),
        Call("np.where(mask, x, 0.0)", x="+", mask=truth("~x")),
        Call("np.where(x > 0)", x="n"),
    ],
    "select": [
        Call("np.select([x < -0.4, x > 0.4], [x * x, y], 1.5)", x="+", y="~x"),
        Call("np.select([x < -0.4], [x * x], default=y)", x="+", y="~x"),
    ],
    "choose": [
        Call("np.choose([0, 1, 1], [x, y])", x="3", y="3"),
        Call("np.choose(k, [x, y, x * y], mode=mode)", x="n", y="n", k=whole("n", 0, 3), mode=("wrap", "clip")),
    ],
    "piecewise": [
        Call("np.piecewise(x, [x < 0, x >= 0], [lambda t: t * t, lambda t: 3 * t])", x="n"),
        Call("np.piecewise(x, [x < -0.4, x > 0.4], [1.5, lambda t: np.sin(t), lambda t: -t])", x="n"),
    ],
    "interp": [
        Call("np.interp(x, np.cumsum(p), f)", x=real("m", 0.5, 5.0), p=positive("N"), f="N"),
        Call("np.interp(x, [-1.0, 0.1, 1.0], f, left=left, right=7.0)", x="m", f="3", left=(None, 2.0)),
        Call("np.interp(x, [0.0, 0.4, 1.3], f, period=1.7)", x="m", f="3"),
        Call("np.interp(x, [-1.0, 0.1, 1.0], [3.0, 4.0, -1.0])", x="*"),
    ],
    # ---- steps
    **of_one("ceil floor rint trunc sign signbit spacing isfinite isinf isnan logical_not fix imag"),
    **of_one("iscomplex isreal isneginf isposinf angle"),
    **of_two("equal not_equal less less_equal greater greater_equal logical_and logical_or logical_xor"),
    **of_two("heaviside isclose"),
    **of_two("floor_divide", y=positive("~x")),
    "round": [Call("np.round(x, decimals)", x="*", decimals=(0, 1, -1)), Call("round(x[0], 1)", x="n")],
    "around": [Call("np.around(x, decimals)", x="*", decimals=(0, 1))],
    # ---- on whole numbers, which recorded values give
    **{
        name: [Call(f"np.{name}(np.argsort(x), y)", x="n", y=whole("n"))]
        for name in [
            "bitwise_and",
            "bitwise_or",
            "bitwise_xor",
            "left_shift",
            "right_shift",
            "bitwise_left_shift",
            "bitwise_right_shift",
            "gcd",
            "lcm",
        ]
    },
    **{
        name: [Call(f"np.{name}(np.argsort(x))", x="n")]
        for name in ("bitwise_count", "bitwise_invert", "bitwise_not", "invert")
    },
}
