"""Every function of NumPy that asks tensors what to do, sorted: none cuts a gradient off in silence.

A function has a form (``FORMS``: a tensor comes out, with NumPy's values and a right gradient), gives
plain results that have no gradient (``PLAIN``), works in place (``IN_PLACE``), or refuses
(``REFUSED``: a TypeError that says so). The tables are lists of calls; the name of the argument says
which sample it gets. A function that NumPy adds fails the test of completeness until it is sorted.
"""

import inspect
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from surface import (
    CONSTANT,
    DRAWN,
    ELSEWHERE,
    FORMS,
    IN_PLACE,
    MODULES,
    OTHERS,
    PLAIN,
    READ,
    REFUSED,
    SAMPLES,
    UNDRAWN,
    calls,
    evaluate,
    name_of,
    sample_of,
)

import tapegrad as tg
from tapegrad.tape.array.replacements import called_for
from tapegrad.tape.core.primitive import functions

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::DeprecationWarning")

functions.complete()


def asking() -> Iterator[tuple[str, Any]]:
    """All functions and ufuncs of NumPy that ask tensors, by their names."""
    for prefix, module in MODULES.items():
        for name in dir(module):
            value = getattr(module, name)
            if name.startswith("_") or not callable(value) or inspect.isclass(value):
                continue
            if isinstance(value, np.ufunc) or hasattr(value, "_implementation"):
                yield prefix + name, value


def test_every_function_that_asks_tensors_is_in_a_table() -> None:
    known = {name_of(c) for table in (FORMS, PLAIN, IN_PLACE, REFUSED) for c in calls(table)}
    known |= ELSEWHERE
    same = {id(value) for name, value in asking() if name in known}
    missing = [name for name, value in asking() if id(value) not in same]
    assert not missing, f"decide what tensors do for {missing}"


#: What a name of a namespace may be without standing in a table.
UNCALLED = (types.ModuleType, float, int, bool, str, type(None), np.generic)


def sorted_names() -> set[str]:
    """All names that stand in a table."""
    tables = (FORMS, PLAIN, IN_PLACE, REFUSED, READ, DRAWN, UNDRAWN)
    names = {name_of(call) for table in tables for call in calls(table)}
    return names | ELSEWHERE | {*CONSTANT.split()} | {*" ".join(OTHERS).split()}


@pytest.mark.parametrize("prefix", ["", "linalg.", "fft.", "random."])
def test_every_public_name_of_numpy_is_sorted(prefix: str) -> None:
    module = getattr(np, prefix[:-1]) if prefix else np
    known = sorted_names()
    same = {id(value) for name, value in asking() if name in known}
    unknown = [
        prefix + name
        for name in dir(module)
        if not name.startswith("_")
        and prefix + name not in known
        and not isinstance(value := getattr(module, name), UNCALLED)
        and id(value) not in same
        and not (isinstance(value, type) and issubclass(value, np.generic))
    ]
    assert not unknown, f"what do tensors do for {unknown}? Say it in a table of surface.py"


def test_no_table_has_names_that_numpy_lacks_or_that_stand_in_another() -> None:
    names = [*CONSTANT.split(), *" ".join(OTHERS).split()]
    called = {name_of(c) for t in (FORMS, PLAIN, IN_PLACE, REFUSED, READ, DRAWN) for c in calls(t)}
    assert not called & set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize("call", calls(READ))
def test_what_makes_arrays_is_differentiated_in_functions_that_are_read(call: str) -> None:
    name = sample_of(call)
    function = eval(f"lambda {name}: {call}", {"np": np})
    x = SAMPLES[name]
    np.testing.assert_allclose(tg.jvp(function, (x,), (x,))[0], function(x), 1e-13)
    tg.check_grads(function, (x,), order=2)


@pytest.mark.parametrize("call", calls(UNDRAWN))
def test_draws_without_a_path_are_refused(call: str) -> None:
    name = sample_of(call)
    function = eval(f"lambda {name}: np.sum({call})", {"np": np})
    with pytest.raises(tg.TracedArrayError, match="the draw has no derivative by its parameters"):
        tg.grad(function)(SAMPLES[name])


