"""arctan, arctan2, arcsin and arccos: an identity reduces the argument, then a polynomial."""

from tapegrad.compile.backends.llvm.vecmath.emit import (
    Formula,
    Scalar,
    constant,
    copysign,
    fma,
    number,
    polynomial,
    sqrt,
    where,
)

INF = float("inf")


def _angle(y: Scalar, x: Scalar) -> Scalar:
    """Return arctan(y / x) for y, x >= 0 that are not both zero or inf.

    Above tan(3 pi/8) it is pi/2 - arctan(x / y), above tan(pi/8) it is
    pi/4 + arctan((y - x) / (y + x)), so that one division is enough.
    """
    large = y > x * 2.414213562373095
    middle = y > x * 0.41421356237309503
    t = where(large, -x, where(middle, y - x, y)) / where(large, y, where(middle, y + x, x))
    z = t * t
    high, low, _ = constant("pi/2", y)
    weight = where(large, number(y, 1.0), where(middle, number(y, 0.5), 0.0))
    return fma(weight, high, t + fma(t * z, polynomial("arctan", z), weight * low))


def arctan(x: Scalar) -> Scalar:
    return copysign(_angle(abs(x), number(x, 1.0)), x)


def arctan2(y: Scalar, x: Scalar) -> Scalar:
    a, b = abs(y), abs(x)
    # Their sum must not overflow, and their products must not fall below the normal range.
    large, small = 2.0 ** (x.format.bias - 1), 2.0 ** -(x.format.bias // 2)
    factor = where((a > large) | (b > large), number(x, 0.25), 1.0)
    factor = where((a < small) & (b < small), 1 / small, factor)
    equal = a == b
    b = where(equal, 1.0, b * factor)
    a = where(equal & (a != 0.0), 1.0, a * factor)
    angle = _angle(a, b)
    high, low, _ = constant("pi/2", x)
    angle = where(copysign(number(x, 1.0), x) < 0.0, 2.0 * high - (angle - 2.0 * low), angle)
    return copysign(angle, y)


def _arcsin_parts(x: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """Return where |x| <= 1/2, then s and p with arcsin(s) = s + p.

    There s = |x|, elsewhere s = sqrt((1 - |x|) / 2), for which arccos(|x|) = 2 arcsin(s).
    """
    a = abs(x)
    small = a <= 0.5
    half = (1.0 - a) * 0.5
    z = where(small, a * a, half)
    s = where(small, a, sqrt(half))
    return small, s, s * z * polynomial("arcsin", z)


def arcsin(x: Scalar) -> Scalar:
    small, s, p = _arcsin_parts(x)
    high, low, _ = constant("pi/2", x)
    result = where(small, s + p, high - (s * 2.0 - (low - p * 2.0)))
    return copysign(result, x)


def arccos(x: Scalar) -> Scalar:
    small, s, p = _arcsin_parts(x)
    high, low, _ = constant("pi/2", x)
    s, p = copysign(s, x), copysign(p, x)
    # Elsewhere arccos(x) = 2 arcsin(s) for x > 0, pi - 2 arcsin(s) for x < 0.
    outside = (s + p) * 2.0
    outside = where(x < 0.0, 2.0 * high + (outside + 2.0 * low), outside)
    return where(small, high - (s - (low - p)), outside)


FORMULAS: dict[str, tuple[Formula, int]] = {
    "arctan": (arctan, 1),
    "arctan2": (arctan2, 2),
    "arcsin": (arcsin, 1),
    "arccos": (arccos, 1),
}
