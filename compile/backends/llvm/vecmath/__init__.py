"""Elementary functions that LLVM vectorises inside a kernel's loop: no calls, no branches.

Numba has no vector mathematics library, so one `np.exp` in a loop keeps the whole loop scalar.
`formulas.lookup` gives, for the name of a NumPy ufunc and a dtype, a function to be called in compiled
code in its place. What there is, and how good it is, is stated here, and can be had without Numba.

    exp = lookup("exp", "float64")

    @numba.njit(error_model="numpy")
    def kernel(x, out):
        for i in range(x.size):
            out[i] = exp(x[i])

The functions are Numba intrinsics: they write their instructions into the caller (`emit.py`).
They need a processor with fused multiply-add and a caller without fast-math flags.
Accuracy, speed and compile times are in `docs/vecmath.md`.
"""

__all__ = ["LIMITS", "NAMES", "ULPS"]

#: Largest distance from the exact result in units in the last place of it. For logaddexp and
#: logaddexp2 the unit is that of the largest of |x|, |y| and the result.
ULPS = {
    **dict.fromkeys(("negative", "absolute", "fabs", "sign", "copysign"), 0.0),
    **dict.fromkeys(("maximum", "minimum", "fmax", "fmin", "rint", "floor", "ceil", "trunc"), 0.0),
    **dict.fromkeys(("sqrt", "square", "reciprocal"), 0.5),
    **dict.fromkeys(("log", "log1p", "log2", "log10", "arcsinh", "arccosh", "arctanh"), 1.0),
    **dict.fromkeys(("sin", "cos", "exp2", "cbrt"), 1.0),
    **dict.fromkeys(("exp", "expm1", "tan", "tanh", "cosh", "arccos", "hypot"), 1.5),
    **dict.fromkeys(("sinh", "arcsin", "arctan", "arctan2", "power"), 2.0),
    **dict.fromkeys(("logaddexp", "logaddexp2"), 3.0),
}

NAMES = frozenset(ULPS)

#: These functions are right only for |x| up to the limit; nan and inf give nan as they should.
LIMITS = {
    (name, dtype): limit
    for dtype, limit in (("float64", 2.0**36), ("float32", 2.0**16))
    for name in ("sin", "cos", "tan")
}
