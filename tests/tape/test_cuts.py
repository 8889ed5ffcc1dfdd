"""No derivative is lost in silence where no image sees a conversion; what is locally constant passes."""

import copy
import functools
import io
import json
import logging
import math
import numbers
import pickle
import subprocess
import sys
from types import FunctionType

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.array import replacements
from tapegrad.tape.array.tensor import Tensor
from tapegrad.tape.core.primitive import functions

# ruff: noqa: UP031

X = np.array([0.3, 0.7])
LOST = [
    lambda x: float(x[0]) * x[1],
    lambda x: math.sin(x[0]) * x[1],
    lambda x: np.float64(x[0]) * x[1],
    lambda x: np.asarray(x).sum(),
    lambda x: np.array([x[0], x[1]]).sum(),
    lambda x: complex(x[0]).real * x[1],
    lambda x: sum(map(math.exp, x)),
]


@pytest.mark.parametrize("f", LOST, ids=range(len(LOST)))
def test_a_conversion_without_an_image_raises_and_names_the_line(f):
    with pytest.raises(tg.TracedArrayError, match=r"test_cuts\.py:\d+.*stop_gradient"):
        tg.grad(f, adapt=False)(X)
    with pytest.raises(tg.TracedArrayError):
        tg.jvp(f, (X,), (X,), adapt=False)
    tg.grad(lambda x: f(tg.stop_gradient(x)) + x[0], adapt=False)(X)
    tg.vmap(f, adapt=False)(np.stack([X, X]))


def test_what_is_locally_constant_passes():
    def f(x):
        steps = int(x[0] * 10) + round(x[1]) + (x[0] > 0.1) + bool(x[1])
        return x[0] * steps * len(f"{x[0]:.3f}") * len("%.2f" % x[1]) * len(str(x))

    for adapt in (True, False):
        expected = f(X) / X[0]
        # A traced array is shown as what it is; within images as what it stands for.
        assert tg.grad(f, adapt=adapt)(X)[0] >= expected


SHOWN = [
    lambda x, out: out.write("%.3f" % x[0]),
    lambda x, out: out.write("%s %.1f" % (x, x[1])),
    lambda x, out: out.write("%(a).3f" % {"a": x[0]}),
    lambda x, out: out.write(f"{x[0]:.3f} {x}"),
    lambda x, out: print(f"{x[0]:.3f}", x, [float(x[1])], file=out),
    lambda x, out: out.write(json.dumps({"loss": x[0].item(), "all": [float(a) for a in x]})),
    lambda x, out: json.dump(x.tolist(), out),
    lambda x, out: np.savetxt(out, x),
    lambda x, out: out.write(repr(pickle.loads(pickle.dumps([x, float(x[0])])))),
]


@pytest.mark.parametrize("show", SHOWN, ids=range(len(SHOWN)))
@pytest.mark.parametrize("promotes", [False, True])
def test_text_and_files_get_what_the_values_stand_for(show, promotes):
    expected = io.StringIO()
    show(X, expected)

    def f(x, out):
        if promotes:
            np.zeros(2)[:] = x
        show(x, out)
        return (x * x).sum()

    for run in (
        lambda out: tg.grad(f)(X, out),
        lambda out: tg.grad(f)(X, out),  # what has been asked about once is asked about again
        lambda out: tg.vmap(tg.grad(f), in_axes=(0, None))(X[None], out),
        lambda out: tg.adapt(f)(tg.tensor(X), out),
    ):
        out = io.StringIO()
        run(out)
        assert out.getvalue() == expected.getvalue()


def test_logging_names_the_users_line():
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(logging.Formatter("%(filename)s %(funcName)s %(message)s"))
    logger = logging.getLogger("tapegrad.tests.cuts")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False

    def f(x):
        logger.info("loss %.3f of %s", x[0], x)
        return x.sum()

    tg.grad(f)(X)
    assert out.getvalue() == "test_cuts.py f loss 0.300 of [0.3 0.7]\n"


# Classes ---------------------------------------------------------------------------------------------


@functools.singledispatch
def kind(x):
    return "something"


kind.register(np.ndarray, lambda x: "array")
kind.register(float, lambda x: "float")


def matched(x):
    match x:
        case np.ndarray():
            return "array"
        case float():
            return "float"
    return "something"


def named(x):
    return {np.ndarray: "array", np.float64: "float", float: "float"}[x.__class__]


def asked(x):
    array, number = isinstance(x, np.ndarray), isinstance(x, numbers.Real)
    assert array is not number
    return "array" if array else "float"


@pytest.mark.parametrize("adapt", [True, False])
@pytest.mark.parametrize("ask", [kind, matched, named, asked])
def test_values_answer_the_class_of_what_they_stand_for(ask, adapt):
    found = []

    def f(x):
        found.append((ask(x), ask(x[0]), ask(x.sum())))
        return x.sum()

    tg.grad(f, adapt=adapt)(X)
    tg.jvp(f, (X,), (X,), adapt=adapt)
    tg.vmap(f, adapt=adapt)(np.stack([X, X]))
    tg.adapt(f)(tg.tensor(X))
    assert found == [("array", "float", "float")] * 4
    assert isinstance(tg.tensor(X), tg.Tensor) and not isinstance(tg.tensor(X), np.ndarray)


