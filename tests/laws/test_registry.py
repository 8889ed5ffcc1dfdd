"""Every primitive of the registry obeys every law, at the recipes of ``samples`` and beyond.

The recipes cover the shapes that matter for each primitive. Hypothesis varies the values, the layout
in memory, and, for elementwise operations and reductions, the shapes and axes.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import checks
import numpy as np
import pytest
from checks import Application
from differences import Kink
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from samples import SAMPLES

from tapegrad.tape.core.primitive import Primitive, primitives

#: Primitives that stand for a user's function: they have no arguments of their own to sample.
ELSEWHERE = {
    "cond_imperative": "backward() through cond, tests/ops/test_ties.py",
    "operation": "users' operations, tests/tape",
    "operation_jvp": "users' operations, tests/tape",
    "operation_vjp": "users' operations, tests/tape",
    "checkpoint": "blocks that are functions, tests/tape/test_checkpoint.py",
    "checkpoint_imperative": "backward() through checkpoint, tests/tape/test_checkpoint.py",
    "custom_jvp": "users' rules, tests/tape/test_custom_rules.py",
    "custom_vjp": "users' rules, tests/tape/test_custom_rules.py",
    "implicit": "equations that are functions, tests/tape/test_implicit.py",
    "solution": "solvers that are functions, tests/tape/test_implicit.py",
    "own_rule": "one call of a function with a rule, tests/tape/test_custom_rules.py",
    "completion": "columns that are not determined, tests/ops/test_completions.py",
    "betainc_bend_aa": "no derivative by parameters, tests/tapegrad/test_incomplete_functions.py",
    "betainc_bend_ab": "no derivative by parameters, tests/tapegrad/test_incomplete_functions.py",
    "betainc_bend_bb": "no derivative by parameters, tests/tapegrad/test_incomplete_functions.py",
    "betainc_slope_a": "no second derivative by parameters, tests/tapegrad/test_incomplete_functions.py",
    "betainc_slope_b": "no second derivative by parameters, tests/tapegrad/test_incomplete_functions.py",
    "gammainc_bend": "no derivative by parameters, tests/tapegrad/test_incomplete_functions.py",
    "gammainc_slope": "no second derivative by parameters, tests/tapegrad/test_incomplete_functions.py",
    "cond": "branches that are functions, tests/tape/test_control.py",
    "scan": "loops whose bodies are functions, tests/tape/test_loops.py",
    "scan_imperative": "backward() through loops, tests/tape/test_loops.py",
    "switch": "branches that are functions, tests/tape/test_switch.py",
    "switch_imperative": "backward() through switch, tests/ops/test_ties.py",
    "unwind": "pullbacks of loops, tests/tape/test_loops.py",
    "while": "loops whose bodies are functions, tests/tape/test_loops.py",
    "while_imperative": "backward() through loops, tests/ops/test_ties.py",
    "jit_call": "grad, jvp and vmap of jitted functions, test_transform_stacks.py",
    "jit_call_imperative": "backward() through jitted functions, tests/ops/test_ties.py",
    "output": "picks from what several results are, tests/tape/test_control.py",
}
#: Functions of Python's library and of SciPy have dots in their names, and tests of their own.
NAMES = sorted(name for name in set(primitives.complete()) - set(ELSEWHERE) if "." not in name)
DIFFERENTIABLE = [name for name in NAMES if primitives[name].differentiable]

LAYOUTS = ("C", "F", "strided", "reversed", "offset")


def laid_out(x: Any, layout: str) -> Any:
    """The same values, in memory in another way."""
    if not x.ndim:
        return np.array(x)
    if layout == "F":
        return np.asfortranarray(x)
    if layout == "strided":
        wide = np.zeros(tuple(2 * n for n in x.shape), x.dtype)
        out = wide[(slice(None, None, 2),) * x.ndim]
    elif layout == "reversed":
        out = np.zeros(x.shape, x.dtype)[(slice(None, None, -1),) * x.ndim]
    elif layout == "offset":
        out = np.zeros(x.size + 3, x.dtype)[3:].reshape(x.shape)
    else:
        return np.array(x, order="C")
    out[...] = x
    return out


def recipes(name: str) -> list[Any]:
    """The sample recipes of a primitive."""
    if not SAMPLES.get(name):
        pytest.fail(
            f"the primitive {name!r} has no samples: add functions `rng -> (args, params)` for it "
            f"to SAMPLES[{name!r}] in tests/laws/samples.py"
        )
    return SAMPLES[name]


def sample(name: str, recipe: int, rng: np.random.Generator) -> Application:
    args, params = recipes(name)[recipe](rng)
    return Application(primitives[name], tuple(np.asarray(a) for a in args), params)


def seeded(name: str, recipe: int, attempt: int = 0) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(name.encode()), recipe, attempt])


def pools(name: str, rng: np.random.Generator) -> tuple[list[Any], dict[str, Any]]:
    """Values for each argument of a primitive, from all its recipes."""
    apps = [sample(name, i, rng) for i in range(len(recipes(name)))]
    columns = zip(*(app.args for app in apps))
    return [np.concatenate([np.ravel(a) for a in column]) for column in columns], apps[-1].params


@st.composite
def applications(draw: Any, name: str) -> Application:
    """A recipe with other values and layouts, or other shapes and axes where that is possible."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    primitive = primitives[name]
    free = primitive.family in ("elementwise", "reduction")
    if not free or draw(st.booleans(), label="shape of a recipe"):
        app = sample(name, draw(st.integers(0, len(recipes(name)) - 1), label="recipe"), rng)
    else:
        app = _of_drawn_shape(draw, primitive, rng)
    layouts = [draw(st.sampled_from(LAYOUTS), label="layout") for _ in app.args]
    args = [
        # Of equal indices the last one wins, unless indices and values both lie reversed in memory:
        # then NumPy goes through one axis backwards, and through several forwards.
        a if name == "write" and np.asarray(a).dtype.kind == "i" else laid_out(a, layout)
        for a, layout in zip(app.args, layouts)
    ]
    return Application(primitive, tuple(args), app.params)


