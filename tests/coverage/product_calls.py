"""Sample calls of NumPy's products, polynomials and windows, of ``numpy.linalg`` and of ``numpy.fft``."""

from __future__ import annotations

from tests.coverage.drawing import FLAG, Call, positive
from tests.coverage.elementwise_calls import Calls

# a matrix that is well conditioned, and a symmetric and a positive definite one, made of any
REGULAR = "(x + 6 * np.eye(x.shape[-1]))"
SYMMETRIC = "(x + np.swapaxes(x, -1, -2))"
DEFINITE = "(x @ np.swapaxes(x, -1, -2) + np.eye(x.shape[-1]))"

PRODUCTS: Calls = {
    "dot": [
        *[
            Call("np.dot(x, y)", x=x, y=y)
            for x, y in (("n", "n"), ("n m", "m"), ("n m", "m p"), ("m", "n m p"), ("2 n m", "3 m p"), ("", "n m"))
        ],
        Call("x.dot(y)", x="n m", y="m"),
    ],
    "vdot": [Call("np.vdot(x, y)", x="n", y="n"), Call("np.vdot(x, y)", x="n m", y="n m")],
    "inner": [Call("np.inner(x, y)", x=x, y=y) for x, y in (("n", "n"), ("n m", "m"), ("n m", "2 p m"), ("", "n"))],
    "outer": [Call("np.outer(x, y)", x="n", y="m"), Call("np.outer(x, y)", x="n 2", y="m 1")],
    "matmul": [
        *[
            Call("np.matmul(x, y)", x=x, y=y)
            for x, y in (("n", "n"), ("n m", "m"), ("m", "m p"), ("* n m", "m p"), ("2 1 n m", "3 m p"), ("n", "2 n p"))
        ],
        Call("x @ y", x="n m", y="m p"),
    ],
    "matvec": [Call("np.matvec(x, y)", x="* n m", y="m"), Call("np.matvec(x, y)", x="n m", y="2 m")],
    "vecmat": [Call("np.vecmat(x, y)", x="n", y="* n m"), Call("np.vecmat(x, y)", x="2 n", y="n m")],
    "vecdot": [Call("np.vecdot(x, y)", x="* n", y="n"), Call("np.vecdot(x, y, axis=0)", x="n m", y="n m")],
    "tensordot": [
        Call("np.tensordot(x, y, axes)", x="3 2", y="3 2", axes=(2, 0, ((0,), (0,)), ([1, 0], [1, 0]))),
        Call("np.tensordot(x, y)", x="2 n m", y="n m p"),
        Call("np.tensordot(x, y, axes=(-1, 0))", x="2 n", y="n p"),
    ],
    "einsum": [
        *[
            Call(f"np.einsum('{subscripts}', x, y)", x=x, y=y)
            for subscripts, x, y in (
                ("ij,jk->ik", "n m", "m p"),
                ("ij,jk", "n m", "m p"),
                ("i,j->ij", "n", "m"),
                ("...i,i->...", "* n", "n"),
                ("ij,ij->", "n m", "n m"),
                ("bij,bjk->bik", "2 n m", "2 m p"),
                ("ii,i->i", "n n", "n"),
                ("i...,j...->ij...", "n 2", "m 2"),
                ("ijk,kj->", "n m p", "p m"),
            )
        ],
        *[
            Call(f"np.einsum('{subscripts}', x)", x=x)
            for subscripts, x in (
                ("ii->i", "n n"),
                ("ii", "n n"),
                ("ij->ji", "n m"),
                ("ijj->i", "n m m"),
                ("ij->", "n m"),
                ("...ij->...ji", "* n m"),
            )
        ],
        Call("np.einsum('ij,jk,kl->il', x, y, z, optimize=True)", x="n m", y="m p", z="p 2"),
        Call("np.einsum(x, [0, 1], y, [1, 2], [0, 2])", x="n m", y="m p"),
    ],
    "einsum_path": [Call("np.einsum_path('ij,jk->ik', x, y)[0]", x="n m", y="m p")],
    "kron": [
        Call("np.kron(x, y)", x="n m", y="2 p"),
        Call("np.kron(x, y)", x="n", y="m"),
        Call("np.kron(x, y)", x="n", y="m 2"),
    ],
    "cross": [Call("np.cross(x, y)", x="n 3", y="3"), Call("np.cross(x, y, axis=0)", x="3 n", y="3 n")],
    "trace": [Call("np.trace(x, offset=k)", x="3 4", k=(-1, 0, 2)), Call("np.trace(x, axis1=0, axis2=2)", x="3 n 3")],
    "convolve": [
        Call("np.convolve(x, y, mode=mode)", x="n", y="N", mode=("full", "same", "valid")),
        Call("np.convolve(x, [1.0, -2.0, 0.5])", x="n"),
    ],
    "correlate": [
        Call("np.correlate(x, y, mode=mode)", x="n", y="N", mode=("full", "same", "valid")),
        Call("np.correlate(x, y)", x="N", y="n"),
    ],
    # ---- polynomials
    "poly": [Call("np.poly(x)", x="n"), Call("np.poly(x + x.T)", x="3 3")],
    "polyval": [Call("np.polyval(p, x)", p="n", x="*"), Call("np.polyval(p, [0.5, 2.0])", p="n")],
    "polyadd": [Call("np.polyadd(x, y)", x="n", y="m")],
    "polysub": [Call("np.polysub(x, y)", x="n", y="m")],
    "polymul": [Call("np.polymul(x, y)", x="n", y="m")],
    "polydiv": [Call("np.polydiv(x, y)", x="N", y=positive("n"))],
    "polyder": [Call("np.polyder(x, m)", x="N", m=(1, 2))],
    "polyint": [Call("np.polyint(x)", x="n"), Call("np.polyint(x, 2, k=[y, 1.0])", x="n", y="")],
    "polyfit": [
        Call("np.polyfit(x, y, deg)", x="7", y="7", deg=(0, 1, 2)),
        Call("np.polyfit(x, y, 1, w=w)", x="7", y="7", w=positive("7")),
        Call("np.polyfit(np.arange(7.0), y, 2)", y="7 2"),
    ],
    "roots": [Call("np.sort(np.real(np.roots(np.array([1.5, x, -2.0]))))", x="")],
    "kaiser": [Call("np.kaiser(5, x)", x=positive(""))],
}

