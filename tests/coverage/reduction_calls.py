"""Sample calls of NumPy's reductions, statistics, sorting, searching and sets."""

from __future__ import annotations

from tests.coverage.drawing import FLAG, Array, Call, axes_of, axis_of, positive, real, truth, whole, with_holes
from tests.coverage.elementwise_calls import Calls


def over_axes(name: str, x: Array, *more: Call) -> list[Call]:
    """A reduction over any axes."""
    return [
        Call(f"np.{name}(x)", x=x),
        Call(f"np.{name}(x, axis=axis, keepdims=keep)", x=x, axis=axes_of(), keep=FLAG),
        *more,
    ]


def along_axis(name: str, x: Array, *more: Call) -> list[Call]:
    """A function that acts along one axis."""
    return [Call(f"np.{name}(x)", x=x), Call(f"np.{name}(x, axis=axis)", x=x, axis=axis_of()), *more]


def quantiles(name: str, x: Array, scale: int) -> list[Call]:
    methods = ("inverted_cdf", "averaged_inverted_cdf", "hazen", "weibull", "median_unbiased", "lower", "higher",
               "midpoint", "nearest")  # fmt: skip
    return [
        Call(
            f"np.{name}(x, q, axis=axis, keepdims=keep)", x=x, q=(0.3 * scale, 0.9 * scale), axis=axes_of(), keep=FLAG
        ),
        Call(f"np.{name}(x, [{0.1 * scale:g}, {0.65 * scale:g}], axis=axis)", x=x, axis=axis_of()),
        Call(f"np.{name}(x, {0.37 * scale:g}, method=method)", x=x, method=methods),
    ]


SOME = real("+")
HOLES = with_holes("+")
SORTS = ("quicksort", "stable")

