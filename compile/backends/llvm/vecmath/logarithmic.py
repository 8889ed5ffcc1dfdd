"""log and its relatives: x = m 2**k with m near one, then log(m) = 2 atanh((m - 1) / (m + 1))."""

import math

from tapegrad.compile.backends.llvm.vecmath.emit import (
    Formula,
    Scalar,
    bits,
    constant,
    copysign,
    fast_two_sum,
    fma,
    from_bits,
    number,
    polynomial,
    sqrt,
    two_product,
    two_sum,
    where,
)
from tapegrad.compile.backends.llvm.vecmath.exponential import exp, exp2

INF = float("inf")


def decompose(x: Scalar) -> tuple[Scalar, Scalar]:
    """Return k as a number, and m between sqrt(1/2) and sqrt(2), for a normal number x > 0."""
    format_ = x.format
    one = format_.bias << format_.mantissa
    root = {64: 0x3FE6A09E667F3BCD, 32: 0x3F3504F3}[format_.bits]
    shifted = bits(x) + (one - root)
    # The biased exponent becomes the low mantissa bits of a number whose unit is 1.
    unit = 2.0**format_.mantissa
    unit_bits = (format_.bias + format_.mantissa) << format_.mantissa
    k = from_bits((shifted >> format_.mantissa) | unit_bits) - (unit + format_.bias)
    m = from_bits((shifted & ((1 << format_.mantissa) - 1)) + root)
    return k, m


def normalise(x: Scalar) -> tuple[Scalar, Scalar]:
    """Return `decompose` of a number that may also be subnormal."""
    format_ = x.format
    small = x < format_.tiny
    lift = format_.mantissa + 1
    k, m = decompose(where(small, x * 2.0**lift, x))
    return where(small, k - float(lift), k), m


def finish(x: Scalar, result: Scalar) -> Scalar:
    """Put in the logarithms of zero, of negative numbers, of inf and of nan."""
    result = where(x == 0.0, -INF, where(x < 0.0, float("nan"), result))
    return where(x < INF, result, x)


def series(k: Scalar, f: Scalar, rest: Scalar | float = 0.0) -> Scalar:
    """Return k ln2 + log(1 + f) + rest, for a small rest."""
    high, low = constant("ln2", f)
    s = f / (f + 2.0)
    z = s * s
    half = f * f * 0.5
    tail = fma(s, fma(z, polynomial("log", z), half), fma(k, low, rest))
    return fma(k, high, f - (half - tail))


def log_of_sum(x: Scalar, rest: Scalar, doublings: Scalar | float = 0.0) -> Scalar:
    """Return log((x + rest) * 2**doublings) for a normal x and a rest that is small beside it."""
    k, m = decompose(x)
    return series(k + doublings, m - 1.0, rest / x)


def log(x: Scalar) -> Scalar:
    k, m = normalise(x)
    return finish(x, series(k, m - 1.0))


def log1p(x: Scalar) -> Scalar:
    u, rest = two_sum(x, 1.0)
    result = finish(u, log_of_sum(u, rest))
    return where(abs(x) < x.format.epsilon / 2, x, result)


def series_parts(f: Scalar, base: str) -> tuple[Scalar, Scalar]:
    """Return log(1 + f) as a sum, in the base of which the constant is 1/log(base)."""
    first, second = constant(base, f)
    s = f / (f + 2.0)
    z = s * s
    half = f * 0.5
    square, square_rest = two_product(f, half)
    high, low = fast_two_sum(f, -square)
    low = low + fma(s, fma(z, polynomial("log", z), square), -square_rest)
    product, product_rest = two_product(high, first)
    return product, product_rest + fma(high, second, low * first)


def log2(x: Scalar) -> Scalar:
    k, m = normalise(x)
    product, rest = series_parts(m - 1.0, "1/ln2")
    total, error = fast_two_sum(k, product)
    return finish(x, total + (error + rest))


def log10(x: Scalar) -> Scalar:
    k, m = normalise(x)
    high, low = constant("log10_2", x)
    product, rest = series_parts(m - 1.0, "1/ln10")
    total, error = fast_two_sum(k * high, product)
    return finish(x, total + (error + fma(k, low, rest)))


