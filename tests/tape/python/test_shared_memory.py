"""Arrays that share memory by other means than slices, and whose shape is set."""

import array
import random
import warnings

import numpy as np
import pytest
from agreeing import X, check
from numpy.testing import assert_allclose

import tapegrad as tg

PROGRAMS = []


def program(function):
    PROGRAMS.append(function)
    return function


@program
def with_asarray_mv(x):
    w = np.zeros(6)
    v = np.asarray(memoryview(w))
    v[0] = x[0]
    return w[0] * x[1]


@program
def with_frombuffer(x):
    w = np.zeros(6)
    v = np.frombuffer(w)
    v[0] = x[0]
    return w[0] * x[1]


@program
def with_as_strided(x):
    w = np.zeros(6)
    v = np.lib.stride_tricks.as_strided(w, (2,), (8,))
    v[0] = x[0]
    return w[0] * x[1]


@program
def with_dlpack(x):
    w = np.zeros(6)
    v = np.from_dlpack(w)
    try:
        v[0] = x[0]
    except ValueError:
        return x[1]
    return w[0] * x[1]


@program
def with_nditer_rw(x):
    w = np.zeros(6)
    with np.nditer([w], op_flags=[["readwrite"]]) as it:
        for a in it:
            a[...] = a * 0.5 + x[0]
    return np.sum(w * x)


@program
def with_nditer_wo(x):
    w = np.zeros(6)
    with np.nditer([w, np.arange(6.0)], op_flags=[["writeonly"], ["readonly"]]) as it:
        for a, b in it:
            a[...] = b * x[0]
    return np.sum(w * x)


@program
def with_shape(x):
    w = np.zeros(6)
    w[:] = x
    w.shape = (2, 3)
    return np.sum(w[0] * w[1])


@program
def with_view_shape(x):
    w = np.zeros(6)
    v = w[1:5]
    v[:] = x[1:5]
    v.shape = (2, 2)
    w[2] = x[0]
    return np.sum(v[0] * v[1]) * np.sum(w)


@program
def with_shape_3(x):
    w = np.zeros(6)
    v = w.reshape(2, 3)
    w[:] = x
    w.shape = (3, 2)
    v[0] = 2.0
    return np.sum(w[:, 0] * w[:, 1])


@program
def with_shuffle(x):
    w = np.zeros(6)
    np.random.default_rng(0).shuffle(w)
    w[:] = x
    np.random.default_rng(1).shuffle(w)
    return np.sum(w * x)


@program
def with_flat(x):
    w = np.zeros(6)
    w[:] = x
    w.flat = 2.0
    w.flat[2] = x[0]
    return np.sum(w * x)


@program
def with_real(x):
    w = np.zeros(6)
    w[:] = x
    w.real = x * 2
    return np.sum(w * x)


@program
def with_t(x):
    w = np.zeros((2, 3))
    w[:] = x.reshape(2, 3)
    w.T[0] = x[:2] * 3
    w.strides
    return np.sum(w * w)


@program
def with_dtype(x):
    w = np.zeros(6)
    w[:] = x
    w.dtype = float
    w.dtype = np.int64
    return x[0]


@program
def with_legacy_shuffle(x):
    w = np.zeros(6)
    w[:] = x
    np.random.seed(0)
    np.random.shuffle(w)
    return np.sum(w * x)


@program
def with_list_shuffle(x):
    xs = list(x)
    random.Random(0).shuffle(xs)
    return sum((i * v for i, v in enumerate(xs))) + random.Random(1).choice(xs)


@pytest.mark.parametrize("function", PROGRAMS, ids=lambda f: f.__name__)
def test_values_and_gradients_are_those_of_the_program(function):
    check(function)


def memory_of_ctypes(x):
    w = np.zeros(6)
    v = np.ctypeslib.as_array(np.ctypeslib.as_ctypes(w))
    v[0] = x[0]
    return w[0] * x[1]


def memory_of_bytearray_small_first(x):
    b = bytearray(48)
    v = np.frombuffer(b)
    u = np.frombuffer(b, count=2)
    u[0] = x[0]
    return v[0] * x[1]


def memory_of_bytearray_large_first(x):
    b = bytearray(48)
    v = np.frombuffer(b)
    u = np.frombuffer(b, count=2)
    v[0] = x[0]
    return u[0] * x[1]


def memory_of_array_array_read(x):
    b = array.array("d", [0.0] * 6)
    v = np.frombuffer(b)
    v[0] = x[0]
    return b[0] * x[1] + sum(b)


@pytest.mark.parametrize(
    "function",
    [
        memory_of_ctypes,
        memory_of_bytearray_small_first,
        memory_of_bytearray_large_first,
        memory_of_array_array_read,
    ],
)
def test_memory_that_is_read_by_other_objects_is_refused(function):
    with pytest.raises(tg.errors.TracedArrayError, match="belongs to an object of type"):
        tg.grad(function)(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_allclose(tg.jit(function)(X), function(X))


def test_parts_of_one_memory_are_not_promoted_apart():
    def overlapping(x):
        w = np.zeros(6)
        small, large = np.from_dlpack(w[:2]), np.from_dlpack(w)
        small[0] = x[0]
        large[1] = x[1]
        return w[0]

    with pytest.raises(tg.errors.TracedArrayError, match="shares a part of its memory"):
        tg.grad(overlapping)(X)