REDUCTIONS: Calls = {
    "sum": over_axes(
        "sum",
        SOME,
        Call("np.sum(x)", x="*"),
        Call("np.sum(x, axis=0, where=mask, initial=start)", x="n m", mask=truth("~x"), start=(0.0, 1.5)),
        Call("np.sum(x, dtype=float, out=np.zeros(()))", x="n"),
        Call("sum(x)", x="n m"),
    ),
    "prod": over_axes(
        "prod",
        SOME,
        Call("np.prod(x, axis=0, where=mask, initial=1.5)", x="n m", mask=truth("~x")),
        Call("np.prod(x * (x > 0), axis=0)", x="3 m"),
    ),
    "mean": over_axes("mean", SOME, Call("np.mean(x, axis=0, where=x > -1.9)", x="4 m")),
    **{
        name: over_axes(
            name,
            real("3 +"),
            Call(f"np.{name}(x, axis=0, ddof=ddof)", x="3 n", ddof=(0, 1, 0.5)),
            Call(f"np.{name}(x, correction=1)", x="3 n"),
            Call(f"np.{name}(x, axis=0, mean=np.mean(x, axis=0, keepdims=True))", x="3 n"),
            Call(f"np.{name}(x, where=mask)", x="7", mask=truth("7")),
        )
        for name in ("var", "std")
    },
    **{
        name: over_axes(
            name,
            SOME,
            Call(f"np.{name}(x, axis=0, initial={start}, where=mask)", x="n m", mask=truth("~x")),
            Call(f"{name if len(name) == 3 else 'np.' + name}(x)", x="n"),
        )
        for name, start in (("max", -9.0), ("amax", -9.0), ("min", 9.0), ("amin", 9.0))
    },
    "ptp": over_axes("ptp", SOME),
    "average": [
        Call("np.average(x, axis=axis, keepdims=keep)", x="+", axis=axes_of(), keep=FLAG),
        Call("np.average(x, weights=w)", x="n m", w=positive("n m")),
        Call("np.average(x, axis=axis, weights=w, returned=True)", x="n n", w=positive("n"), axis=(0, 1, -1)),
    ],
    "median": over_axes("median", SOME),
    "nanmedian": over_axes("nanmedian", HOLES),
    "percentile": quantiles("percentile", SOME, 100),
    "quantile": [
        *quantiles("quantile", SOME, 1),
        Call("np.quantile(x, 0.4, method='inverted_cdf', weights=[1.0, 2.0, 3.0, 0.5])", x="4"),
        Call("np.quantile(x, q)", x="N", q=real("2", 0.1, 0.9)),
    ],
    "nanpercentile": quantiles("nanpercentile", HOLES, 100)[:2],
    "nanquantile": quantiles("nanquantile", HOLES, 1)[:2],
    **{name: over_axes(name, HOLES) for name in ("nansum", "nanprod", "nanmean", "nanvar", "nanstd")},
    **{name: over_axes(name, with_holes("3 +")) for name in ("nanmax", "nanmin")},
    **{name: along_axis(name, SOME) for name in ("cumsum", "cumprod")},
    **{name: along_axis(name, HOLES) for name in ("nancumsum", "nancumprod")},
    **{
        name: [
            Call(f"np.{name}(x, axis=axis)", x=SOME, axis=axis_of()),
            Call(f"np.{name}(x, include_initial=True)", x="n"),
        ]
        for name in ("cumulative_sum", "cumulative_prod")
    },
    "diff": [
        Call("np.diff(x, n=n, axis=axis)", x=SOME, n=(1, 2, 0), axis=axis_of()),
        Call("np.diff(x, prepend=1.5, append=y)", x="m n", y="m 2"),
    ],
    "ediff1d": [Call("np.ediff1d(x)", x=SOME), Call("np.ediff1d(x, to_begin=1.0, to_end=[2.0, y])", x="n", y="")],
    "gradient": [
        Call("np.gradient(x)", x="N"),
        Call("np.gradient(x, 0.5, axis=axis, edge_order=order)", x="N N", axis=(0, 1, -1), order=(1, 2)),
        Call("np.gradient(x, np.cumsum(t), axis=0)", x="N m", t=positive("N")),
        Call("np.gradient(x, d, 2.0)", x="N N", d=positive("")),
    ],
    "trapezoid": [
        Call("np.trapezoid(y, dx=dx, axis=axis)", y="+", dx=(1.0, 0.3), axis=axis_of("y")),
        Call("np.trapezoid(y, x)", y="m n", x="n"),
    ],
    "cov": [
        Call("np.cov(x)", x="n N"),
        Call("np.cov(x, y, rowvar=False, ddof=ddof)", x="N n", y="N 2", ddof=(0, 1)),
        Call("np.cov(x, bias=True, fweights=[1, 2, 1, 3])", x="2 4"),
        Call("np.cov(x, aweights=w)", x="2 4", w=positive("4")),
    ],
    "corrcoef": [Call("np.corrcoef(x)", x="n N"), Call("np.corrcoef(x, y, rowvar=False)", x="N 2", y="N 1")],
    "logspace": [
        Call("np.logspace(x, y, 4)", x="", y=""),
        Call("np.logspace(x, y, 3, base=b)", x="n", y="n", b=(2.0, 3.5)),
    ],
    "geomspace": [Call("np.geomspace(x, y, 5)", x=positive(""), y=positive(""))],
    "linspace": [
        Call("np.linspace(x, y, 5, endpoint=end)", x="*", y="", end=FLAG),
        Call("np.linspace(x, y, 4, retstep=True, axis=-1)", x="n", y="n"),
    ],
    # ---- order
    "sort": along_axis(
        "sort",
        SOME,
        Call("np.sort(x, axis=None, kind=kind)", x="n m", kind=SORTS),
        Call("np.sort(x, stable=True)", x="n m"),
        Call("sorted(x)", x="n"),
    ),
    "partition": [Call("np.partition(x, k, axis=axis)", x="3 3", k=(0, 1, -1, [0, 2]), axis=(0, 1, None))],
    "sort_complex": [Call("np.sort_complex(x).real", x="n")],
    "unique": [
        Call("np.unique(x)", x="+"),
        Call("np.unique(x, return_index=True, return_inverse=True, return_counts=True)", x="n m"),
        Call("np.unique(x, axis=axis)", x="3 2", axis=(0, 1)),
    ],
    **{
        name: [Call(f"np.{name}(x)", x="n m")]
        for name in ("unique_all", "unique_counts", "unique_inverse", "unique_values")
    },
    "union1d": [Call("np.union1d(x, y)", x="n", y="m")],
    "setdiff1d": [Call("np.setdiff1d(x, np.concatenate([y, x[:1]]))", x="N", y="m")],
    "setxor1d": [Call("np.setxor1d(x, np.concatenate([y, x[:1]]))", x="N", y="m")],
    "intersect1d": [
        Call("np.intersect1d(x, np.concatenate([y, x[1:]]))", x="N", y="m"),
        Call("np.intersect1d(x, x[::-1], return_indices=True)", x="n"),
    ],
    # ---- values that do not vary
    **{
        name: [
            Call(f"np.{name}(x)", x=SOME),
            Call(f"np.{name}(x, axis=axis, keepdims=keep)", x=SOME, axis=axis_of(), keep=FLAG),
        ]
        for name in ("argmax", "argmin")
    },
    **{name: along_axis(name, with_holes("3 +"))[:1] for name in ("nanargmax", "nanargmin")},
    "argsort": [*along_axis("argsort", SOME), Call("np.argsort(x, axis=None, kind=kind)", x="n m", kind=SORTS)],
    "argpartition": [
        Call("np.take_along_axis(x, np.argpartition(x, 1, axis=axis), axis)[1:2, 1:2]", x="3 3", axis=(0, 1)),
        Call("np.argpartition(x, 1)[1]", x="3"),
    ],
    "lexsort": [Call("np.lexsort((x, y))", x="n", y="n"), Call("np.lexsort(x, axis=0)", x="2 n")],
    "searchsorted": [
        Call("np.searchsorted(np.sort(x), y, side=side)", x="n", y="*", side=("left", "right")),
        Call("np.searchsorted(x, y, sorter=np.argsort(x))", x="n", y="m"),
    ],
    "digitize": [
        Call("np.digitize(x, [-1.0, 0.2, 1.0], right=right)", x="*", right=FLAG),
        Call("np.digitize(x, np.sort(y))", x="n", y="m"),
    ],
    "count_nonzero": [
        Call("np.count_nonzero(x > 0.2)", x="*"),
        Call("np.count_nonzero(x, axis=axis, keepdims=keep)", x="n m", axis=(0, 1, None), keep=FLAG),
    ],
    **{
        name: [
            Call(f"np.{name}(x > -1.0)", x="+"),
            Call(f"np.{name}(x > -1.0, axis=axis, keepdims=keep)", x="+", axis=axes_of(), keep=FLAG),
        ]
        for name in ("all", "any")
    },
    "allclose": [Call("np.allclose(x, y)", x="n", y="n")],
    "array_equal": [Call("np.array_equal(x, y)", x="n", y="n"), Call("np.array_equal(x, x)", x="n")],
    "array_equiv": [Call("np.array_equiv(x, y)", x="n m", y="m")],
    "argwhere": [Call("np.argwhere(x > 0)", x="n m")],
    "nonzero": [Call("np.nonzero(x > 0)", x="n m"), Call("x[np.nonzero(x > 0)]", x="n m")],
    "flatnonzero": [Call("np.flatnonzero(x > 0)", x="n m")],
    "isin": [Call("np.isin(x, y)", x="n m", y="n"), Call("np.isin(x, [1.0, 2.0], invert=True)", x="n")],
    "bincount": [
        Call("np.bincount([0, 2, 1, 2], weights=w)", w="4"),
        Call("np.bincount(k, minlength=7)", k=whole("n"), x="n"),
        Call("np.bincount(np.argsort(x), w)", x="n", w="n"),
    ],
    "histogram": [
        Call("np.histogram(x, bins=3)", x="N"),
        Call("np.histogram(x, bins=[-3.0, -0.3, 0.4, 3.0], weights=w)", x="N", w="N"),
        Call("np.histogram(x, bins=4, range=(-2.5, 2.5), density=True)", x="N"),
        Call("np.histogram(x, bins=np.array([-3.0, -0.3, 0.4, 3.0]), weights=w, density=True)", x="N", w=positive("N")),
    ],
    "histogram_bin_edges": [
        Call("np.histogram_bin_edges(x, 4)", x="N"),
        Call("np.histogram_bin_edges(x, 3, range=(-1.0, 2.0))", x="N"),
    ],
    "histogram2d": [
        Call("np.histogram2d(x, y, bins=[[-3.0, 0.1, 3.0], [-3.0, -0.2, 0.4, 3.0]], weights=w)", x="N", y="N", w="N"),
        Call("np.histogram2d(x, y, bins=2)", x="N", y="N"),
    ],
    "histogramdd": [
        Call("np.histogramdd(x, bins=[[-3.0, 0.1, 3.0], [-3.0, -0.2, 0.4, 3.0]], weights=w)", x="N 2", w="N")
    ],
}
