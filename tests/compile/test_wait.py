"""``jit(..., wait=True)``: every call, the first one too, has the bits of the plan; what plans serve."""

import pickle

import numpy as np
import pytest

import tapegrad as tg


def rugged(x):
    return np.sum(np.exp(np.sin(x)) / np.cosh(x), axis=0)


def test_with_wait_the_plan_serves_the_first_call_too():
    x = np.random.default_rng(0).normal(size=(50, 40))
    first, *later = (rugged(x), *[tg.jit(rugged, wait=True)(x) for _ in range(2)])
    jitted = tg.jit(rugged, wait=True)
    bits = [jitted(x).tobytes() for _ in range(3)]
    assert len({*bits, *(y.tobytes() for y in later)}) == 1
    assert bits[0] != first.tobytes()  # otherwise this test would show nothing
    assert jitted.stats().traces == 1 and jitted.stats().eager_calls == 0


def test_with_wait_the_first_call_writes_once_and_raises_what_the_function_raises():
    def add(out, x, n):
        out += np.sin(x)
        if n == 2:
            raise KeyError("two")
        return n

    jitted, plain, x = tg.jit(add, wait=True), np.zeros(3), np.arange(3.0)
    filled = plain.copy()
    for n in (0, 1, 2):
        for function, out in ((add, plain), (jitted, filled)):
            if n == 2:
                with pytest.raises(KeyError, match="two"):
                    function(out, x, n)
            else:
                assert function(out, x, n) == n
    np.testing.assert_allclose(filled, plain, rtol=1e-14)
    assert plain[1] == 3 * np.sin(1.0)


def test_with_wait_the_first_call_takes_the_way_that_its_values_take():
    jitted = tg.jit(lambda x: x * 2.0 if x[0] > 0 else x - 1.0, wait=True)
    for x in (np.ones(2), -np.ones(2), np.ones(2)):
        np.testing.assert_array_equal(jitted(x), x * 2.0 if x[0] > 0 else x - 1.0)
    assert jitted.stats().traces == 2 and jitted.stats().eager_calls == 0


@pytest.mark.parametrize("count", [1, 20])
def test_arrays_that_were_sent_by_pickle_are_arrays_like_others(count):
    jitted = tg.jit(lambda arrays: [np.sin(a) * 2.0 for a in arrays])
    arrays = [np.arange(3.0) + i for i in range(count)]
    jitted(arrays)
    for _ in range(3):
        sent = pickle.loads(pickle.dumps(arrays))
        assert sent[0].dtype is not arrays[0].dtype  # otherwise this test would show nothing
        np.testing.assert_allclose(jitted(sent), np.sin(arrays) * 2.0, rtol=1e-14)
    assert jitted.stats().traces == 1 and jitted.stats().eager_calls == 0
    narrow = [a.astype("f4") for a in arrays]
    assert jitted(pickle.loads(pickle.dumps(narrow)))[0].dtype == np.float32
    swapped = [a.astype(a.dtype.newbyteorder()) for a in arrays]
    np.testing.assert_allclose(jitted(swapped), np.sin(arrays) * 2.0, rtol=1e-14)
