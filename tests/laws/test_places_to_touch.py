"""What docs/architecture.md says of extensions: toys, declared at run time, hold the laws.

The operations fuse where they should, the transformation nests with the others, and the control-flow
primitive goes through all of them. A toy back end runs the whole registry in
``tests/compile/test_backends.py``.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import toys
from checks import (
    Application,
    check_cotangent,
    check_jit,
    check_jvp,
    check_second,
    check_vjp,
    check_vmap,
)

import tapegrad as tg
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.primitive import primitives
from tapegrad.tape.core.pytree import flatten
from tapegrad.tape.program.bodies import record_body
from tapegrad.tape.program.verification import verify


@pytest.fixture
def declared() -> Iterator[dict[str, Any]]:
    """The toy primitives, which are gone after the test, and the function of the last one."""
    before = set(primitives)
    repeat_p, repeat = toys.repetition()
    yield {
        "elementwise": toys.softsign(),
        "reduction": toys.energy(),
        "opaque": toys.mirror(),
        "control flow": repeat_p,
        "repeat": repeat,
    }
    for name in set(primitives) - before:
        del primitives[name]


KINDS = ["elementwise", "reduction", "opaque", "control flow"]


def step(x: Any) -> Any:
    return np.sin(x) * 1.2 + x[::-1] * x


def application(kind: str, declared: Any, x: Any) -> Application:
    params: dict[str, Any] = {}
    if kind == "reduction":
        params = {"axis": (1,), "keepdims": False}
    if kind == "control flow":
        params = {"body": record_body(step, *flatten((x,))).program, "times": 3}
    return Application(declared[kind], (x,), params)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("law", [check_cotangent, check_vjp, check_jvp, check_second])
def test_a_toy_operation_holds_the_laws(kind: str, law: Any, declared: Any) -> None:
    rng = np.random.default_rng(0)
    law(application(kind, declared, rng.normal(size=(3, 4)) / 4), rng)


@pytest.mark.parametrize("kind", KINDS)
def test_a_toy_operation_is_batched_and_compiled(kind: str, declared: Any) -> None:
    rng = np.random.default_rng(1)
    apps = [application(kind, declared, rng.normal(size=(3, 4)) / 4) for _ in range(3)]
    check_vmap(apps[0], rng, apps[1:])
    check_jit(apps, rng)


def test_toy_operations_fuse_into_one_kernel(declared: Any) -> None:
    softsign, energy = declared["elementwise"], declared["reduction"]

    def f(x: Any) -> Any:
        return bind(energy, np.exp(bind(softsign, x)), axis=(0, 1), keepdims=False)

    x = np.random.default_rng(2).normal(size=(5, 6))
    text = tg.jit(tg.value_and_grad(f)).explain(x)
    assert " 1 kernels, 0 library steps" in text
    np.testing.assert_allclose(tg.jit(tg.grad(f))(x), tg.grad(f)(x), rtol=1e-13)


def test_a_toy_transformation_nests_with_the_others() -> None:
    x = np.linspace(-1.0, 2.0, 6)

    def f(x: Any) -> Any:
        return np.sum(np.tanh(x) * x)

    assert toys.operations_in(f)(x) == {"tanh": 1, "multiply": 1, "sum": 1}
    assert toys.operations_in(tg.grad(f))(x)["multiply"] > 1
    inner: list[Any] = []

    def counted(x: Any) -> Any:
        inner.append(toys.operations_in(f)(x))
        return f(x)

    np.testing.assert_array_equal(tg.grad(counted)(x), tg.grad(f)(x))
    np.testing.assert_array_equal(tg.vmap(counted)(x[:, None]), tg.vmap(f)(x[:, None]))
    assert inner == [{"tanh": 1, "multiply": 1, "sum": 1}] * 2


def test_a_toy_control_flow_primitive_is_as_the_loop_that_it_stands_for(declared: Any) -> None:
    repeat, x = declared["repeat"], np.linspace(-0.5, 0.5, 4)

    def rolled(x: Any) -> Any:
        return np.sum(repeat(3, step, x) ** 2)

    def unrolled(x: Any) -> Any:
        return np.sum(step(step(step(x))) ** 2)

    for transformed in (tg.grad, tg.hessian, tg.jit, lambda f: tg.jit(tg.grad(f))):
        got, expected = transformed(rolled), transformed(unrolled)
        for _ in range(3):
            np.testing.assert_allclose(got(x), expected(x), rtol=1e-12)
    t = tg.tensor(x)
    rolled(t).backward()
    np.testing.assert_allclose(t.grad, tg.grad(unrolled)(x), rtol=1e-12)


def test_a_toy_control_flow_primitive_is_printed_and_verified_with_its_body(declared: Any) -> None:
    x = np.linspace(-0.5, 0.5, 4)
    with tg.Tape() as tape:
        t = tg.tensor(x)
        y = declared["repeat"](3, step, t)
    program = tape.program([t], [y])
    verify(program)
    assert "np.sin" in program.source()
    np.testing.assert_array_equal(program(x)[0], step(step(step(x))))