class Gate:
    """A module whose functions are called as they are where calls are read."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.module, name)
        if inspect.ismodule(value):
            return Gate(value)
        return lambda *args, **kwargs: called_for(value, args, kwargs)(*args, **kwargs)


def listed(x: Any) -> Any:
    """The elements of an array, or of a tensor, in nested lists."""
    return [listed(part) for part in x] if x.ndim else x


@pytest.mark.parametrize("call", calls(FORMS))
def test_a_list_of_traced_numbers_keeps_its_gradient(call: str) -> None:
    x = SAMPLES[sample_of(call)]
    try:
        evaluate(call, x.tolist(), np=Gate(np))
    except Exception:
        pytest.skip("NumPy takes no lists here")
    want = tg.grad(lambda x: np.nansum(evaluate(call, x)))(x)
    for f in (tg.grad, lambda f: tg.jit(tg.grad(f))):
        got = f(lambda x: np.nansum(evaluate(call, listed(x), np=Gate(np))))(x)
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-15)
    t = tg.tensor(x)
    np.nansum(evaluate(call, listed(t), np=Gate(np))).backward()
    np.testing.assert_allclose(t.grad, want, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("call", calls(FORMS))
def test_a_function_with_a_form_gives_numpys_values_and_a_right_gradient(call: str) -> None:
    x = SAMPLES[sample_of(call)]
    expected = np.asarray(evaluate(call, x))
    t = tg.tensor(x)
    got = evaluate(call, t)
    assert type(got) is tg.Tensor and not got.constant
    assert got.shape == expected.shape and got.dtype == expected.dtype
    np.testing.assert_allclose(got.data, expected, rtol=1e-13, atol=1e-15)
    weights = np.random.default_rng(1).normal(size=expected.shape)
    direction = np.random.default_rng(2).normal(size=x.shape)
    step = 1e-6
    hole = np.isnan(x)
    ends = [np.asarray(evaluate(call, x + h * direction)) for h in (step, -step)]
    slope = np.nansum(weights * (ends[0] - ends[1]) / (2 * step))
    got.backward(weights)
    assert t.grad.shape == x.shape and t.grad.dtype == x.dtype
    assert np.sum((t.grad * direction)[~hole]) == pytest.approx(slope, rel=1e-6, abs=1e-7)
    _, pull = tg.vjp(lambda a: evaluate(call, a), x)
    np.testing.assert_allclose(pull(weights)[0][~hole], t.grad[~hole], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("call", calls(FORMS))
def test_a_function_with_a_form_keeps_constants_constant(call: str) -> None:
    x = SAMPLES[sample_of(call)]
    got = evaluate(call, tg.tensor(x, constant=True))
    documented = name_of(call) in ("remainder", "mod", "fmod", "divmod")  # arrays of constants
    assert (type(got) is np.ndarray) if documented else (type(got) is tg.Tensor and got.constant)
    np.testing.assert_allclose(np.asarray(got), evaluate(call, x), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("call", calls(PLAIN))
def test_a_plain_function_gives_numpys_result_and_leaves_the_gradient(call: str) -> None:
    x = SAMPLES[sample_of(call)]
    expected = evaluate(call, x)
    t = tg.tensor(x)
    if not t.constant:
        (t * 2).sum().backward()
    before = t.grad
    got = evaluate(call, t)
    made = name_of(call) in ("imag", "zeros_like", "ones_like", "full_like")
    for ours, numpys in zip(*((r if isinstance(r, tuple) else (r,)) for r in (got, expected))):
        assert made == (type(ours) is tg.Tensor)
        if isinstance(numpys, np.ndarray | np.generic | tg.Tensor):
            np.testing.assert_array_equal(np.asarray(ours), numpys)
        else:
            assert ours == numpys
    assert t.grad is before


@pytest.mark.parametrize("call", calls(IN_PLACE))
def test_a_function_that_writes_in_place_is_differentiated(call: str) -> None:
    base = np.array([0.5, 0.1, 0.7, 0.2, 0.9])
    base = base if "diagonal" not in call else np.arange(16.0).reshape(4, 4)
    v = SAMPLES["v"] if "diagonal" not in call else SAMPLES["p"]

    def both(v: Any, t: Any) -> Any:
        t = t * 1.0
        evaluate(call, v, t=t)
        return np.sum(t * np.arange(1.0, t.size + 1).reshape(t.shape) ** 2)

    assert float(both(tg.tensor(v), tg.tensor(base))) == pytest.approx(both(v, base), rel=1e-14)
    found = tg.grad(both, argnums=(0, 1))(v, base)
    for i, (start, slope) in enumerate(zip((v, base), found)):
        for index in np.ndindex(start.shape):
            e = np.zeros(start.shape)
            e[index] = 1e-4
            up, down = ((v + s * e, base) if not i else (v, base + s * e) for s in (1, -1))
            assert slope[index] == pytest.approx((both(*up) - both(*down)) / 2e-4, abs=1e-6)
    if "diagonal" in call:  # NumPy asks the first argument alone
        return
    with pytest.raises(TypeError, match="make it a tensor"):
        evaluate(call, tg.tensor(v), t=base * 1.0)
    array = base * 1.0
    evaluate(call, tg.tensor(v, constant=True), t=array)  # nothing is lost
    expected = base * 1.0
    evaluate(call, v, t=expected)
    assert np.array_equal(array, expected)


@pytest.mark.parametrize("call", calls(REFUSED))
def test_a_function_without_a_form_says_so(call: str) -> None:
    x = SAMPLES[sample_of(call)]
    for function in (
        lambda: evaluate(call, tg.tensor(x)),
        lambda: evaluate(call, tg.tensor(x, constant=True)),
        lambda: tg.vjp(lambda a: evaluate(call, a), x),
    ):
        with pytest.raises(TypeError, match=r"no differentiable form.*np\.asarray"):
            function()


def test_results_that_numpy_computes_anew_have_no_base() -> None:
    """No base that nobody else holds: a result is a view of an argument, or owns its data."""
    m = tg.tensor(np.arange(1.0, 10).reshape(3, 3))
    windows = np.lib.stride_tricks.sliding_window_view
    for result in (
        np.convolve(m[0], m[1]), np.convolve(m[0], m[1], "same"), np.correlate(m[0], m[1], "full"),
        np.cov(m), np.apply_along_axis(np.sum, 0, m), np.apply_along_axis(np.sort, 0, m),
        windows(m, (2, 2)), np.roll(m, 1), np.kron(m, m), np.tensordot(m, m), np.cross(m, m),
        np.take(m, [0, 1]), np.intersect1d(m, [1.0, 2.0]), np.unique(m),
    ):  # fmt: skip
        assert result.base is None
        result *= 2.0
        result.backward()
    assert np.array_equal(m.data, np.arange(1.0, 10).reshape(3, 3))


def test_the_intersection_of_dtypes_has_the_wider_one() -> None:
    x = np.array([1.0, 2.0, 3.0])
    got, expected = np.intersect1d([1, 5, 3], tg.tensor(x)), np.intersect1d([1, 5, 3], x)
    assert got.dtype == expected.dtype and np.array_equal(got.data, expected)
