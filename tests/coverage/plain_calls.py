"""Sample calls of the NumPy functions that say something about an array, or take none at all."""

from __future__ import annotations

from tests.coverage.drawing import Call
from tests.coverage.elementwise_calls import Calls


def about(text: str) -> list[Call]:
    """A call of a function whose result is not an array of numbers."""
    return [Call(text, x="n m")]


def no_array(text: str) -> list[Call]:
    """A call of a function that takes no array of real numbers."""
    return [Call(text)]


# what cannot be called for a sample, and why that loses nothing
NOT_CALLED = {
    "numpy.test": "runs NumPy's own tests",
    "numpy.show_config": "prints how NumPy was built",
    "numpy.show_runtime": "prints what NumPy runs on",
}

PLAIN: Calls = {
    # ---- new arrays like others
    **{name: about(f"np.{name}(x)") for name in ("zeros_like", "ones_like")},
    "empty_like": about("np.empty_like(x).shape"),
    # ---- questions
    **{
        name: about(f"np.{name}(x)")
        for name in ("shape", "size", "ndim", "isrealobj", "iscomplexobj", "isfortran", "iterable")
    },
    "isscalar": [Call("np.isscalar(x)", x="n m"), Call("np.isscalar(x)", x="")],
    **{name: about(f"np.{name}(x, x)") for name in ("may_share_memory", "shares_memory")},
    "result_type": about("np.result_type(x, np.float32)"),
    "common_type": about("np.common_type(x, np.zeros(2))"),
    "min_scalar_type": about("np.min_scalar_type(x)"),
    "can_cast": [Call("np.can_cast(x.dtype, int)", x="n")],
    "broadcast_shapes": about("np.broadcast_shapes(x.shape, (1,))"),
    # ---- text and files
    **{name: about(f"np.{name}(x)") for name in ("array_str", "array_repr", "array2string")},
    **{name: [Call(f"np.{name}(x)", x="")] for name in ("format_float_positional", "format_float_scientific")},
    "save": about("np.save(io.BytesIO(), x)"),
    "savez": about("np.savez(io.BytesIO(), x=x)"),
    "savez_compressed": about("np.savez_compressed(io.BytesIO(), x=x)"),
    "savetxt": about("np.savetxt(io.StringIO(), x)"),
    "info": no_array("np.info(np.sum, output=io.StringIO())"),
    "load": no_array("file = io.BytesIO(); np.save(file, np.ones(3)); file.seek(0); return np.load(file)"),
    "loadtxt": no_array("np.loadtxt(io.StringIO('1 2'))"),
    "genfromtxt": no_array("np.genfromtxt(io.StringIO('1 2'))"),
    "fromregex": no_array("np.fromregex(io.StringIO('a1 a2'), 'a([0-9])', [('number', float)])['number']"),
    "fromstring": no_array("np.fromstring('1 2', sep=' ')"),
    "frombuffer": no_array("np.frombuffer(bytes(8))"),
    "fromfile": no_array("np.fromfile('/dev/null')"),
    "base_repr": no_array("np.base_repr(5, 3)"),
    "binary_repr": no_array("np.binary_repr(5)"),
    # ---- numbers out of lengths
    **{
        name: no_array(f"np.{name}(4)")
        for name in (
            "bartlett",
            "blackman",
            "hamming",
            "hanning",
            "identity",
            "ones",
            "zeros",
            "eye",
            "tri",
            "arange",
            "diag_indices",
        )
    },
    "empty": no_array("np.empty(3).shape"),
    "indices": no_array("np.indices((2, 3))"),
    "tril_indices": no_array("np.tril_indices(3)"),
    "triu_indices": no_array("np.triu_indices(3)"),
    # ---- types
    "isdtype": no_array("np.isdtype(np.dtype(float), 'real floating')"),
    "issubdtype": no_array("np.issubdtype(float, np.floating)"),
    "promote_types": no_array("np.promote_types('f4', 'i8')"),
    "mintypecode": no_array("np.mintypecode('fd')"),
    "typename": no_array("np.typename('d')"),
    # ---- dates
    "busday_count": no_array("np.busday_count('2026-01', '2026-02')"),
    "busday_offset": no_array("np.datetime_as_string(np.busday_offset('2026-01-01', 2, roll='forward'))"),
    "is_busday": no_array("np.is_busday('2026-01-01')"),
    "datetime_as_string": no_array("np.datetime_as_string(np.datetime64('2026-01-01'))"),
    "datetime_data": no_array("np.datetime_data(np.dtype('M8[s]'))"),
    "isnat": no_array("np.isnat(np.datetime64('NaT'))"),
    # ---- settings
    "get_include": no_array("np.get_include()"),
    "getbufsize": no_array("np.getbufsize()"),
    "setbufsize": no_array("np.setbufsize(np.getbufsize())"),
    "geterr": no_array("np.geterr()"),
    "seterr": no_array("np.seterr(**np.geterr())"),
    "geterrcall": no_array("np.geterrcall()"),
    "seterrcall": no_array("np.seterrcall(np.geterrcall())"),
    "get_printoptions": no_array("np.get_printoptions()"),
    "set_printoptions": no_array("np.set_printoptions(**np.get_printoptions())"),
    "printoptions": no_array("with np.printoptions(precision=3): return np.get_printoptions()['precision']"),
}
