"""What docs/architecture.md says of extensions: toy operations, declared at run time, hold the laws.

An elementwise operation and a reduction are one declaration each, and fuse. An opaque operation is a
declaration with a batching rule. ``tests/tape/test_protocol.py`` does the same for a trace.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
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
from tapegrad.ops.declare.axes import with_axes
from tapegrad.tape.array.application import bind
from tapegrad.tape.core.primitive import Primitive, Reduction, primitives


@pytest.fixture
def declared() -> Iterator[dict[str, Primitive]]:
    """Toy primitives, which are gone after the test."""
    before = set(primitives)
    softsign = Primitive(
        "toy_softsign",
        lambda x: x / (1 + np.abs(x)),
        (lambda g, y, x: g / (1 + np.abs(x)) ** 2,),
        jvp="elementwise",
        family="elementwise",
        kernel="x / (1 + absolute(x))",
    )

    def batch(args: Any, batched: Any, size: int, params: Any) -> Any:
        return bind(energy, args[0], **{**params, "axis": tuple(a + 1 for a in params["axis"])})

    energy = Primitive(
        "toy_energy",
        lambda x, axis, keepdims: np.sum(x * x, axis=axis, keepdims=keepdims),
        (lambda g, y, x, axis, keepdims: 2 * x * with_axes(g, axis, keepdims),),
        jvp=lambda tangents, y, x, axis, keepdims: np.sum(
            2 * x * tangents[0], axis=axis, keepdims=keepdims
        ),
        batch=batch,
        family="reduction",
        reduction=Reduction("add", 0.0, each="x * x", rounding="wide"),
    )
    mirror = Primitive(
        "toy_mirror",
        lambda x: np.flip(x, -1),
        (lambda g, y, x: bind(mirror, g),),
        jvp="linear",
        batch=lambda args, batched, size, params: bind(mirror, args[0]),
    )
    yield {"elementwise": softsign, "reduction": energy, "opaque": mirror}
    for name in set(primitives) - before:
        del primitives[name]


PARAMS: dict[str, dict[str, Any]] = {
    "elementwise": {},
    "reduction": {"axis": (1,), "keepdims": False},
    "opaque": {},
}


@pytest.mark.parametrize("kind", PARAMS)
@pytest.mark.parametrize("law", [check_cotangent, check_vjp, check_jvp, check_second])
def test_a_toy_operation_holds_the_laws(kind: str, law: Any, declared: Any) -> None:
    rng = np.random.default_rng(0)
    law(Application(declared[kind], (rng.normal(size=(3, 4)),), PARAMS[kind]), rng)


@pytest.mark.parametrize("kind", PARAMS)
def test_a_toy_operation_is_batched_and_compiled(kind: str, declared: Any) -> None:
    rng = np.random.default_rng(1)
    apps = [Application(declared[kind], (rng.normal(size=(3, 4)),), PARAMS[kind]) for _ in range(3)]
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
