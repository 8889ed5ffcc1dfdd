"""Primitives with passes of their own: when which pass runs, and what is kept how long."""

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.ops.declare import composed
from tapegrad.ops.declare.composed import Layer, packed, unpacked
from tapegrad.tape.array.application import apply, bind
from tapegrad.tape.core.primitive import primitives


class Counted:
    """``a * b ** 2``, whose passes note how they are called."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.kept: Any = None
        self.primitive = Layer("counted", self.forward, self.backward, self.composition, 2)

    @staticmethod
    def composition(a: Any, b: Any, power: int = 2) -> Any:
        return a * b**power

    def forward(self, a: Any, b: Any, power: int = 2) -> Any:
        rest = b**power
        self.kept = weakref.ref(rest)
        return a * rest, rest

    def backward(self, g: Any, y: Any, kept: Any, out: Any, a: Any, b: Any, power: int = 2) -> None:
        self.calls.append((kept is not None, a.dtype, g.dtype))
        out[0][...] = g * (b**power if kept is None else kept)
        out[1][...] = g * a * power * b ** (power - 1)
        if kept is not None:
            kept[...] = np.nan  # it may be written to


@pytest.fixture
def layer() -> Iterator[Counted]:
    yield Counted()
    for name in ("counted", "counted_pull"):
        del primitives[name]


A, B = np.array([1.0, 2.0]), np.array([3.0, 5.0])


def test_one_backward_pass_serves_all_arguments_and_uses_what_was_kept(layer: Counted) -> None:
    a, b = tg.tensor(A), tg.tensor(B)
    apply(layer.primitive, (a, b), {"power": 3}).backward()
    np.testing.assert_array_equal(a.grad, B**3)
    np.testing.assert_array_equal(b.grad, 3 * A * B**2)
    assert layer.calls == [(True, np.dtype(float), np.dtype(float))]


def test_a_pullback_gives_the_same_as_often_as_it_is_called(layer: Counted) -> None:
    _, pullback = tg.vjp(lambda a, b: bind(layer.primitive, a, b), A, B)
    for _ in range(3):
        parts = pullback(np.ones(2))
        np.testing.assert_array_equal(parts[0], B**2)
        np.testing.assert_array_equal(parts[1], 2 * A * B)
    assert [kept for kept, _, _ in layer.calls] == [True, False, False]


def test_what_is_kept_dies_with_the_graph_and_with_the_result(layer: Counted) -> None:
    y = apply(layer.primitive, (tg.tensor(A), B))
    assert layer.kept() is not None
    y.backward()
    assert layer.kept() is None
    y = apply(layer.primitive, (tg.tensor(A), B))
    del y
    gc.collect()
    assert layer.kept() is None
    y = layer.primitive.forward(A, B)  # as a library step of a plan
    del y
    assert layer.kept() is None


def test_what_another_result_kept_is_not_taken(layer: Counted) -> None:
    layer.primitive.forward(A, 7 * B)
    other = layer.primitive.forward(A, 7 * B)
    saved = layer.primitive.save(np.array(other), (A, B))
    assert len(saved) == 3, "a result that no forward pass of this thread has just made"
    assert composed._last.result() is other


@pytest.mark.parametrize(
    ("first", "second", "inside", "outside"),
    [
        (np.float16, np.float16, np.float32, np.float16),
        (np.float32, np.float16, np.float32, np.float32),
        (np.float32, np.float64, np.float64, np.float64),
        (np.float16, int, np.float64, np.float64),
    ],
)
def test_passes_run_in_one_dtype(
    layer: Counted, first: Any, second: Any, inside: Any, outside: Any
) -> None:
    a, b = tg.tensor(A, dtype=first), tg.tensor(B, dtype=second)
    y = apply(layer.primitive, (a, b))
    assert y.dtype == outside
    y.backward()
    assert layer.calls[0][1:] == (inside, inside)
    assert a.grad.dtype == first
    np.testing.assert_array_equal(a.grad, B**2)
    if second is not int:
        assert b.grad.dtype == second


def test_integers_have_no_derivatives_and_do_not_disturb_those_of_others(layer: Counted) -> None:
    def first(a: Any) -> Any:
        return np.sum(bind(layer.primitive, a, np.array([3, 5])))

    np.testing.assert_array_equal(tg.grad(first)(A), B**2)
    second = tg.grad(lambda a: np.sum(tg.grad(lambda a: first(a * a))(a)))(A)
    np.testing.assert_array_equal(second, 2 * B**2)


def test_compiled_gradients_call_the_backward_pass(layer: Counted) -> None:
    def loss(a: Any, b: Any) -> Any:
        return np.sum(np.sin(bind(layer.primitive, a, b)))

    compiled = tg.jit(tg.grad(loss, (0, 1)), strict=True)
    compiled(A, B)
    layer.calls.clear()
    for part, wanted in zip(compiled(A, B), tg.grad(loss, (0, 1))(A, B)):
        np.testing.assert_allclose(part, wanted, rtol=1e-12)
    assert [kept for kept, _, _ in layer.calls] == [False, True]


def test_packing_keeps_shapes_and_batches() -> None:
    shapes = [(2, 3), (), (0, 4), (3,)]
    parts = [np.random.default_rng(0).normal(size=s) for s in shapes]
    flat = packed(parts)
    assert flat.shape == (10,)
    for part, wanted in zip(unpacked(flat, shapes), parts):
        np.testing.assert_array_equal(part, wanted)
    batch = [np.stack([p, 2 * p]) for p in parts]
    for part, wanted in zip(unpacked(packed(batch, (2,)), shapes), batch):
        np.testing.assert_array_equal(part, wanted)