LINALG: Calls = {
    "cholesky": [
        Call(f"np.linalg.cholesky({DEFINITE})", x="* 3 3"),
        Call(f"np.linalg.cholesky({DEFINITE}, upper=True)", x="n n"),
        Call("np.linalg.cholesky(x + 8 * np.eye(x.shape[-1]))", x="n n"),
    ],
    "cond": [
        Call(f"np.linalg.cond({REGULAR}, p)", x="3 3", p=(None, 2, -2, 1, -1, float("inf"), "fro")),
        Call("np.linalg.cond(x)", x="4 3"),
    ],
    "cross": [Call("np.linalg.cross(x, y)", x="n 3", y="n 3"), Call("np.linalg.cross(x, y, axis=0)", x="3 n", y="3 n")],
    "det": [Call("np.linalg.det(x)", x="* n n"), Call("np.linalg.det(x * np.array([1.0, 0.0, 2.0]))", x="3 3")],
    "diagonal": [Call("np.linalg.diagonal(x, offset=k)", x="n 3 4", k=(-1, 0, 1))],
    "eig": [
        Call(f"np.sum(np.linalg.eig({SYMMETRIC})[0] ** 2)", x="3 3"),
        Call(f"np.sort(np.linalg.eig({SYMMETRIC})[0])", x="3 3"),
        Call("w, v = np.linalg.eig(np.triu(x) + np.diag([0.0, 5.0, 10.0])); return w, v * v", x="3 3"),
    ],
    "eigh": [
        Call(f"w, v = np.linalg.eigh({SYMMETRIC}); return w, v * v", x="* 3 3"),
        Call("w, v = np.linalg.eigh(x, UPLO=side); return w, v * v[..., :1, :]", x="3 3", side=("L", "U")),
    ],
    "eigvals": [
        Call(f"np.sort(np.linalg.eigvals({SYMMETRIC}))", x="3 3"),
        Call("np.linalg.eigvals(np.triu(x) + np.diag([0.0, 5.0, 10.0]))", x="3 3"),
    ],
    "eigvalsh": [Call(f"np.linalg.eigvalsh({SYMMETRIC})", x="* 3 3"), Call("np.linalg.eigvalsh(x, UPLO='U')", x="3 3")],
    "inv": [Call(f"np.linalg.inv({REGULAR})", x="* n n")],
    "lstsq": [
        Call("np.linalg.lstsq(x, y)[:2]", x="6 n", y="6"),
        Call("np.linalg.lstsq(x, y)[0]", x="6 3", y="6 2"),
        Call("np.linalg.lstsq(x, y, rcond=None)[0]", x="2 4", y="2"),
    ],
    "matmul": [Call("np.linalg.matmul(x, y)", x="* n m", y="m p")],
    "matrix_norm": [
        Call(
            "np.linalg.matrix_norm(x, ord=order, keepdims=keep)",
            x="* 3 4",
            order=("fro", "nuc", 1, -1, 2, -2, float("inf"), -float("inf")),
            keep=FLAG,
        )
    ],
    "matrix_power": [Call(f"np.linalg.matrix_power({REGULAR}, k)", x="3 3", k=(-2, -1, 0, 1, 2, 3, 5))],
    "matrix_rank": [Call("np.linalg.matrix_rank(x)", x="* 3 4")],
    "matrix_transpose": [Call("np.linalg.matrix_transpose(x)", x="* n m")],
    "multi_dot": [
        Call("np.linalg.multi_dot([x, y, z])", x="n m", y="m p", z="p 2"),
        Call("np.linalg.multi_dot([x, y, z])", x="n", y="n p", z="p"),
        Call("np.linalg.multi_dot([x, y])", x="n m", y="m p"),
    ],
    "norm": [
        Call("np.linalg.norm(x)", x="+"),
        Call(
            "np.linalg.norm(x, ord=order, axis=axis, keepdims=keep)",
            x="3 4",
            order=(None, 1, 2, 3, 0.5, -1, float("inf"), -float("inf"), 0),
            axis=(0, -1),
            keep=FLAG,
        ),
        Call("np.linalg.norm(x, ord=order)", x="3 4", order=("fro", "nuc", 1, -1, 2, -2, float("inf"), -float("inf"))),
        Call("np.linalg.norm(x, axis=(0, 2), ord=order)", x="3 2 4", order=(None, "fro", 2, 1)),
    ],
    "outer": [Call("np.linalg.outer(x, y)", x="n", y="m")],
    "pinv": [
        Call("np.linalg.pinv(x)", x="* 4 3"),
        Call("np.linalg.pinv(x)", x="2 4"),
        Call(f"np.linalg.pinv({SYMMETRIC}, hermitian=True)", x="3 3"),
    ],
    "qr": [
        Call("np.linalg.qr(x, mode=mode)", x="5 3", mode=("reduced", "r")),
        Call("np.linalg.qr(x)", x="* 3 3"),
        Call("np.linalg.qr(x, mode='complete')", x="3 3"),
        Call("np.linalg.qr(x)", x="2 4"),
    ],
    "slogdet": [Call(f"np.linalg.slogdet({REGULAR})", x="* n n"), Call("np.linalg.slogdet(x)", x="3 3")],
    "solve": [
        Call(f"np.linalg.solve({REGULAR}, y)", x="n n", y="n"),
        Call(f"np.linalg.solve({REGULAR}, y)", x="* n n", y="n 2"),
    ],
    "svd": [
        Call("u, s, v = np.linalg.svd(x, full_matrices=False); return s, u * u, v * v", x="* 4 3"),
        Call("np.linalg.svd(x, compute_uv=False)", x="* 3 4"),
        Call("u, s, v = np.linalg.svd(x); return u[:, :1] * v[:1], s", x="3 3"),
    ],
    "svdvals": [Call("np.linalg.svdvals(x)", x="* 4 3")],
    "tensordot": [Call("np.linalg.tensordot(x, y, axes=1)", x="2 n", y="n p")],
    "tensorinv": [Call("np.linalg.tensorinv(x + np.eye(6).reshape(6, 2, 3) * 9, ind=1)", x="6 2 3")],
    "tensorsolve": [Call("np.linalg.tensorsolve(x + np.eye(6).reshape(2, 3, 6) * 9, y)", x="2 3 6", y="2 3")],
    "trace": [Call("np.linalg.trace(x, offset=k)", x="n 3 4", k=(-1, 0, 1))],
    "vecdot": [
        Call("np.linalg.vecdot(x, y)", x="* n", y="n"),
        Call("np.linalg.vecdot(x, y, axis=0)", x="n m", y="n m"),
    ],
    "vector_norm": [
        Call("np.linalg.vector_norm(x)", x="+"),
        Call(
            "np.linalg.vector_norm(x, axis=axis, ord=order, keepdims=keep)",
            x="3 4",
            axis=(0, 1, None),
            order=(1, 2, 3, float("inf"), -float("inf"), 0),
            keep=FLAG,
        ),
    ],
}