@pytest.mark.parametrize("adapt", [True, False])
def test_copies_of_traced_values_are_traced(adapt):
    def f(x):
        y, (z, s) = copy.copy(x), copy.deepcopy((x, x[0]))
        return (x * y * z).sum() + copy.copy(s) * 2.0

    expected = 3 * X**2 + [2, 0]
    np.testing.assert_allclose(tg.grad(f, adapt=adapt)(X), expected)
    t = tg.tensor(X)
    tg.adapt(f)(t).backward()
    np.testing.assert_allclose(t.grad, expected)
    again = pickle.loads(pickle.dumps(t))
    assert type(again) is tg.Tensor and again.data.tolist() == X.tolist()


def test_a_tensor_of_a_traced_value_is_traced():
    def f(x):
        narrow = tg.tensor(x, dtype=np.float32, ndmin=2)
        constant = tg.tensor(x, constant=True).sum()
        return (
            tg.tensor([x[0], [x[1]][0] ** 2]).sum() + narrow.sum() * constant + tg.Tensor(x).sum()
        )

    for adapt in (True, False):
        np.testing.assert_allclose(tg.grad(f, adapt=adapt)(X), [3.0, 3.4], rtol=1e-6)


# Identity --------------------------------------------------------------------------------------------


def same(x, y):
    return np.sum(x * 2.0 if x is y else x * 3.0)


@pytest.mark.parametrize("size", [3, 3000])
def test_identity_is_that_of_what_the_caller_has(size):
    a, b = np.ones(size), np.ones(size)
    for other, factor in ((a, 2.0), (b, 3.0)):
        assert np.all(tg.grad(same)(a, other) == factor)
        assert np.all(tg.grad(same, argnums=(0, 1))(a, other)[0] == factor)
        assert tg.jvp(same, (a, other), (a, a))[1] == factor * size
        assert np.all(tg.grad(lambda x, other=other: same(x, other))(a) == factor)
        nested = lambda x, other=other: tg.grad(lambda y: same(y, other) * x[0])(x).sum()
        assert tg.grad(nested)(a)[0] == factor * size
    assert tg.vmap(same, in_axes=(0, None))(np.ones((1, size)), a) == 3.0 * size


def test_a_filled_array_is_the_array():
    def f(x):
        filled = np.zeros(2)
        filled[:] = x
        again, other = filled, filled.copy()
        return x[0] * (
            1.0 + (filled is again) + 2.0 * (filled is other) + 4.0 * (filled is not again)
        )

    np.testing.assert_array_equal(tg.grad(f)(X), [2.0, 0.0])


@pytest.mark.parametrize(
    "converted",
    ["x.item()", "x.tolist()", "x.copy()", "x.astype(float)", "copy.copy(x)", "copy.deepcopy(x)",
     "x.__copy__()", "x.__deepcopy__({})", "float(x)", "np.float64(x)", "math.sqrt(x * x)"],
)  # fmt: skip
def test_the_first_thing_that_a_process_does_is_no_cut(converted):
    code = (
        "import copy, math, numpy as np, tapegrad as tg\n"
        f"f = lambda x: {converted} * x\n"
        "t = tg.tensor(0.7)\n"
        "tg.adapt(f)(t).backward()\n"
        "print(float(t.grad))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    np.testing.assert_allclose(float(done.stdout), 1.4)


def test_every_method_of_tensors_that_is_replaced_is_known_as_converting():
    held = {f for f in vars(Tensor).values() if type(f) is FunctionType}
    for base in Tensor.__mro__[1:-1]:
        held |= {f for f in vars(base).values() if type(f) is FunctionType}
    replaced = {f for f in held if type(functions.find(f)) is replacements.Replacement}
    assert replaced and replaced <= replacements._CONVERTING


def test_a_filled_buffer_is_returned_by_whatever_way():
    def filled(x):
        y = np.zeros(4)
        y[1:3] = x * 2.0
        return y

    ways = [
        filled,
        lambda x: tg.tree_leaves({"a": filled(x)})[0],
        lambda x: tg.tree_map(lambda y: y, [filled(x)])[0],
        lambda x: {"a": [filled(x)]}["a"][0],
        lambda x: filled(x)[:],
        lambda x: filled(x).view(),
        lambda x: tg.tree_leaves([filled(x)[::-1]])[0][::-1],
        lambda x: np.asarray(filled(x)),
        lambda x: np.atleast_1d(filled(x)),
        lambda x: functools.reduce(lambda a, b: a, [filled(x), 1.0]),
    ]
    wanted = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [0.0, 0.0]])
    for way in ways:
        for transformed in (tg.jacobian, tg.jacrev, tg.jacfwd):
            np.testing.assert_array_equal(transformed(way)(X), wanted)
            np.testing.assert_array_equal(tg.jit(transformed(way))(X), wanted)
        value, pull = tg.vjp(way, X)
        np.testing.assert_array_equal(value, filled(X))
        np.testing.assert_array_equal(pull(np.ones(4))[0], [2.0, 2.0])
        np.testing.assert_array_equal(tg.vmap(way)(np.stack([X, X])), [filled(X)] * 2)
