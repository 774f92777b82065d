"""Fourier transforms of recorded signals and arithmetic on their spectra: NumPy's values, and derivatives."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

import fastgrad as fg
from tests.derivative_checks import check
from tests.recording.functions.sampling import check_orders, check_shown, normal

fft = np.fft


def parts(z: Any) -> Any:
    return np.stack([z.real, z.imag])


# ---- transforms

REAL = {
    "rfft": lambda x, **options: parts(fft.rfft(x, **options)),
    "fft": lambda x, **options: parts(fft.fft(x, **options)),
    "ifft": lambda x, **options: parts(fft.ifft(x, **options)),
    "ihfft": lambda x, **options: parts(fft.ihfft(x, **options)),
    "fft of complex": lambda x, **options: parts(fft.fft(x * (1 + 2j), **options)),
    "ifft of complex": lambda x, **options: parts(fft.ifft(x * (1 + 2j), **options)),
    "irfft": lambda x, **options: fft.irfft(x * (1 + 2j), **options),
    "irfft of real": lambda x, **options: fft.irfft(x, **options),
    "hfft": lambda x, **options: fft.hfft(x * (1 - 2j), **options),
}


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("length", [1, 2, 3, 7, 8])
def test_transforms_of_every_length(name: str, length: int) -> None:
    options = {"n": 1} if length == 1 and name.startswith(("irfft", "hfft")) else {}
    check(lambda x: REAL[name](x, **options), normal(length))
    check_shown(lambda x: REAL[name](x, **options), normal(length))


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
@pytest.mark.parametrize("n", [None, 4, 5, 9])
@pytest.mark.parametrize("axis", [-1, 0])
def test_norm_length_and_axis(name: str, norm: Any, n: Any, axis: int) -> None:
    check(lambda x: REAL[name](x, n=n, axis=axis, norm=norm), normal(3, 6))


SEVERAL_AXES = {
    "fft2": lambda x: parts(fft.fft2(x)),
    "ifft2": lambda x: parts(fft.ifft2(x, axes=(0, 2))),
    "fftn": lambda x: parts(fft.fftn(x, axes=(0, 2))),
    "fftn of another shape": lambda x: parts(fft.fftn(x, s=(3, -1), axes=(0, 1))),
    "ifftn": lambda x: parts(fft.ifftn(x, norm="ortho")),
    "rfft2": lambda x: parts(fft.rfft2(x)),
    "rfftn": lambda x: parts(fft.rfftn(x, s=(3, 5), axes=(0, 1))),
    "irfft2": lambda x: fft.irfft2(fft.rfft2(x), s=x.shape[1:]),
    "irfftn": lambda x: fft.irfftn(fft.rfftn(x)),
    "irfftn of another shape": lambda x: fft.irfftn(x * (1 + 1j), s=(5, 3), axes=(1, 0), norm="forward"),
}


@pytest.mark.parametrize("name", SEVERAL_AXES)
def test_transforms_over_several_axes(name: str) -> None:
    check(SEVERAL_AXES[name], normal(4, 3, 2))
    check_shown(SEVERAL_AXES[name], normal(4, 3, 2))


def test_values_are_numpys_to_the_bit() -> None:
    x = normal(3, 12)
    for function in (fft.rfft, fft.fft, fft.ifft, fft.rfft2, fft.fft2, fft.fftn):
        value, _ = fg.jvp(lambda x, function=function: parts(function(x)), (x,), (x,))
        np.testing.assert_array_equal(value, parts(function(x)))


def test_the_energy_of_a_spectrum_has_the_gradient_that_parseval_says() -> None:
    x = normal(9)
    np.testing.assert_allclose(fg.grad(lambda x: np.sum(np.abs(fft.fft(x)) ** 2))(x), 18 * x, rtol=1e-13)
    np.testing.assert_allclose(
        fg.hessian(lambda x: np.sum(fft.fft(x).real ** 2 + fft.fft(x).imag ** 2))(x), 18 * np.eye(9), atol=1e-12
    )


def test_there_and_back_is_the_identity() -> None:
    for n in (6, 7):
        jacobian = fg.jacobian(lambda x, n=n: fft.irfft(fft.rfft(x), n))(normal(n))
        np.testing.assert_allclose(jacobian, np.eye(n), atol=1e-15)


# ---- programs


def filtered_in_place(x: Any) -> Any:
    spectrum = fft.rfft(x)
    spectrum[5:] = 0
    spectrum[1] *= 2j
    spectrum[2:4] += 1.0 - 1.0j
    spectrum.real[0] = 1.0
    spectrum.imag = spectrum.imag * 2.0
    spectrum *= 0.5
    spectrum -= 1j * x[0]
    return fft.irfft(spectrum)


def gathered(x: Any) -> Any:
    spectrum = np.zeros(5, complex)
    spectrum[:] = fft.rfft(x)
    return np.abs(spectrum)


def alternating(x: Any) -> Any:
    z = fft.fft(x)
    view, conjugate, copy = z[::2], np.conj(z), z.copy()
    view[...] = x[0]
    return parts(z), parts(conjugate), parts(copy)


PROGRAMS: dict[str, tuple[Any, ...]] = {
    "power spectrum": (lambda x: np.abs(fft.rfft(x)) ** 2, normal(8)),
    "phase": (lambda x: np.angle(fft.rfft(x)) + np.angle(fft.rfft(x), deg=True), normal(7)),
    "convolution": (lambda x, y: fft.irfft(fft.rfft(x, 8) * fft.rfft(y, 8)), normal(5), normal(4)),
    "deconvolution": (lambda x, y: fft.irfft(fft.rfft(x) / (fft.rfft(y) + 5.0)), normal(8), normal(8)),
    "autocorrelation": (lambda x: fft.ifft(fft.fft(x) * fft.fft(x).conj()).real, normal(8)),
    "delay": (
        lambda x, d: fft.irfft(fft.rfft(x) * np.exp(-2j * np.pi * fft.rfftfreq(8) * d)),
        normal(8),
        np.asarray(0.3),
    ),
    "filter": (lambda x: fft.irfft(fft.rfft(x) * np.exp(-np.arange(5))), normal(8)),
    "filter in place": (filtered_in_place, normal(16)),
    "band chosen by where": (lambda x: fft.irfft(np.where(fft.rfftfreq(16) < 0.2, fft.rfft(x), 0)), normal(16)),
    "band chosen by a mask": (lambda x: fft.irfft(fft.rfft(x) * (fft.rfftfreq(16) < 0.2)), normal(16)),
    "derivative": (lambda x: fft.ifft(2j * np.pi * fft.fftfreq(9) * fft.fft(x)).real, normal(9)),
    "Hilbert transform": (lambda x: np.abs(fft.ifft(fft.fft(x) * np.array([1, 2, 2, 2, 1, 0, 0, 0]))), normal(8)),
    "shifts": (lambda x: parts(fft.ifftshift(fft.fftshift(fft.fft2(x)) * np.arange(6.0), axes=1)), normal(5, 6)),
    "shift of a signal": (lambda x: fft.fftshift(x) * fft.ifftshift(x, axes=(0,)), normal(5, 2)),
    "spectrogram": (
        lambda x: np.log(np.abs(fft.rfft(np.stack([x[k : k + 8] * np.hanning(8) for k in range(0, 9, 4)]))) ** 2 + 0.1),
        normal(16),
    ),
    "transform by a matrix": (
        lambda x: np.abs(np.exp(-2j * np.pi * np.outer(np.arange(8), np.arange(8)) / 8) @ x),
        normal(8),
    ),
    "order parameter": (lambda x: np.abs(np.mean(np.exp(1j * x))), normal(8)),
    "impedance": (lambda r, c: np.abs(1 / (1 / r + 1j * c)), normal(3) ** 2 + 1, normal(3) ** 2 + 1),
    "views and copies": (alternating, normal(6)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_with_spectra(name: str) -> None:
    check_orders(*PROGRAMS[name])


# ---- arithmetic and functions of complex values

UFUNCS = [
    np.exp, np.exp2, np.log, np.log2, np.log10, np.sqrt, np.sin, np.cos, np.sinh, np.cosh, np.square, np.conjugate,
    np.reciprocal, np.negative, np.positive, np.sign, np.expm1, np.log1p, np.tan, np.tanh, np.arcsin, np.arccos,
    np.arctan, np.arcsinh, np.arccosh, np.arctanh,
]  # fmt: skip
FUNCTIONS: dict[str, Any] = {ufunc.__name__: ufunc for ufunc in UFUNCS}
FUNCTIONS |= {f"power {p}": lambda z, p=p: z**p for p in (1, 2, 3, 7, -1, -2, 0.5, -1.5, 1 + 1j)}
FUNCTIONS |= {
    "power of a number": lambda z: 2.0**z,
    "power of itself": lambda z: z**z,
    "plus": lambda z: z + 1.0 - (2.0 - z) + (1j + z),
    "times": lambda z: z * 2.0 * (3j * z) * z.real,
    "divided": lambda z: z / 2.0 + z / (1 + 2j) + 1j / z + 2.0 / z + z / z.real,
    "absolute": lambda z: abs(z) + np.abs(z) * 1j,
    "real and imag": lambda z: np.real(z) * 1j + np.imag(z),
    "sums": lambda z: np.sum(z) + z.sum() * z.mean() + np.mean(z),
    "running sum": lambda z: np.cumsum(z),
    "differences": lambda z: np.diff(z),
    "shapes": lambda z: z.reshape(3, 2).T.ravel() + z.reshape(2, 3).transpose(1, 0).flatten(),
    "repeated": lambda z: np.tile(np.repeat(z, 2), 2) * np.broadcast_to(z[0], (24,)),
    "rolled": lambda z: np.roll(z, 1) * np.flip(z) + z[::-1] * z[np.array([0, 0, 1, 1, 2, 2])],
    "joined": lambda z: np.concatenate([z, z.real, [1.0, 2j]]),
    "stacked": lambda z: np.stack([z, 2 * z, np.ones(6)]),
    "padded": lambda z: np.pad(z, (1, 2)),
    "split": lambda z: np.concatenate(np.split(z, 3)[::-1]),
    "chosen": lambda z: np.where(z.real > 0, z, 1j),
    "spread": lambda z: np.var(z) * 1j + np.std(z, ddof=1) + np.var(z.reshape(2, 3), 0, keepdims=True).ravel()[0],
    "norm": lambda z: np.linalg.norm(z) * 1j + np.linalg.norm(z, 1),
    "vdot": lambda z: np.vdot(z, z * z) + np.vecdot(z, 2j * z),
    "dot": lambda z: np.dot(z, z * z) + z @ (2j * z) + np.inner(z, z.real),
    "outer": lambda z: np.outer(z, z) + np.kron(z, z).reshape(6, 6),
    "matmul": lambda z: z.reshape(2, 3) @ z.reshape(3, 2) + np.tensordot(z.reshape(2, 3), z.reshape(3, 2), 1),
    "convolved": lambda z: np.convolve(z, z[:3]) + np.correlate(z, z[:3], "full"),
    "einsum": lambda z: np.einsum("i,j->ij", z, z.real) + np.einsum("i->", z),
    "elements": lambda z: sum(element * element for element in z),
    "of a number": lambda z: np.exp(z[0]) * z[1] ** 2 / z[2],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_complex_values(name: str) -> None:
    check_orders(lambda x, y: parts(FUNCTIONS[name](x + 1j * y)), normal(6) + 0.1, normal(6) + 0.2)
    check_shown(lambda x, y: FUNCTIONS[name](x + 1j * y), normal(6) + 0.1, normal(6) + 0.2)


def test_functions_keep_their_digits_far_out() -> None:
    x, y = np.array([1e200, -1e200, 1e-200, -4.0, 0.0, -1e-300]), np.array([1e200, 1e-200, -1e-200, -0.0, 0.0, 1e150])
    for function in (np.sqrt, np.abs, np.log, lambda z: z / z, lambda z: 1 / z, np.sign):
        with np.errstate(all="ignore"):
            z = np.empty(6, complex)
            z.real, z.imag = x, y
            expected = function(z)
            found, _ = fg.jvp(
                lambda x, y, f=function: np.stack([np.real(f(x + 1j * y)), np.imag(f(x + 1j * y))]), (x, y), (x, y)
            )
        finite = np.isfinite(expected) & (np.arange(6) != 3)
        np.testing.assert_allclose(found[0][finite], np.real(expected)[finite], rtol=1e-14)
        np.testing.assert_allclose(found[1][finite], np.imag(expected)[finite], rtol=1e-14)


def test_functions_keep_their_digits_near_zero_and_poles_and_far_out() -> None:
    z = np.array([1e-12 + 2e-12j, -3e-9 + 1e-10j, 1e-30 - 1e-30j, 1e-3 + 1j, -20.0 + 1.5j, 300.0 - 1.0j])
    for function, wanted in {
        np.expm1: mpmath.expm1, np.log1p: mpmath.log1p, np.tan: mpmath.tan, np.tanh: mpmath.tanh,
        np.arcsin: mpmath.asin, np.arccos: mpmath.acos, np.arctan: mpmath.atan,
        np.arcsinh: mpmath.asinh, np.arccosh: mpmath.acosh, np.arctanh: mpmath.atanh,
    }.items():  # fmt: skip
        with mpmath.workdps(120):
            expected = [complex(wanted(mpmath.mpc(point))) for point in z]
        found, _ = fg.jvp(
            lambda x, y, f=function: (np.real(f(x + 1j * y)), np.imag(f(x + 1j * y))),
            (z.real, z.imag),
            (z.real, z.imag),
        )
        np.testing.assert_allclose(found[0], np.real(expected), rtol=1e-13, err_msg=function.__name__)
        np.testing.assert_allclose(found[1], np.imag(expected), rtol=1e-13, err_msg=function.__name__)


def test_questions_about_complex_values_are_answered_as_by_numpy() -> None:
    def function(x: Any) -> Any:
        z = fft.rfft(x)
        plain = fft.rfft(np.ones(8))
        assert (z.shape, z.ndim, z.size, len(z), z.dtype, z.nbytes) == ((5,), 1, 5, 5, np.complex128, 80)
        assert np.shape(z) == (5,)
        assert np.ndim(z) == 1
        assert np.size(z) == 5
        assert np.iscomplexobj(z)
        assert not np.isrealobj(z)
        assert np.zeros_like(z).dtype == np.complex128
        assert repr(plain[0]) in repr(fft.rfft(np.ones(8) * x / x)) or "RecordedComplex" in repr(z)
        return np.sum((z == z) * x[:5] + (z != z) * x[:5] + np.isfinite(z) * x[:5] + np.isnan(z) + np.isinf(z))

    np.testing.assert_array_equal(fg.grad(function)(np.arange(1.0, 9.0)), [2, 2, 2, 2, 2, 0, 0, 0])


def test_the_outcome_of_a_test_is_guarded() -> None:
    gradient = fg.grad(lambda x: np.sum(x) if fft.rfft(x)[0] else np.sum(x * x))
    np.testing.assert_array_equal(gradient(np.array([1.0, 2.0])), [1.0, 1.0])
    np.testing.assert_array_equal(gradient(np.array([1.0, -1.0])), [2.0, -2.0])


def test_captured_filters_are_read_whenever_the_tape_runs() -> None:
    response = np.exp(1j * np.arange(3.0))
    gradient = fg.grad(lambda x: np.sum(fft.irfft(fft.rfft(x) * response) * np.arange(4.0)))
    for factor in (1.0, 2.0):
        response *= factor
        expected = [np.sum(fft.irfft(fft.rfft(row) * response) * np.arange(4.0)) for row in np.eye(4)]
        np.testing.assert_allclose(gradient(np.ones(4)), expected, rtol=1e-13, atol=1e-14)


def test_batches_and_inner_derivatives_of_transforms() -> None:
    rows = normal(5, 6)

    def energy(x: Any) -> Any:
        return np.sum(np.abs(fft.rfft(np.sin(x))) ** 2)

    np.testing.assert_allclose(fg.vmap(fg.grad(energy))(rows), [fg.grad(energy)(row) for row in rows], rtol=1e-12)
    check(lambda x: fg.grad(energy)(x) * fft.irfft(fft.rfft(x) * x[0]), normal(6))


# ---- refusals

REMEDY = r"Differentiated are real values: use z\.real, z\.imag, np\.abs\(z\) or np\.angle\(z\)\."


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda z: z, fg.UnsupportedError, "a complex value cannot be used here"),
        (lambda z: np.cbrt(z), fg.UnsupportedError, r"np\.cbrt of complex values cannot be recorded"),
        (lambda z: np.median(z), fg.UnsupportedError, r"np\.median of complex values cannot be recorded"),
        (lambda z: np.linalg.inv(np.outer(z, z)), fg.UnsupportedError, r"np\.linalg\.inv of complex values"),
        (lambda z: np.linalg.norm(np.outer(z, z), 2), fg.UnsupportedError, r"np\.linalg\.norm of complex values"),
        (lambda z: np.multiply.reduce(z), fg.UnsupportedError, r"np\.multiply\.reduce of complex values"),
        (lambda z: np.add(z, z, where=[True]), fg.UnsupportedError, r"np\.add with where= of complex values"),
        (lambda z: z.argsort(), fg.UnsupportedError, r"the array method \.argsort of complex values"),
        (lambda z: z < z, fg.UnsupportedError, r"the operator __lt__ of complex values"),
        (lambda z: z // 2, fg.UnsupportedError, r"the operator __floordiv__ of complex values"),
        (lambda z: float(z[0]), fg.LostDerivativeError, "a recorded complex value was turned into a Python number"),
        (lambda z: complex(z[0]), fg.LostDerivativeError, "a recorded complex value was turned into a Python number"),
        (lambda z: fg.sigmoid(z), fg.InputError, "a complex value met an operation on real ones"),
    ],
)
def test_what_complex_values_cannot_do_is_refused_by_name(call: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message + ".*" + REMEDY):
        fg.record(lambda x: call(fft.rfft(x)), normal(4))


def test_a_complex_value_is_not_written_into_a_real_array() -> None:
    def function(x: Any) -> Any:
        y = x * 2.0
        y[:] = fft.fft(x)
        return y

    with pytest.raises(fg.InputError, match="a complex value met an operation on real ones"):
        fg.record(function, normal(4))


def test_a_complex_array_made_inside_takes_a_spectrum_or_refuses_it() -> None:
    with pytest.raises(fg.FastgradError, match="complex"):
        fg.record(gathered, normal(8))


def test_complex_arguments_stay_refused() -> None:
    with pytest.raises(fg.InputError, match="complex"):
        fg.grad(lambda z: np.sum(np.abs(z)))(np.ones(2, complex))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: fft.rfft(x, 0),
        lambda x: fft.rfft(x, axis=1),
        lambda x: fft.rfft(x, norm="some"),
        lambda x: fft.ihfft(x, norm="some"),
        lambda x: fft.irfft(x[:1]),
        lambda x: fft.fft2(x),
        lambda x: fft.fftn(x, s=(2, 2), axes=(0,)),
        lambda x: fft.fftn(x, s=(0,), axes=(0,)),
    ],
)
def test_what_does_not_fit_raises_numpys_error(call: Any) -> None:
    x = normal(4)
    with pytest.raises((ValueError, IndexError)) as by_numpy:
        call(x)
    with pytest.raises(by_numpy.type) as recorded:
        fg.record(lambda x: call(x).real, x)
    assert str(recorded.value) == str(by_numpy.value)