NORMS = ("backward", "ortho", "forward")


def spectrum(name: str, back: str, shape: str) -> list[Call]:
    """A transform of a real signal: its real and imaginary part, its power, and the signal that it came from."""
    return [
        Call(f"z = np.fft.{name}(x, norm=norm); return z.real, z.imag", x=shape, norm=NORMS),
        Call(f"np.abs(np.fft.{name}(x)) ** 2", x=shape),
        Call(f"np.fft.{back}(np.fft.{name}(x) * 2.0).real", x=shape),
    ]


FFT: Calls = {
    "fft": [
        *spectrum("fft", "ifft", "N"),
        Call("z = np.fft.fft(x, 5, axis=axis); return z.real, z.imag", x="N n", axis=(0, 1)),
    ],
    "ifft": spectrum("ifft", "fft", "N"),
    "fft2": spectrum("fft2", "ifft2", "n N"),
    "ifft2": spectrum("ifft2", "fft2", "n N"),
    "fftn": spectrum("fftn", "ifftn", "2 n 3"),
    "ifftn": spectrum("ifftn", "fftn", "2 n 3"),
    "rfft": [
        Call(
            "z = np.fft.rfft(x, n=length, axis=axis, norm=norm); return z.real, z.imag",
            x="N N",
            length=(None, 3, 9),
            axis=(0, 1),
            norm=NORMS,
        ),
        Call("np.abs(np.fft.rfft(x)) ** 2", x="N"),
        Call("np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(y), 9)", x="N", y="N"),
    ],
    "irfft": [
        Call("np.fft.irfft(np.fft.rfft(x), x.size)", x="N"),
        Call("np.fft.irfft(x, n=length)", x="N", length=(None, 5, 8)),
    ],
    "rfft2": [
        Call("z = np.fft.rfft2(x); return z.real, z.imag", x="n N"),
        Call("np.abs(np.fft.rfft2(x)) ** 2", x="n N"),
    ],
    "irfft2": [Call("np.fft.irfft2(np.fft.rfft2(x) * 2.0, s=x.shape)", x="n N"), Call("np.fft.irfft2(x)", x="n N")],
    "rfftn": [
        Call("z = np.fft.rfftn(x, norm=norm); return z.real, z.imag", x="2 n 4", norm=NORMS),
        Call("np.abs(np.fft.rfftn(x)) ** 2", x="2 n 4"),
    ],
    "irfftn": [
        Call("np.fft.irfftn(np.fft.rfftn(x) * 2.0, s=x.shape, axes=(0, 1, 2))", x="2 n 4"),
        Call("np.fft.irfftn(x)", x="2 n 4"),
    ],
    "hfft": [Call("np.fft.hfft(x, n=length)", x="N", length=(None, 5, 8))],
    "ihfft": [
        Call("z = np.fft.ihfft(x); return z.real, z.imag", x="N"),
        Call("np.fft.hfft(np.fft.ihfft(x), x.size)", x="N"),
    ],
    "fftshift": [Call("np.fft.fftshift(x, axes=axes)", x="n N", axes=(None, 0, 1, (0, 1)))],
    "ifftshift": [Call("np.fft.ifftshift(x, axes=axes)", x="n N", axes=(None, 0, 1, (0, 1)))],
    "fftfreq": [Call("np.fft.fftfreq(6, d=x)", x=positive(""))],
    "rfftfreq": [Call("np.fft.rfftfreq(6, d=x)", x=positive(""))],
}
