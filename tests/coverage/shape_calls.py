"""Sample calls of the NumPy functions that rearrange, take, insert and assign elements."""

from __future__ import annotations

from tests.coverage.drawing import FLAG, Array, Call, Chooser, Shapes, axis_of, order_of, real
from tests.coverage.elementwise_calls import Calls

SOME = real("+")
ANY = real("*")


def two_axes(chooser: Chooser, shapes: Shapes) -> tuple[int, int]:
    """Two different axes of x, counted from either end."""
    n = len(shapes["x"])
    first = chooser.choose(range(n))
    second = chooser.choose([k for k in range(n) if k != first])
    return first - n * chooser.choose(FLAG), second - n * chooser.choose(FLAG)


def joined(name: str, *shapes: str) -> Call:
    """A function that joins three arrays."""
    x, y, z = shapes
    return Call(f"np.{name}([x, y, z])", x=x, y=y, z=z)


def as_it_is(names: str, x: Array = ANY) -> Calls:
    return {name: [Call(f"np.{name}(x)", x=x)] for name in names.split()}


SHAPES: Calls = {
    **as_it_is("array asarray asanyarray asfortranarray copy"),
    "ascontiguousarray": [Call("np.ascontiguousarray(x.T)", x="n m")],
    "asarray_chkfinite": [Call("np.asarray_chkfinite(x)", x="n")],
    "require": [Call("np.require(x, float, ['C', 'A'])", x="n")],
    "astype": [Call("np.astype(x, float)", x="*"), Call("np.astype(x, int)", x="*"), Call("np.astype(x, bool)", x="*")],
    "atleast_1d": [Call("np.atleast_1d(x)", x="*"), Call("np.atleast_1d(x, y)", x="", y="n")],
    "atleast_2d": [Call("np.atleast_2d(x)", x="*")],
    "atleast_3d": [Call("np.atleast_3d(x)", x="*")],
    "ravel": [Call("np.ravel(x, order=order)", x="*", order=("C", "F", "A", "K"))],
    "reshape": [
        Call("np.reshape(x, -1, order=order)", x="*", order=("C", "F", "A")),
        Call("np.reshape(x, (3, -1), order=order, copy=copy)", x="n 6", order=("C", "F"), copy=(True, None)),
    ],
    "transpose": [Call("np.transpose(x)", x="*"), Call("np.transpose(x, order)", x="+", order=order_of())],
    "permute_dims": [Call("np.permute_dims(x, order)", x="+", order=order_of())],
    "matrix_transpose": [Call("np.matrix_transpose(x)", x="* n m")],
    "swapaxes": [Call("np.swapaxes(x, *pair)", x="n m 2", pair=two_axes)],
    "moveaxis": [
        Call("np.moveaxis(x, *pair)", x="n m 2", pair=two_axes),
        Call("np.moveaxis(x, [0, 1], [-1, 0])", x="n m 2"),
    ],
    "rollaxis": [Call("np.rollaxis(x, axis, start)", x="n m 2", axis=axis_of(), start=(0, 1, 2, 3))],
    "expand_dims": [Call("np.expand_dims(x, axis)", x="n m", axis=(0, 1, 2, -1, -3, (0, 2), (-1, 1)))],
    "squeeze": [
        Call("np.squeeze(x)", x="1 n 1"),
        Call("np.squeeze(x, axis=axis)", x="1 n 1", axis=(0, 2, -1, (0, -1))),
    ],
    "broadcast_to": [Call("np.broadcast_to(x, (2, *x.shape))", x="*"), Call("np.broadcast_to(x, (3, 4))", x="3 1")],
    "broadcast_arrays": [Call("np.broadcast_arrays(x, y)", x="+", y="~x")],
    "flip": [
        Call("np.flip(x)", x="*"),
        Call("np.flip(x, axis=axis)", x="+", axis=axis_of()),
        Call("np.flip(x, (0, -1))", x="n m 2"),
    ],
    "fliplr": [Call("np.fliplr(x)", x="n m")],
    "flipud": [Call("np.flipud(x)", x="+")],
    "rot90": [Call("np.rot90(x, k, axes=axes)", x="n m 2", k=(-1, 0, 1, 2, 3), axes=((0, 1), (1, 0), (-1, 0)))],
    "roll": [
        Call("np.roll(x, k, axis=axis)", x="+", k=(-1, 0, 2, 5), axis=axis_of()),
        Call("np.roll(x, k)", x="+", k=(-1, 2, 3)),
        Call("np.roll(x, (1, -2), axis=(0, 1))", x="n m"),
    ],
    "repeat": [
        Call("np.repeat(x, 2, axis=axis)", x="+", axis=axis_of()),
        Call("np.repeat(x, [2, 0, 1], axis=0)", x="3 n"),
        Call("np.repeat(x, 3)", x="*"),
    ],
    "tile": [Call("np.tile(x, times)", x="*", times=(2, (2, 1), (1, 2, 1), 0))],
    "resize": [Call("np.resize(x, shape)", x="n m", shape=(5, (2, 3), (1,), (3, 5)))],
    "pad": [
        *[
            Call(f"np.pad(x, {width}, mode='{mode}')", x="N n")
            for mode in (
                "constant",
                "edge",
                "linear_ramp",
                "maximum",
                "mean",
                "median",
                "minimum",
                "reflect",
                "symmetric",
                "wrap",
            )
            for width in ("((1, 2), (0, 3))",)
        ],
        Call("np.pad(x, 2, constant_values=(1.5, 2.5))", x="+"),
        Call("np.pad(x, (1, 2), mode='linear_ramp', end_values=(y, 2.0))", x="n", y=""),
        Call("np.pad(x, 2, mode='mean', stat_length=2)", x="N"),
        Call("np.pad(x, 2, mode=mode, reflect_type='odd')", x="N", mode=("reflect", "symmetric")),
        Call("np.pad(x, 1, mode='empty')[1:-1]", x="n"),
    ],
    # ---- joining and splitting
    "concatenate": [
        Call("np.concatenate([x, y], axis=axis)", x="n m", y="n m", axis=(0, 1, -1, None)),
        joined("concatenate", "n m", "2 m", "1 m"),
    ],
    "concat": [joined("concat", "n m", "2 m", "1 m")],
    "stack": [Call("np.stack([x, y], axis=axis)", x="n m", y="n m", axis=(0, 1, 2, -1, -2))],
    "vstack": [joined("vstack", "n m", "m", "1 m")],
    "hstack": [joined("hstack", "n m", "n 2", "n 1"), joined("hstack", "n", "2", "")],
    "dstack": [joined("dstack", "n m", "n m 2", "n m 1")],
    "column_stack": [joined("column_stack", "n", "n 2", "n 1")],
    "row_stack": [joined("row_stack", "n m", "m", "1 m")],
    "block": [
        Call("np.block([[x, y], [z, 1.5 * z]])", x="n 2", y="n 2", z="1 2"),
        Call("np.block([x, y, 2.0])", x="n", y=""),
    ],
    "append": [
        Call("np.append(x, y)", x="n m", y="2"),
        Call("np.append(x, y, axis=axis)", x="n n", y="n n", axis=(0, 1)),
    ],
    "insert": [
        Call("np.insert(x, where, y, axis=axis)", x="3 3", y="3", where=(0, 1, 3, -1), axis=(0, 1)),
        Call("np.insert(x, [0, 2, 2], y)", x="4", y="3"),
        Call("np.insert(x, 1, 2.5)", x="n m"),
    ],
    "delete": [
        Call("np.delete(x, where, axis=axis)", x="3 3", where=(0, -1, [0, 2], slice(0, 2)), axis=(0, 1)),
        Call("np.delete(x, 0)", x="n m"),
    ],
    "split": [Call("np.split(x, 2, axis=axis)", x="4 2", axis=(0, 1)), Call("np.split(x, [1, 3])", x="4 n")],
    "array_split": [Call("np.array_split(x, 3, axis=axis)", x="4 n", axis=(0, 1))],
    "hsplit": [Call("np.hsplit(x, 2)", x="n 4"), Call("np.hsplit(x, [1])", x="4")],
    "vsplit": [Call("np.vsplit(x, 2)", x="4 n")],
    "dsplit": [Call("np.dsplit(x, 2)", x="n m 4")],
    "unstack": [Call("np.unstack(x, axis=axis)", x="n m", axis=(0, 1, -1))],
    "meshgrid": [
        Call("np.meshgrid(x, y, indexing=indexing, sparse=sparse)", x="n", y="m", indexing=("xy", "ij"), sparse=FLAG),
        Call("np.meshgrid(x, y, z, copy=False)", x="n", y="2", z=""),
    ],
    "tril": [Call("np.tril(x, k)", x="n m", k=(-1, 0, 1)), Call("np.tril(x)", x="* 3 3")],
    "triu": [Call("np.triu(x, k)", x="n m", k=(-1, 0, 1)), Call("np.triu(x)", x="* 3 3")],
    "diag": [Call("np.diag(x, k)", x="n", k=(-1, 0, 2)), Call("np.diag(x, k)", x="3 4", k=(-1, 0, 2))],
    "diagflat": [Call("np.diagflat(x, k)", x="n m", k=(-1, 0, 1))],
    "diagonal": [
        Call("np.diagonal(x, k)", x="3 4", k=(-1, 0, 1)),
        Call("np.diagonal(x, k, *pair)", x="3 2 4", k=(0, 1), pair=two_axes),
    ],
    "trim_zeros": [Call("np.trim_zeros(np.concatenate([[0.0], x, [0.0, 0.0]]), trim)", x="n", trim=("fb", "f", "b"))],
    "vander": [Call("np.vander(x)", x="n"), Call("np.vander(x, 3, increasing=True)", x="n")],
    "ix_": [Call("x[np.ix_([0, 2], [1, 0])]", x="3 2"), Call("np.ix_(x > 0)", x="n")],
    # ---- taking
    "take": [
        Call("np.take(x, [0, -1, 0], axis=axis)", x="+", axis=axis_of()),
        Call("np.take(x, [[0, 5], [2, -7]], mode=mode)", x="n m", mode=("wrap", "clip")),
    ],
    "take_along_axis": [
        Call("np.take_along_axis(x, np.argsort(x, axis=axis), axis=axis)", x="n m", axis=(0, 1)),
        Call("np.take_along_axis(x, np.array([[0], [1], [0]]), axis=1)", x="3 2"),
    ],
    "compress": [
        Call("np.compress([True, False, True], x, axis=axis)", x="3 3", axis=(0, 1)),
        Call("np.compress(x.ravel() > 0, x)", x="n m"),
    ],
    "extract": [Call("np.extract(x > 0, x * y)", x="n m", y="n m")],
    # ---- assigning
    "copyto": [
        Call("z = np.zeros(x.shape); np.copyto(z, x * y); return z", x="+", y="~x"),
        Call("z = x * 1.0; np.copyto(z, y, where=x > 0); return z", x="+", y="~x"),
    ],
    "put": [
        Call("z = x * 1.0; np.put(z, [0, -1, 0], y); return z", x="N", y="3"),
        Call("z = x * 1.0; np.put(z, [0, 9], y, mode='clip'); return z", x="N", y=""),
    ],
    "put_along_axis": [
        Call(
            "z = x * 1.0; np.put_along_axis(z, np.argmax(x, axis=1, keepdims=True), y, axis=1); return z",
            x="n m",
            y="n 1",
        )
    ],
    "place": [Call("z = x * 1.0; np.place(z, x > 0, y); return z", x="N", y="2")],
    "putmask": [Call("z = x * 1.0; np.putmask(z, x > 0, y); return z", x="N", y="3")],
    "fill_diagonal": [
        Call("z = x * 1.0; np.fill_diagonal(z, y); return z", x="3 3", y=""),
        Call("z = x * 1.0; np.fill_diagonal(z, y, wrap=True); return z", x="5 2", y="2"),
    ],
    # ---- functions of functions
    "apply_along_axis": [
        Call("np.apply_along_axis(lambda row: row * row.sum(), axis, x)", x="n m", axis=(0, 1)),
        Call("np.apply_along_axis(np.sum, 0, x)", x="n m"),
    ],
    "apply_over_axes": [Call("np.apply_over_axes(np.sum, x, [0, 2])", x="n m 2")],
    "frompyfunc": [Call("np.frompyfunc(lambda a, b: a * b, 2, 1)(x, y)", x="n", y="n")],
    "fromfunction": [Call("np.fromfunction(lambda i, j: x * i + j, (2, 3))", x="")],
    "fromiter": [Call("np.fromiter((a * a for a in x), float)", x="n")],
    "full": [Call("np.full((2, 3), x)", x=""), Call("np.full((2, 3), x)", x="3")],
    "full_like": [Call("np.full_like(x, y)", x="n m", y=""), Call("np.full_like(x, 2.5)", x="n")],
    "nested_iters": [Call("[a * 1.0 for outer in np.nested_iters(x, [[0], [1]])[:1] for a in outer]", x="2 2")],
    "asmatrix": [Call("np.asarray(np.asmatrix(x))", x="n m")],
    "bmat": [Call("np.asarray(np.bmat([[x, y]]))", x="n 2", y="n 1")],
    "from_dlpack": [Call("np.from_dlpack(x)", x="n")],
    # ---- positions, which do not vary
    "diag_indices_from": [Call("np.diag_indices_from(x)", x="3 3"), Call("x[np.diag_indices_from(x)]", x="3 3")],
    "tril_indices_from": [Call("np.tril_indices_from(x, k)", x="n m", k=(-1, 0, 1))],
    "triu_indices_from": [Call("np.triu_indices_from(x, k)", x="n m", k=(-1, 0, 1))],
    "mask_indices": [Call("x[np.mask_indices(3, np.triu, 1)]", x="3 3")],
    "ravel_multi_index": [Call("np.ravel_multi_index((np.argsort(x), [0, 1, 1]), (3, 2))", x="3")],
    "unravel_index": [Call("np.unravel_index(np.argmax(x), x.shape)", x="n m")],
    "packbits": [Call("np.packbits(x > 0)", x="N")],
    "unpackbits": [Call("np.unpackbits(np.packbits(x > 0))", x="N")],
}
