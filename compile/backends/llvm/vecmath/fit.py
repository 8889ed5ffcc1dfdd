"""Computes the polynomials and constants of `coefficients.py`, with no more than `decimal`.

    python -m tapegrad.compile.backends.llvm.vecmath.fit > coefficients.py

Each polynomial is a least-squares fit on Chebyshev nodes, which is within a small factor of the
minimax polynomial. For float32 the coefficients are rounded one by one, lowest order first, and
the rest is fitted again, so that later ones make good the rounding of an earlier one.
"""

import math
from collections.abc import Callable, Sequence
from decimal import Decimal, getcontext

import numpy as np

getcontext().prec = 80

PI = Decimal("3.1415926535897932384626433832795028841971693993751058209749445923078164")
LN2 = Decimal(2).ln()
ROOT2 = Decimal(2).sqrt()


def series(term: Callable[[int], Decimal]) -> Callable[[Decimal], Decimal]:
    """Return the function that is the sum of term(k) * z**k."""
    terms = [Decimal(term(k)) for k in range(150)]

    def evaluate(z: Decimal) -> Decimal:
        total = Decimal(0)
        for coefficient in reversed(terms):
            total = total * z + coefficient
        return total

    return evaluate


def one_over(n: int) -> Decimal:
    """Return 1 / n."""
    return 1 / Decimal(n)


HALF_LN2 = LN2 / 2 * Decimal("1.002")
LOG_EDGE = ((ROOT2 - 1) / (ROOT2 + 1)) ** 2 * Decimal("1.01")
ARCTAN_EDGE = (ROOT2 - 1) ** 2 * Decimal("1.01")
ARCSIN_EDGE = Decimal("0.2501")
SIN_EDGE = Decimal("0.65")

# name: (function, low, high, degree for float64, degree for float32)
FITS = {
    # (exp(r) - 1 - r) / r**2, and the same of 2**r
    "exp": (series(lambda k: one_over(math.factorial(k + 2))), -HALF_LN2, HALF_LN2, 9, 4),
    "exp2": (
        series(lambda k: LN2 ** (k + 2) / math.factorial(k + 2)),
        Decimal("-0.501"),
        Decimal("0.501"),
        9,
        4,
    ),
    # (2 atanh(s) - 2 s) / s**3, of z = s**2; then the same less its first term 2/3, over z
    "log": (series(lambda k: 2 * one_over(2 * k + 3)), Decimal(0), LOG_EDGE, 6, 2),
    "log_rest": (series(lambda k: 2 * one_over(2 * k + 5)), Decimal(0), LOG_EDGE, 7, 2),
    # (sin(r) - r) / r**3 and (cos(r) - 1 + z / 2) / z**2, of z = r**2
    "sin": (
        series(lambda k: (-1) ** (k + 1) * one_over(math.factorial(2 * k + 3))),
        Decimal(0),
        SIN_EDGE,
        5,
        3,
    ),
    "cos": (
        series(lambda k: (-1) ** k * one_over(math.factorial(2 * k + 4))),
        Decimal(0),
        SIN_EDGE,
        5,
        2,
    ),
    # (arctan(t) - t) / t**3 and (arcsin(s) - s) / s**3, of the square
    "arctan": (
        series(lambda k: (-1) ** (k + 1) * one_over(2 * k + 3)),
        Decimal(0),
        ARCTAN_EDGE,
        10,
        4,
    ),
    "arcsin": (
        series(lambda k: math.comb(2 * k + 2, k + 1) * one_over(4 ** (k + 1) * (2 * k + 3))),
        Decimal(0),
        ARCSIN_EDGE,
        12,
        4,
    ),
    "cbrt": (lambda y: y ** (1 / Decimal(3)), Decimal("0.3535"), Decimal("2.829"), 6, 4),
}