def _of_drawn_shape(draw: Any, primitive: Primitive, rng: np.random.Generator) -> Application:
    values, params = pools(primitive.name, rng)
    if primitive.family == "elementwise":
        shapes = draw(
            hnp.mutually_broadcastable_shapes(
                num_shapes=len(values), min_side=0, max_side=3, max_dims=3
            ),
            label="shapes",
        ).input_shapes
        args = tuple(rng.choice(v, shape) for v, shape in zip(values, shapes))
        return Application(primitive, args, params)
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=3), label="shape")
    axis = draw(st.permutations(range(len(shape))), label="axis")
    axis = tuple(axis[: draw(st.integers(0, len(shape)), label="number of axes")])
    if primitive.name in ("var", "std") and np.prod([shape[a] for a in axis]) < 2:
        reject()  # a single value has no spread
    n = int(np.prod(shape, dtype=int))
    spaced = (rng.permutation(n).reshape(shape) - n / 2 + 0.25) * 0.3
    params = {**params, "axis": axis, "keepdims": draw(st.booleans(), label="keepdims")}
    return Application(primitive, (spaced,), params)


def differentiable(law: Any) -> Any:
    """A law about derivatives, which says nothing about primitives without them."""
    law.names = DIFFERENTIABLE
    return law


def _vmap(app: Application, rng: Any) -> None:
    """Three examples: the arguments as they are, and with their values in another order; matrices that
    must be positive definite, or have real eigenvalues, by another factor."""

    def other(a: Any) -> Any:
        if app.primitive.name in ("cholesky", "eig_packed"):
            return a * rng.uniform(0.5, 2)
        return rng.permutation(a.ravel()).reshape(a.shape)

    others = [
        Application(
            app.primitive,
            tuple(other(a) if a.dtype.kind == "f" else a for a in app.args),
            app.params,
        )
        for _ in range(2)
    ]
    checks.check_vmap(app, rng, others)


def _single(app: Application, rng: Any) -> None:
    checks.check_forward(app.cast(np.float32), rng)


def _half(app: Application, rng: Any) -> None:
    checks.check_forward(app.cast(np.float16), rng)


def _single_cotangent(app: Application, rng: Any) -> None:
    checks.check_cotangent(app.cast(np.float32), rng)


LAWS: dict[str, Callable[[Application, Any], None]] = {
    "forward": checks.check_forward,
    "forward32": _single,
    "forward16": _half,
    "vmap": _vmap,
    "cotangent": differentiable(checks.check_cotangent),
    "cotangent32": differentiable(_single_cotangent),
    "vjp": differentiable(checks.check_vjp),
    "jvp": differentiable(checks.check_jvp),
    "second": differentiable(checks.check_second),
}
ROWS = [
    pytest.param(law, name, id=f"{name}-{key}")
    for key, law in LAWS.items()
    for name in getattr(law, "names", NAMES)
]


