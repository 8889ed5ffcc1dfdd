"""Mathematical functions, under the name that MyGrad's documentation gives their section.

>>> from tapegrad import math
>>> math.multiply([1.0, 2.0], 3.0)
Tensor([3., 6.])
"""

from tapegrad.ops import (  # noqa: I001  # many to a line
    abs, absolute, add, add_sequence, amax, amin, arccos, arccosh, arcsin, arcsinh, arctan, arctan2,
    arctanh, cbrt, clip, cos, cosh, cumprod, cumsum, divide, einsum, exp, exp2, expm1, log, log1p,
    log2, log10, logaddexp, logaddexp2, matmul, max, maximum, mean, min, minimum, multi_matmul,
    multiply, multiply_sequence, negative, positive, power, prod, reciprocal, sin, sinc, sinh, sqrt,
    square, std, subtract, sum, tan, tanh, true_divide, var,
)  # fmt: skip

__all__ = [
    "abs", "absolute", "add", "add_sequence", "amax", "amin", "arccos", "arccosh", "arcsin",
    "arcsinh", "arctan", "arctan2", "arctanh", "cbrt", "clip", "cos", "cosh", "cumprod", "cumsum",
    "divide", "einsum", "exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "logaddexp",
    "logaddexp2", "matmul", "max", "maximum", "mean", "min", "minimum", "multi_matmul", "multiply",
    "multiply_sequence", "negative", "positive", "power", "prod", "reciprocal", "sin", "sinc",
    "sinh", "sqrt", "square", "std", "subtract", "sum", "tan", "tanh", "true_divide", "var",
]  # fmt: skip
