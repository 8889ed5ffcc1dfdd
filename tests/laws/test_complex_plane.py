"""Every primitive that takes complex numbers obeys the laws in the complex plane.

The samples are those of the registry, moved off the real line: all arguments, and one at a time, so that
real numbers meet complex ones, whose cotangents must be real again.
"""

from __future__ import annotations

from typing import Any

import checks
import numpy as np
import pytest
from checks import Application
from differences import Kink
from test_registry import NAMES, recipes, sample, seeded

from tapegrad.tape.core.primitive import primitives

#: These have no derivatives, or take real numbers and give complex ones.
APART = {"winners", "round", "rint", "rfft"}
TAKES = [name for name in NAMES if primitives[name].takes_complex and name not in APART]
DIFFERENTIABLE = [name for name in TAKES if primitives[name].differentiable]


def moved(app: Application, rng: Any, which: tuple[bool, ...]) -> Application:
    """The same with imaginary parts in some of the float arguments."""
    args = []
    for a, chosen in zip(app.args, which, strict=True):
        if chosen and a.dtype == float:
            a = a + 1j * rng.uniform(0.2, 0.7, a.shape) * rng.choice([-1.0, 1.0], a.shape)
        args.append(np.asarray(a))
    params = dict(app.params)
    if app.primitive.name == "cast":
        params["dtype"] = np.dtype("complex64")
    return Application(app.primitive, tuple(args), params)


def patterns(app: Application) -> list[tuple[bool, ...]]:
    """Which arguments are complex: all; and if there are several, each one alone."""
    floats = [a.dtype == float for a in app.args]
    alone = [tuple(i == j for j in range(len(floats))) for i, f in enumerate(floats) if f]
    if app.primitive.name in ("write", "kinked"):
        alone = [p for p in alone if p[0]]  # complex numbers do not fit into real arrays
    return list(dict.fromkeys([tuple(floats), *alone]))


def applications(name: str, rng_of: Any) -> Any:
    """A few recipes of different ranks and parameters, moved off the real line."""
    seen: set[Any] = set()
    for recipe in range(len(recipes(name))):
        app = sample(name, recipe, seeded(name, recipe))
        kind = (tuple((a.ndim, a.size > 0) for a in app.args), tuple(sorted(app.params)))
        if kind in seen or len(seen) > 3:
            continue
        seen.add(kind)
        for which in patterns(app):
            yield recipe, which


def vmap(app: Application, rng: Any) -> None:
    """Three examples; matrices that must be positive definite by another factor."""

    def other(a: Any) -> Any:
        if app.primitive.name == "cholesky":
            return a * rng.uniform(0.5, 2)
        return rng.permutation(a.ravel()).reshape(a.shape)

    others = [
        Application(
            app.primitive,
            tuple(other(a) if a.dtype.kind in "fc" else a for a in app.args),
            app.params,
        )
        for _ in range(2)
    ]
    checks.check_vmap(app, rng, others)


LAWS = {
    "forward": checks.check_forward,
    "cotangent": checks.check_cotangent,
    "vjp": checks.check_vjp,
    "jvp": checks.check_jvp,
    "second": checks.check_second,
    "vmap": vmap,
}
ROWS = [
    pytest.param(law, name, id=f"{name}-{key}")
    for key, law in LAWS.items()
    for name in (TAKES if key in ("forward", "vmap") else DIFFERENTIABLE)
]


COMPILED = [
    pytest.param(law, name, id=f"{name}-{key}")
    for key, law, names in [
        ("jit", checks.check_jit, TAKES),
        ("jit-vjp", checks.check_jit_of_vjp, DIFFERENTIABLE),
    ]
    for name in names
]


@pytest.mark.parametrize(("law", "name"), COMPILED)
def test_what_takes_complex_numbers_compiles_to_what_it_is(law: Any, name: str) -> None:
    done: set[Any] = set()
    for recipe, which in applications(name, seeded):
        rng = seeded(name, recipe)
        app = moved(sample(name, recipe, rng), rng, which)
        if which in done or not all(a.size for a in app.args):
            continue
        done.add(which)
        apps = [app, *(moved(sample(name, recipe, rng), rng, which) for _ in range(2))]
        if name in ("gather", "scatter_add", "write") and any(a.dtype == bool for a in app.args):
            apps = [app] * 3  # masks decide about shapes
        law(apps, rng)


@pytest.mark.parametrize(("law", "name"), ROWS)
def test_what_takes_complex_numbers_obeys_off_the_real_line(law: Any, name: str) -> None:
    for recipe, which in applications(name, seeded):
        for attempt in range(20):
            rng = seeded(name, recipe, attempt)
            app = moved(sample(name, recipe, rng), rng, which)
            try:
                law(app, rng)
            except Kink:
                continue
            except Exception as error:
                error.add_note(f"recipe {recipe}: {app}")
                raise
            break
        else:
            pytest.fail(f"recipe {recipe} of {name} lies at a kink, whatever the values")