# name: (constant, bits kept in each part for float64, for float32). The first part of a logarithm
# is so short that its product with any exponent is exact.
SPLITS = {
    "ln2": (LN2, (42, 53), (15, 24)),
    "log10_2": (LN2 / Decimal(10).ln(), (42, 53), (15, 24)),
    "1/ln2": (1 / LN2, (53, 53), (24, 24)),
    "1/ln10": (1 / Decimal(10).ln(), (53, 53), (24, 24)),
    "pi/2": (PI / 2, (53, 53, 53), (24, 24, 24)),
    "2/3": (Decimal(2) / 3, (53, 53), (24, 24)),
}


def dot(a: list[Decimal], b: list[Decimal]) -> Decimal:
    """Return the sum of the products."""
    return sum((x * y for x, y in zip(a, b, strict=True)), Decimal(0))


def solve(matrix: list[list[Decimal]], right: list[Decimal]) -> list[Decimal]:
    """Solve a positive definite system by elimination."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    for i, pivot in enumerate(rows):
        for row in rows[i + 1 :]:
            factor = row[i] / pivot[i]
            row[i:] = [a - factor * b for a, b in zip(row[i:], pivot[i:], strict=True)]
    solution: list[Decimal] = []
    for i, row in reversed(list(enumerate(rows))):
        known = dot(row[i + 1 : -1], solution)
        solution.insert(0, (row[-1] - known) / row[i])
    return solution


def fit(
    function: Callable[[Decimal], Decimal], low: Decimal, high: Decimal, degree: int, dtype: type
) -> tuple[list[float], Decimal]:
    """Return the coefficients, lowest order first, and the largest error of the fit."""
    count = 4 * degree + 8
    cosines = [Decimal(math.cos(math.pi * (2 * i + 1) / (2 * count))) for i in range(count)]
    nodes = [(low + high) / 2 + (high - low) / 2 * cosine for cosine in cosines]
    values = [function(node) for node in nodes]
    rest, coefficients = values, []
    for order in range(degree + 1):
        if order == 0 or dtype is np.float32:
            # A later order weighs what it contributes to the whole polynomial.
            powers = [[node ** (order + j) for node in nodes] for j in range(degree - order + 1)]
            wanted = [node**order * value for node, value in zip(nodes, rest, strict=True)]
            matrix = [[dot(p, q) for q in powers] for p in powers]
            right = [dot(p, wanted) for p in powers]
            solution = solve(matrix, right)
            first = order
        rounded = float(dtype(float(solution[order - first])))
        coefficients.append(rounded)
        rest = [(v - Decimal(rounded)) / node for v, node in zip(rest, nodes, strict=True)]
    error = max(abs(value * node ** (degree + 1)) for value, node in zip(rest, nodes, strict=True))
    return coefficients, error


def split(value: Decimal, widths: Sequence[int]) -> list[float]:
    """Return numbers of so many bits each whose sum is the value."""
    parts = []
    for width in widths:
        unit = Decimal(2) ** (math.frexp(float(value))[1] - width)
        part = (value / unit).to_integral_value() * unit
        parts.append(float(part))
        value = value - part
    return parts


def main() -> None:
    """Print the module `coefficients.py`."""
    print('"""Polynomial coefficients, lowest order first, keyed by name and bits of the type.\n')
    print("Written by `fit.py`; the comment behind each name is the largest error of the fit.")
    print('"""\n\nPOLYNOMIALS = {')
    for name, (function, low, high, *degrees) in FITS.items():
        for dtype, bits, degree in zip((np.float64, np.float32), (64, 32), degrees, strict=True):
            coefficients, error = fit(function, low, high, degree, dtype)
            print(f'    ("{name}", {bits}): (  # {error:.1e}')
            for coefficient in coefficients:
                print(f"        {dtype(coefficient)!s},")
            print("    ),")
    print("}\n\n# Constants as unevaluated sums of numbers of the type.\nCONSTANTS = {")
    for name, (value, *widths) in SPLITS.items():
        for bits, width in zip((64, 32), widths, strict=True):
            print(f'    ("{name}", {bits}): (')
            for part in split(value, width):
                print(f"        {part!r},")
            print("    ),")
    print("}")


if __name__ == "__main__":
    main()
