"""The programs on which fastgrad is wrong today, and why; the page lists them, and a test fails once one is right."""

ZERO_TIMES_INFINITY = "0 * inf of derivatives counts as 0 where the limit is another number"
NOT_YET = {
    "square of a root at 0": ZERO_TIMES_INFINITY,
    "harmonic mean with a zero": ZERO_TIMES_INFINITY,
    "square of a norm at 0": ZERO_TIMES_INFINITY,
    "root of a fourth power at 0": ZERO_TIMES_INFINITY,
    "second derivative of a power spectrum": ZERO_TIMES_INFINITY,
    "second derivative of a guarded quotient": "the constant that stands at the point is differentiated",
    "branch for a single point": "the constant that stands at the point is differentiated",
    "identity by where at its joint": "both sides are constants at the point",
    "float32 that overflows": "everything is computed in float64, where nothing overflows",
    "arrays combined by numpy alone": "what plain NumPy computes while recording is a constant",
    "matrix rebuilt from equal eigenvalues": "NaN: eigenvectors of equal eigenvalues have no derivative of their own",
}