def log_parts(x: Scalar) -> tuple[Scalar, Scalar]:
    """Return log(x) for x > 0 as a sum with about 64 bits for float64, 33 for float32."""
    k, m = normalise(x)
    f = m - 1.0
    # s = f / (2 + f) and z = s * s
    d, d_rest = fast_two_sum(number(f, 2.0), f)
    inverse = 1.0 / d
    s = f * inverse
    s_rest = (fma(-s, d, f) - s * d_rest) * inverse
    z, z_rest = two_product(s, s)
    z_rest = fma(s + s, s_rest, z_rest)
    # log(m) = s (2 + z (2/3 + z (...)))
    first, second = constant("2/3", x)
    p = z * polynomial("log_rest", z)
    p, p_rest = fast_two_sum(number(p, first), p)
    t, t_rest = two_product(z, p)
    t_rest = t_rest + fma(z, p_rest + second, z_rest * p)
    u, u_rest = fast_two_sum(number(t, 2.0), t)
    product, product_rest = two_product(s, u)
    product_rest = product_rest + fma(s, u_rest + t_rest, s_rest * u)
    high, low = constant("ln2", x)
    total, error = fast_two_sum(k * high, product)
    return fast_two_sum(total, error + fma(k, low, product_rest))


def _is_large(a: Scalar) -> Scalar:
    """Return where a * a + 1 equals a * a."""
    return a > 2.0 ** (a.format.mantissa // 2 + 2)


def _plus_root(a: Scalar, offset: float) -> Scalar:
    """Return log(a + sqrt(a * a + offset)); the square is taken in two parts."""
    large = _is_large(a)
    b = where(large, 1.0, a)
    square, square_rest = two_product(b, b)
    w, w_rest = two_sum(square, offset)
    root = sqrt(w)
    rest = (fma(-root, root, w) + (w_rest + square_rest)) * 0.5 / root
    rest = where(root == 0.0, 0.0, rest)
    u, error = two_sum(b, root)
    u = where(large, a, u)
    return log_of_sum(u, where(large, 0.0, error + rest), where(large, b, 0.0))


def arcsinh(x: Scalar) -> Scalar:
    a = abs(x)
    result = where(a < INF, copysign(_plus_root(a, 1.0), x), x)
    return where(a < x.format.epsilon**0.5, x, result)


def arccosh(x: Scalar) -> Scalar:
    return where(x < 1.0, float("nan"), where(x < INF, _plus_root(x, -1.0), x))


def arctanh(x: Scalar) -> Scalar:
    a = abs(x)
    n, n_rest = fast_two_sum(number(a, 1.0), a)
    d, d_rest = fast_two_sum(number(a, 1.0), -a)
    inverse = 1.0 / d
    q = n * inverse
    q_rest = (fma(-q, d, n) + (n_rest - q * d_rest)) * inverse
    result = log_of_sum(q, q_rest) * 0.5
    result = where(a == 1.0, INF, where(a > 1.0, float("nan"), result))
    return where(a < x.format.epsilon**0.5 / 2, x, copysign(result, x))


def logaddexp(x: Scalar, y: Scalar) -> Scalar:
    rest = log1p(exp(-abs(x - y)))
    # Equal infinities have no difference.
    return where(x == y, x + math.log(2), where(x > y, x, y) + rest)


def logaddexp2(x: Scalar, y: Scalar) -> Scalar:
    rest = log1p(exp2(-abs(x - y))) * (1 / math.log(2))
    return where(x == y, x + 1.0, where(x > y, x, y) + rest)


FORMULAS: dict[str, tuple[Formula, int]] = {
    "log": (log, 1),
    "log1p": (log1p, 1),
    "log2": (log2, 1),
    "log10": (log10, 1),
    "arcsinh": (arcsinh, 1),
    "arccosh": (arccosh, 1),
    "arctanh": (arctanh, 1),
    "logaddexp": (logaddexp, 2),
    "logaddexp2": (logaddexp2, 2),
}
