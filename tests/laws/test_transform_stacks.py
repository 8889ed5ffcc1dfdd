"""Transformations compose: any stack of them, on any function, and with imperative tensors."""

import itertools
from typing import Any

import numpy as np
import pytest
import stacks
from hypothesis import given, settings
from hypothesis import strategies as st
from stacks import BOTTOM, TRANSFORMATIONS, Function

import tapegrad as tg

NAMES = sorted(TRANSFORMATIONS)
SEEDS = st.integers(0, 2**32 - 1)


def _depth(most: int) -> Any:
    return st.lists(st.sampled_from(NAMES), min_size=1, max_size=most)


def _close(got: Any, expected: Any, what: str) -> None:
    expected = np.asarray(expected, dtype=np.float64)
    assert np.shape(got) == expected.shape, what
    scale = 1.0 + np.max(np.abs(expected), initial=0.0)
    error = np.max(np.abs(np.asarray(got) - expected), initial=0.0)
    assert error <= stacks.TOLERANCE * scale, f"{what}: {got} and {expected}"


@pytest.mark.parametrize("bottom", BOTTOM, ids=lambda f: f"{f.name} of {len(f.shape)} axes")
def test_every_transformation_and_every_pair_of_a_kind_is_right(bottom: Function) -> None:
    pairs = [("grad", "jit"), ("jit", "grad"), ("vmap", "grad"), ("grad", "vmap"), ("jvp", "vjp")]
    for names in [*((name,) for name in NAMES), *pairs]:
        f = stacks.stack(bottom, names)
        stacks.check(f, stacks.point(f, 1))


@settings(max_examples=60)
@given(bottom=st.sampled_from(BOTTOM), names=_depth(3), seed=SEEDS)
def test_a_stack_of_transformations_is_its_differences_and_loops(
    bottom: Function, names: list[str], seed: int
) -> None:
    f = stacks.stack(bottom, names)
    stacks.check(f, stacks.point(f, seed))


@pytest.mark.deep
@pytest.mark.parametrize("part", range(12))
@settings(max_examples=120)
@given(bottom=st.sampled_from(BOTTOM), names=_depth(3), seed=SEEDS)
def test_many_stacks_are_their_differences_and_loops(
    part: int, bottom: Function, names: list[str], seed: int
) -> None:
    f = stacks.stack(bottom, names)
    stacks.check(f, stacks.point(f, seed))


@pytest.mark.deep
@pytest.mark.parametrize("names", list(itertools.product(NAMES, repeat=3)), ids="-".join)
def test_every_stack_of_three_is_right(names: tuple[str, ...]) -> None:
    for bottom in BOTTOM:
        f = stacks.stack(bottom, names)
        stacks.check(f, stacks.point(f, 2))


def _penalty(f: Function) -> tuple[Any, Function]:
    """A loss that contains the stack, as one writes a gradient penalty, and its reference."""

    def loss(x: Any) -> Any:
        y = f.ours(x)
        return np.sum(y * y) + np.sum(np.sin(x)) * np.mean(y)

    def reference(x: Any) -> Any:
        y = f.reference(x)
        return np.sum(y * y) + np.sum(np.sin(x)) * np.mean(y)

    return loss, Function(f"penalty of {f.name}", loss, reference, f.shape, ())


@settings(max_examples=40)
@given(bottom=st.sampled_from(BOTTOM), names=_depth(2), seed=SEEDS)
def test_backward_goes_through_transformations_of_imperative_tensors(
    bottom: Function, names: list[str], seed: int
) -> None:
    loss, function = _penalty(stacks.stack(bottom, names))
    x = stacks.point(function, seed)
    expected = stacks.grad(function).reference(x.astype(np.longdouble))
    for _ in range(2):
        leaf = tg.tensor(x)
        result = loss(leaf)
        result.backward()
        _close(result.data, function.reference(x.astype(np.longdouble)), function.name)
        _close(leaf.grad, expected, f"backward() through {function.name}")
        again = tg.tensor(x)
        with tg.Tape() as tape:
            y = loss(again)
        _close(tape.gradient(y, [again])[0], expected, f"Tape.gradient through {function.name}")


@settings(max_examples=30)
@given(bottom=st.sampled_from(BOTTOM), names=_depth(2), seed=SEEDS)
def test_a_captured_imperative_tensor_gets_its_gradient(
    bottom: Function, names: list[str], seed: int
) -> None:
    w = tg.tensor(0.7)

    def with_weight(weight: Any) -> Function:
        return stacks.stack(
            Function(
                f"weighted {bottom.name}",
                lambda x: bottom.ours(x) * weight,
                lambda x: bottom.reference(x) * np.longdouble(0.7),
                bottom.shape,
                bottom.out,
            ),
            names,
        )

    ours = stacks.summed(with_weight(w))
    x = stacks.point(ours, seed)
    value = ours.ours(x)
    assert isinstance(value, tg.Tensor), f"{ours.name}: the tensor that it captures is lost"
    value.backward()

    def of_weight(weight: Any) -> Any:
        varied = Function(
            "", lambda x: x, lambda x: bottom.reference(x) * weight, bottom.shape, bottom.out
        )
        return stacks.summed(stacks.stack(varied, names)).reference(x.astype(np.longdouble))

    slope = stacks._slope(of_weight, np.longdouble(0.7), np.longdouble(1.0))
    _close(w.grad, slope, f"gradient of the weight in {ours.name}")


@settings(max_examples=20)
@given(bottom=st.sampled_from(BOTTOM), seed=SEEDS)
def test_the_hessian_is_its_differences(bottom: Function, seed: int) -> None:
    f = stacks.summed(bottom)
    x = stacks.point(f, seed)
    hessian = tg.hessian(f.ours)(x)
    assert np.shape(hessian) == (*f.shape, *f.shape)
    for t in np.eye(x.size).reshape(x.size, *x.shape):
        expected = stacks._slope(stacks.grad(f).reference, x.astype(np.longdouble), t)
        got = np.tensordot(hessian, t, axes=x.ndim) if x.ndim else hessian * t
        _close(got, expected, f"hessian of {f.name}")


def test_a_stack_of_jits_reuses_its_plan() -> None:
    f = tg.jit(tg.grad(lambda x: np.sum(np.sin(x) ** 2)))
    for k in range(4):
        np.testing.assert_allclose(f(np.full(3, 0.1 * k)), np.sin(0.2 * k) * np.ones(3), atol=1e-12)
    assert f.stats().traces == 1 and f.stats().eager_calls == 0
