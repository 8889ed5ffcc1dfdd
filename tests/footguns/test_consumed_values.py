"""Values that Python code sees: branches, loops, conversions. Other tracers refuse or freeze them."""

import math

import numpy as np
import pytest
from compare import V, X, check, close

import tapegrad as tg

P, N = np.array([1.0, 2.0, 3.0]), np.array([-1.0, -2.0, -3.0])


def early_return(x):
    if x[0] > 0:
        return x * 2
    return x - 1


def chained(x):
    return x + 1 if 0 < x[0] < 2 <= x[1] else x - 1


def logical(x):
    if (x[0] > 0 and x[1] > 0) or not x[2] > -2.5:
        return np.exp(x)
    return np.sin(x)


def halve(x):
    n = 0
    while np.max(np.abs(x)) > 0.5:
        x = x / 2
        n += 1
    return x, n


def newton(x):
    y = x
    for _ in range(50):
        step = (y * y - abs(x)) / (2 * y)
        y = y - step
        if np.sum(step * step) < 1e-20:
            break
    return y


FUNCTIONS = {
    "early return": early_return,
    "chained comparison": chained,
    "and, or, not": logical,
    "while": halve,
    "break": newton,
    "conditional expression": lambda x: x if x.sum() > 0 else -x,
    "recursion": lambda x: (lambda f: f(f, x))(lambda f, v: v if v.sum() < 1 else f(f, v / 2)),
    "float": lambda x: x * float(x[0]),
    "int": lambda x: x * int(x[1]),
    "bool": lambda x: x * bool(x[0] > 0),
    "item": lambda x: x * x[1].item(),
    "tolist": lambda x: x * sum(x.tolist()),
    "format": lambda x: (x, f"{x[0]:.3f}"),
    "str": lambda x: (x, str(x[0])),
    "math": lambda x: x * math.exp(x[0]),
    "round": lambda x: x * round(x[0]),
    "len": lambda x: x * len(x),
    "iteration": lambda x: sum(v * i for i, v in enumerate(x)),
    "unpacking": lambda x: (lambda a, b, c: a * b + c)(*x),
    "max": lambda x: max(x) * min(x[0], x[1]),
    "sorted": lambda x: np.stack(sorted(x)),
    "in": lambda x: x * (2.0 if 1.0 in x else 3.0),
    "any": lambda x: x * 2 if np.any(x < 0) else x,
    "all": lambda x: x * 2 if (x > 0).all() else x,
    "isinstance": lambda x: x * 2 if isinstance(x, np.ndarray) else x * 3,
    "isinstance of a scalar": lambda x: x * 2 if isinstance(x[0], np.floating) else x * 3,
    "type": lambda x: x * 2 if type(x) is np.ndarray else x * 3,
    "slice bounds": lambda x: x[: int(abs(x[0]))],
    "range": lambda x: sum((x * i for i in range(int(abs(x[1])))), x),
    "shape of a result": lambda x: np.zeros(int(abs(x[0]))) + x[0],
    "mask": lambda x: x[x > -2.5],
    "sum of a mask": lambda x: x[x > 0].sum() if np.any(x > 0) else x.sum(),
    "nonzero": lambda x: np.nonzero(x > -1.5)[0],
    "where with one argument": lambda x: x[np.where(x > -1.5)],
    "argmax": lambda x: x[np.argmax(x)],
    "argsort": lambda x: x[np.argsort(x)],
    "equality": lambda x: x if np.array_equal(x, np.abs(x)) else x * 0,
    "allclose": lambda x: x * 2 if np.allclose(x, P) else x * 3,
    "try": lambda x: 1 / float(x[0]) if x[0] else 0.0,
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_python_sees_the_values_of_each_call(name):
    function = FUNCTIONS[name]
    jitted = tg.jit(function)
    with np.errstate(all="ignore"):
        for x in (P, N, P, V, P + 1, N):
            close(jitted(x.copy()), function(x.copy()))


@pytest.mark.parametrize("name", ["early return", "and, or, not", "float", "while", "mask"])
def test_the_values_that_it_saw_lead_back_to_what_was_compiled(name):
    check(FUNCTIONS[name], (P,), (N,), (P,))


def test_the_sign_of_a_zero_that_python_saw_counts():
    check(lambda x: x * math.copysign(1.0, x[0]), (np.array([0.0, 1.0]),), (np.array([-0.0, 1.0]),))


def test_an_exception_that_depends_on_values_is_raised_by_compiled_code():
    def f(x):
        if x.min() < 0:
            raise ValueError(f"negative: {x.min()}")
        return np.sqrt(x)

    jitted = tg.jit(f)
    for _ in range(3):
        close(jitted(P), np.sqrt(P))
        with pytest.raises(ValueError, match=r"negative: -3\.0"):
            jitted(N)
    assert jitted.stats().traces == 1


def test_an_assertion_is_checked_at_each_call():
    def f(x):
        assert np.all(x > 0), "not positive"
        return np.log(x)

    jitted = tg.jit(f)
    jitted(P)
    jitted(P)
    with pytest.raises(AssertionError, match="not positive"):
        jitted(N)


def test_an_index_out_of_bounds_is_raised_as_by_numpy():
    jitted = tg.jit(lambda x, i: x[i] * 2)
    indices = np.array([0, 2])
    close(jitted(V, indices), V[indices] * 2)
    with pytest.raises(IndexError, match="out of bounds"):
        jitted(V, np.array([0, 7]))
    close(jitted(V, indices), V[indices] * 2)


def test_a_guard_stands_before_what_it_protects():
    def f(x, i):
        if (i < 3).all():
            return x[i]
        return x * 0

    jitted = tg.jit(f)
    for i in (np.array([0, 1]), np.array([0, 9]), np.array([2, 1]), np.array([9, 9])):
        close(jitted(V, i), f(V, i))


def test_an_exception_in_the_function_is_caught_by_the_function():
    def f(x):
        try:
            if x[0] < 0:
                raise KeyError
            return x
        except KeyError:
            return -x

    check(f, (P,), (N,))


def test_a_function_that_always_raises_raises_each_time():
    def f(x):
        raise RuntimeError("always")

    jitted = tg.jit(f)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="always"):
            jitted(V)