def test_what_has_no_samples_is_a_users_function() -> None:
    assert set(ELSEWHERE) <= set(primitives)
    assert not set(ELSEWHERE) & set(SAMPLES)
    assert set(SAMPLES) <= set(primitives), "samples of primitives that do not exist"


@pytest.mark.parametrize("name", NAMES)
def test_every_primitive_has_samples(name: str) -> None:
    assert recipes(name)


def _as_index(value: Any) -> Any:
    is_index = getattr(value, "shape", None) == () and value.dtype.kind in "iu"
    return value.item() if is_index else value


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_what_is_no_view_has_memory_of_its_own(name: str) -> None:
    # Plans write over what nobody needs any more, and know of views alone what these show.
    primitive = primitives[name]
    for sample in SAMPLES[name]:
        args, params = sample(np.random.default_rng(0))
        args = tuple(np.array(a, order="C") if isinstance(a, np.ndarray) else a for a in args)
        for operands in (args, tuple(map(_as_index, args))):  # plans give either
            with np.errstate(all="ignore"):
                out = primitive.forward(*operands, **params)
            held = [a for a in operands if isinstance(a, np.ndarray)]
            for result in list(out) if primitive.multiple else [out]:
                shared = any(np.shares_memory(result, a) for a in held)
                assert not shared or primitive.view, f"{name} gives its argument back"
                held.append(np.asarray(result))


@pytest.mark.parametrize(("law", "name"), ROWS)
def test_every_recipe_of_every_primitive_obeys(law: Any, name: str) -> None:
    for recipe in range(len(recipes(name))):
        for attempt in range(20):
            rng = seeded(name, recipe, attempt)
            app = sample(name, recipe, rng)
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


def _obeys(law: Any, name: str, data: Any) -> None:
    app = data.draw(applications(name))
    try:
        law(app, np.random.default_rng(zlib.crc32(repr(app).encode())))
    except Kink:
        reject()


def _drawn(law: Any, examples: int) -> Any:
    """A test of one law. One function for all of them would have more rows than Hypothesis can take:
    its pytest plugin nests the settings of a function once for each row."""

    @pytest.mark.parametrize("name", getattr(law, "names", NAMES))
    @settings(max_examples=examples)
    @given(data=st.data())
    def test(name: str, data: Any) -> None:
        _obeys(law, name, data)

    return test


for _key, _law in LAWS.items():
    globals()[f"test_{_key}_holds_at_drawn_arguments"] = _drawn(_law, 8)
    globals()[f"test_{_key}_holds_at_many_arguments"] = pytest.mark.deep(_drawn(_law, 150))


# Compiled ----------------------------------------------------------------------------------------


def _kinds(name: str) -> list[int]:
    """A few recipes that need different kernels: by ranks and parameters, not by sizes."""
    found: dict[Any, int] = {}
    for i in range(len(recipes(name))):
        app = sample(name, i, seeded(name, i))
        if all(a.size for a in app.args):
            pattern = tuple(tuple(n > 1 for n in a.shape) for a in app.args)
            layout = tuple(a.flags.c_contiguous for a in app.args)
            found.setdefault((pattern, layout), i)
    return list(found.values())


def _compile(law: Any, name: str, recipe: int, dtype: Any) -> None:
    rng = seeded(name, recipe)
    apps = [sample(name, recipe, rng).cast(dtype) for _ in range(3)]
    fixed = [i for i, a in enumerate(apps[0].args) if a.dtype.kind == "b" and a.size]
    if fixed and name in ("gather", "scatter_add", "write", "winners"):
        # Masks decide about shapes: another mask is another recording.
        apps = [apps[0]] * 3
    law(apps, rng)


COMPILED = [
    pytest.param(law, name, id=f"{name}-{key}")
    for key, law, names in [
        ("jit", checks.check_jit, NAMES),
        ("jit-vjp", checks.check_jit_of_vjp, DIFFERENTIABLE),
    ]
    for name in names
]


@pytest.mark.parametrize(("law", "name"), COMPILED)
def test_every_primitive_compiles_to_what_it_is(law: Any, name: str) -> None:
    for recipe in _kinds(name)[:4]:
        _compile(law, name, recipe, np.float64)
    _compile(law, name, _kinds(name)[0], np.float32)


@pytest.mark.deep
@pytest.mark.parametrize(("law", "name"), COMPILED)
def test_every_primitive_compiles_to_what_it_is_at_all_recipes(law: Any, name: str) -> None:
    for recipe in range(len(recipes(name))):
        for dtype in (np.float64, np.float32):
            _compile(law, name, recipe, dtype)
