"""Why a test of autograd does not pass on fastgrad."""

from dataclasses import dataclass

__all__ = ["N_TESTS", "REASONS", "Reason"]

# all tests of autograd's suite
N_TESTS = 587

INTERNALS = "autograd's own machinery"
CHOICES = "fastgrad answers otherwise, on purpose"
COMPLEX = "Complex numbers"
SCIPY = "SciPy"


@dataclass(frozen=True)
class Reason:
    """A reason, the words in the outcome that show it (a regular expression), and the tests that it holds for."""

    group: str
    why: str
    shown_by: str
    tests: tuple[str, ...]


def _of(module: str, names: str) -> tuple[str, ...]:
    return tuple(f"{module}.py::{name}" for name in names.split())


REASONS = (
    Reason(
        INTERNALS,
        "Tests of `primitive`, `defvjp` and `defjvp`: fastgrad has no derivatives defined by the user yet.",
        r"NotImplementedError: fastgrad has no derivatives defined by the user",
        (
            *_of("test_logic", "test_no_vjp_def test_no_jvp_def"),
            *_of("test_misc", "test_const_graph_args"),
            *_of("test_tests", "test_check_vjp_1st_order_fail test_check_vjp_2nd_order_fail"),
            *_of(
                "test_wrappers",
                "test_deprecated_defgrad_wrapper test_deprecated_defvjp_wrapper test_deprecated_defvjp_is_zero_wrapper",
            ),
        ),
    ),
    Reason(
        INTERNALS,
        "Tests of `vspace`, autograd's vector space objects.",
        r"NotImplementedError: fastgrad has no vector space objects",
        _of(
            "test_vspaces",
            "test_array_vspace test_array_vspace_0_dim test_array_vspace_complex test_list_vspace test_tuple_vspace "
            "test_dict_vspace test_mixed_vspace",
        ),
    ),
    Reason(
        INTERNALS,
        "Test of `const_graph`; fastgrad keeps recordings by itself.",
        r"NotImplementedError: fastgrad keeps recordings by itself",
        _of("test_misc", "test_const_graph"),
    ),
    Reason(
        INTERNALS,
        "Test of `checkpoint`; fastgrad has no checkpointing.",
        r"NotImplementedError: fastgrad has no checkpointing",
        _of("test_wrappers", "test_checkpoint_correctness"),
    ),
    Reason(
        INTERNALS,
        "Tests of functions that autograd adds to NumPy: `make_diagonal`, `linalg._dot`.",
        r"AttributeError: module 'numpy(\.linalg)?' has no attribute '(make_diagonal|_dot)'",
        (*_of("test_numpy", "test_make_diagonal test_diagonal"), *_of("test_linalg", "test_pinv")),
    ),
    Reason(
        INTERNALS,
        "Test of the names and docstrings of autograd's functions.",
        r"AttributeError: 'NoneType' object has no attribute 'startswith'",
        _of("test_wrappers", "test_wrapped_name_and_docs"),
    ),
    Reason(
        INTERNALS,
        "Skipped by autograd itself.",
        r"^skipped$",
        _of("test_wrappers", "test_dtypes"),
    ),
    Reason(
        INTERNALS,
        "Succeeds, but takes no derivative, so that it says nothing about fastgrad.",
        r"^no derivative taken$",
        (
            *_of("test_numpy", "test_numpy_version"),
            *_of("test_wrappers", "test_partial"),
        ),
    ),
    Reason(
        CHOICES,
        "Expects that assignment is refused; fastgrad follows it.",
        r"DID NOT RAISE.*TypeError",
        _of("test_graphs", "test_assignment_raises_error"),
    ),
    Reason(
        CHOICES,
        "Expects that a result that is a truth value is refused; for fastgrad it is a constant, with gradient 0.",
        r"DID NOT RAISE.*TypeError",
        _of("test_logic", "test_nograd"),
    ),
    Reason(
        CHOICES,
        "Expects that `rfftn` with an odd last axis is refused; fastgrad differentiates it.",
        r"DID NOT RAISE.*NotImplementedError",
        _of("test_fft", "test_rfftn_odd_not_implemented"),
    ),
    Reason(
        CHOICES,
        "Differentiates by an empty list, which fastgrad refuses: there is nothing to differentiate by.",
        r"InputError: positional argument 0 is empty",
        _of("test_builtins", "test_isinstance"),
    ),
    Reason(
        COMPLEX,
        "Decompositions of complex matrices are refused.",
        r"np\.linalg\.(eigh|eig|svd) of complex values cannot be recorded",
        _of(
            "test_linalg",
            "test_eigvalh_lower_complex test_eigvalh_upper_complex test_eig_complex test_eig_batched "
            "test_svd_wide_2d_complex test_svd_wide_3d_complex test_svd_square_2d_complex test_svd_square_3d_complex "
            "test_svd_tall_2d_complex test_svd_tall_3d_complex test_svd_only_s_2d_complex test_svd_only_s_3d_complex",
        ),
    ),
    Reason(
        COMPLEX,
        "The real matrix has complex eigenvalues, which are refused.",
        r"a matrix has complex eigenvalues",
        _of("test_linalg", "test_eig_real"),
    ),
    Reason(
        COMPLEX,
        "Checks a function at real and at complex arguments; it passes at the real ones, and the function is refused "
        "at complex ones.",
        r"np\.\w+ of complex values cannot be recorded",
        (
            *_of("test_logic", "test_falseyness test_unimplemented_falseyness"),
            *_of("test_scipy", "test_erf test_erfc"),
            *_of(
                "test_systematic",
                "test_max test_min test_prod test_real_ic",
            ),
        ),
    ),
    Reason(
        SCIPY,
        "`scipy.stats.beta.pdf` calls a private function of SciPy that has no definition in fastgrad.",
        r"np\._beta_pdf cannot be recorded",
        _of("test_scipy", "test_beta_pdf"),
    ),
    Reason(
        SCIPY,
        "`scipy.stats.t.logcdf` selects with arrays of objects that hold recorded truth values.",
        r"IndexError: only integers, slices",
        _of("test_scipy", "test_t_logcdf test_t_logcdf_broadcast"),
    ),
    Reason(
        SCIPY,
        "`scipy.integrate.odeint` hands its arguments to compiled code and has no definition in fastgrad.",
        r"a recorded value was turned into a Python float",
        _of("test_scipy", "test_odeint"),
    ),
    Reason(
        SCIPY,
        "`scipy.linalg.solve_sylvester` calls `scipy.linalg.schur`, which is refused.",
        r"scipy\.linalg\.schur cannot be recorded",
        _of("test_scipy", "test_solve_sylvester"),
    ),
    Reason(
        SCIPY,
        "`scipy.linalg.sqrtm` hands its argument to compiled code and has no definition in fastgrad.",
        r"argument 1 must be numpy.ndarray, not RecordedArray",
        _of("test_scipy", "test_sqrtm"),
    ),
    Reason(
        SCIPY,
        "autograd's `scipy.signal.convolve` has arguments that SciPy's has not.",
        r"convolve\(\) got an unexpected keyword argument 'axes'",
        _of("test_scipy", "test_convolve_generalization test_convolve_ignore test_convolve_ignore_dot"),
    ),
    Reason(
        SCIPY,
        "`scipy.signal.convolve` in two dimensions has no definition in fastgrad.",
        r"ValueError: Unsupported type",
        _of("test_scipy", "test_convolve_2d"),
    ),
    Reason(
        SCIPY,
        "`scipy.special.multigammaln` differentiates when called by name; here it is reached through several closures, "
        "where no stand-in takes its place.",
        r"ufunc 'gammaln' not supported for the input types",
        _of("test_scipy", "test_multigammaln"),
    ),
)