def test_wrong_shapes_raise_what_numpy_raises():
    jitted = tg.jit(lambda x, y: x @ y)
    with pytest.raises(ValueError, match="matmul"):
        jitted(X, X)
    with pytest.raises(ValueError, match="broadcast"):
        tg.jit(lambda x, y: x + y)(X, V)


def test_division_of_python_numbers_by_zero_raises_as_in_python():
    jitted = tg.jit(lambda x, a: x * (1.0 / a))
    close(jitted(V, 2.0), V * 0.5)
    close(jitted(V, 4.0), V * 0.25)
    with pytest.raises(ZeroDivisionError):
        jitted(V, 0.0)


def test_large_integers_do_not_wrap():
    jitted = tg.jit(lambda a, b: a * b + 1)
    for a, b in ((3, 4), (2**40, 2**40), (5, 6), (2**70, 3)):
        assert jitted(a, b) == a * b + 1
        assert type(jitted(a, b)) is int


def test_a_root_of_a_negative_python_number_is_complex_as_in_python():
    jitted = tg.jit(lambda a: a**0.5)
    assert jitted(4.0) == 2.0
    assert jitted(9.0) == 3.0
    assert jitted(-4.0) == (-4.0) ** 0.5


def test_more_ways_than_are_kept_end_in_eager_calls_with_one_warning_that_names_the_line():
    def f(x):
        return x * int(x[0])  # this line is named

    jitted = tg.jit(f)
    line = f.__code__.co_firstlineno + 1
    with pytest.warns(
        RuntimeWarning, match=rf"8 different ways.*test_consumed_values.py:{line}"
    ) as seen:
        for i in range(20):
            x = V + i
            close(jitted(x), f(x))
    assert len(seen) == 1
    assert jitted.stats().traces == 8
    assert jitted.stats().eager_calls > 0


def test_in_strict_mode_too_many_ways_raise():
    jitted = tg.jit(lambda x: x * int(x[0]), strict=True)
    with pytest.raises(RuntimeError, match="8 different ways"):
        for i in range(20):
            jitted(V + i)


def test_numpy_functions_that_are_not_on_record_run_on_values():
    def f(x):
        return x * np.lib.stride_tricks.as_strided(x, (2,), (8,)).sum()

    check(f, (P,), (N,), eager=True)


def test_results_that_become_complex_are_numpys():
    turning, real = np.array([[0.0, 1.0], [-1.0, 0.0]]), np.array([[2.0, 1.0], [0.0, 3.0]])
    for f, args in (
        (np.linalg.eigvals, (real, turning)),
        (np.roots, (np.array([1.0, -3, 2]), np.array([1.0, 0, 1]))),
        (np.emath.sqrt, (np.array([1.0, 4.0]), np.array([1.0, -4.0]))),
    ):
        for order in (args, args[::-1]):
            jitted = tg.jit(lambda x, f=f: f(x))
            for x in (*order, *order):
                close(jitted(x), f(x))
                assert jitted(x).dtype == f(x).dtype


def test_unregistered_functions_whose_shape_depends_on_data_are_right():
    jitted = tg.jit(lambda x: np.unique(np.floor(x)) * 2)
    for x in (P, N, P * 0, V):
        close(jitted(x), np.unique(np.floor(x)) * 2)


def test_methods_that_tensors_do_not_have_run_on_values():
    check(lambda x: x * float(x.flags.writeable), (P,), (P * 2,), eager=True)


def test_an_array_method_that_does_not_exist_raises_what_numpy_raises():
    with pytest.raises(AttributeError, match=r"numpy\.ndarray' object has no attribute 'nonsense'"):
        tg.jit(lambda x: x.nonsense)(V)


def test_asarray_gives_the_values():
    check(lambda x: x * np.asarray(x)[0], (P,), (N,))


def test_a_value_is_stored_into_a_plain_array():
    def f(x):
        out = np.zeros(3)
        out[0] = x[0] * 2
        return out

    check(f, (P,), (N,))


def test_a_buffer_like_the_argument_is_filled_in_place():
    def f(x):
        out = np.zeros_like(x)
        for i in range(3):
            out[i] = x[i] * i
        return out

    check(f, (V,), (P,))
    check(tg.grad(lambda x: np.sum(f(x) * x)), (V,), (P,))
