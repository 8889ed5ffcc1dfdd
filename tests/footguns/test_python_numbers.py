"""Arguments that are Python's numbers are Python's numbers inside, too."""

import numpy as np
import pytest
from compare import agree

import tapegrad as tg

V = np.arange(1.0, 7.0)


INTEGERS = {
    "sum of comparisons": lambda n: (n > 1) + (n > 0),
    "negated comparison": lambda n: -(n > 1),
    "inverted comparison": lambda n: ~(n > 1),
    "difference": lambda n: (n >= 1) - (n < 2) * (n != 3) + (n <= 2) + (n == 2),
    "and": lambda n: n & 1,
    "shift": lambda n: n << 70,
    "right": lambda n: n >> 1,
    "or": lambda n: (n | 8) ^ 5,
    "invert": lambda n: ~n + 1,
    "divmod": lambda n: divmod(7, n),
    "divmod of": lambda n: divmod(n, 2),
    "list": lambda n: [0.0] * n,
    "tuple": lambda n: (1, 2) * n,
    "from the left": lambda n: n * [1],
    "square": lambda n: n * n * n + n,
    "absolute": lambda n: abs(n) + abs(-n),
    "guard": lambda n: 1 if abs(n) < 100 else 2,
    "power": lambda n: 2.0**n,
}


@pytest.mark.parametrize("name", INTEGERS)
def test_integers(name):
    agree(INTEGERS[name], (3,), (3,), (2,), (1,), (0,), (-(2**63),), (3,), (2**64,), (2,))


@pytest.mark.parametrize(
    "function",
    [
        lambda x, n: x * n if n > 2 else x,
        lambda x, n: x[n % 6],
        lambda x, n: x * len(f"{n}"),
        lambda x, n: np.clip(x, 0, n % 5),
    ],
)
def test_a_number_beyond_64_bits_does_not_stand_for_others(function):
    agree(function, (V, 2**63), (V, 2**63), (V, 2**63), (V, 1), (V, 2**70), (V, 5), (V, -(2**70)))


@pytest.mark.parametrize(
    "function",
    [
        lambda x, n: np.split(x, n)[0],
        lambda x, n: np.array_split(x, n)[0],
        lambda x, n: np.hsplit(x, n)[-1],
        lambda x, n: np.roll(x, n),
        lambda x, n: np.tile(x, n),
        lambda x, n: np.repeat(x, n),
        lambda x, n: np.hstack([x, n]),
        lambda x, n: np.array([0.0] * n + [1.0]) * np.sum(x),
    ],
)
@pytest.mark.parametrize("kind", [int, np.int64])
def test_integers_that_numpy_counts_with(function, kind):
    agree(function, (V, kind(2)), (V, kind(3)), (V, kind(6)), (V, kind(2)))


def test_a_sequence_is_repeated_as_often_as_a_value_says():
    agree(lambda x: np.array([1.0] * np.argmax(x)), (V,), (V[::-1],), (V,))


def test_strings_and_records_that_are_changed_are_noticed():
    words, table = np.array(["a", "bb"]), np.zeros(2, [("a", float)])
    complexes = np.ones(2, complex)

    def f(x):
        return x * len(words[0]) + table["a"][0] + complexes.real[0]

    jitted = tg.jit(f)
    for _ in range(3):
        np.testing.assert_array_equal(jitted(V), V + 1)
    words[0], table["a"][0], complexes[0] = "bb", 3.0, 5
    np.testing.assert_array_equal(jitted(V), 2 * V + 8)


@pytest.mark.filterwarnings("ignore:jit.*without compiling")
def test_vectorize():
    agree(np.vectorize(lambda a: a * 2 if a > 1 else 0.0), (V,), (V - 3,))
    agree(lambda x: np.vectorize(lambda a: a * 2 if a > 1 else 0.0)(x), (V,), (V - 3,))


@pytest.mark.parametrize(
    "function",
    [
        lambda n: np.zeros(2, np.result_type(n, np.float32)),
        lambda n: np.ones(2, np.result_type(np.float32(1), n, 1)),
    ],
)
@pytest.mark.parametrize("number", [7, 2.5, np.float64(1), np.int8(3)])
def test_dtypes_that_are_asked_for(function, number):
    agree(function, (number,), (number,))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: np.where(x == None, 1.0, x),  # noqa: E711
        lambda x: x * (x[0] != None),  # noqa: E711
        lambda x: np.add(x, 1, casting="unsafe", order="F", subok=False),
        lambda x: np.add(x, 1.5, dtype=np.float32, casting="unsafe"),
        lambda x: np.add(x.astype(int), 1.5, dtype=int, casting="unsafe"),
        lambda x: np.add(x.astype(int), 1.5, casting="no"),
    ],
)
def test_what_old_code_writes(function):
    agree(function, (V,), (2 * V,))
