"""The laws notice: each test breaks the library on purpose and expects the checker to fail.

Every checker is first run on the library as it is, so that it is the mutation that makes it fail.
"""

import functools
from typing import Any

import checks
import numpy as np
import programs
import pytest
import stacks
from checks import Application
from hypothesis import assume
from test_complex_plane import moved
from test_registry import sample, seeded

import tapegrad as tg
from tapegrad.compile.passes import pipeline as passes
from tapegrad.tape.core import cotangents
from tapegrad.tape.core.primitive import primitives
from tapegrad.tape.program.program import Program
from tapegrad.tape.program.staging import StagingTrace
from tapegrad.tape.transforms.control import branches


def _application(name: str, recipe: int) -> Application:
    app = sample(name, recipe, seeded(name, recipe))
    assert app.forward().size, "a sample without elements shows nothing"
    return app


def _rng() -> np.random.Generator:
    return np.random.default_rng(5)


def _expect_failure(check: Any, *args: Any) -> None:
    with pytest.raises(AssertionError):
        check(*args)


def _replace(monkeypatch: pytest.MonkeyPatch, primitive: Any, slot: str, value: Any) -> None:
    """Change a slot of a primitive, and forget what was derived from it."""
    derived = [
        name
        for name, member in vars(type(primitive)).items()
        if isinstance(member, functools.cached_property)
    ]
    for name in derived:
        getattr(primitive, name)  # so that there is something to come back
    for name in derived:
        monkeypatch.delitem(vars(primitive), name)
    for name in ("record", "link", "pull_back"):  # the next use generates them anew
        monkeypatch.setattr(primitive, name, getattr(primitive, f"_{name}_first"))
    monkeypatch.setattr(primitive, slot, value)


def _flip(rule: Any) -> Any:
    return lambda *args, **kwargs: -rule(*args, **kwargs)


# name, and a recipe with arguments that show it
FLIPPED = {"sin": 2, "multiply": 1, "sum": 0, "max": 4, "reshape": 0, "cumprod": 3, "divide": 3}


@pytest.mark.parametrize("name", FLIPPED)
def test_a_flipped_sign_in_a_vjp_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app, primitive = _application(name, FLIPPED[name]), primitives[name]
    checks.check_vjp(app, _rng())
    rules = primitive.vjps
    for k, rule in enumerate(rules):
        with monkeypatch.context() as patch:
            _replace(patch, primitive, "vjps", (*rules[:k], _flip(rule), *rules[k + 1 :]))
            _expect_failure(checks.check_vjp, app, _rng())


#: Slots that hold what a rule for any number of arguments gives, on tensors and on arrays.
OPAQUE = [
    ("einsum", "vjp"), ("concatenate", "vjp"), ("gather", "vjp"), ("gather", "add_into"),
    ("basic_index", "add_into"), ("write", "vjp"), ("write", "take_from"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "slot"), OPAQUE)
def test_a_flipped_sign_in_a_rule_for_many_arguments_is_noticed(
    name: str, slot: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, primitive = _application(name, 1), primitives[name]
    laws = (checks.check_vjp, checks.check_jvp, checks.check_second)
    for law in laws:
        law(app, _rng())
    rule = getattr(primitive, slot)
    if slot == "add_into":
        wrong = lambda buffer, g, *args, **params: rule(buffer, -g, *args, **params)
    else:
        wrong = _flip(rule)
    _replace(monkeypatch, primitive, slot, wrong)
    noticed = 0
    for law in laws:
        try:
            law(app, _rng())
        except AssertionError:
            noticed += 1
    assert noticed


@pytest.mark.parametrize("name", ["exp", "multiply", "imag", "fft"])
def test_a_conjugate_too_many_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = _off_the_line(name)
    checks.check_vjp(app, _rng())
    rules = app.primitive.vjps
    wrong = tuple(lambda *args, r=rule, **params: np.conj(r(*args, **params)) for rule in rules)
    _replace(monkeypatch, app.primitive, "vjps", wrong)
    _expect_failure(checks.check_vjp, app, _rng())


def test_another_part_than_the_real_one_for_a_real_operand_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = _off_the_line("multiply", (False, True))
    checks.check_vjp(app, _rng())
    right = cotangents.cast

    def wrong(value: Any, dtype: Any) -> Any:
        lost = value.dtype.kind == "c" and dtype.kind != "c"
        return right(np.imag(value) if lost else value, dtype)

    monkeypatch.setattr(cotangents, "cast", wrong)
    _expect_failure(checks.check_vjp, app, _rng())


def _off_the_line(name: str, which: tuple[bool, ...] = ()) -> Application:
    app = _application(name, 2)
    return moved(app, _rng(), which or (True,) * len(app.args))


@pytest.mark.parametrize("name", ["max", "prod", "var", "gather", "cumprod"])
def test_a_flipped_sign_in_a_jvp_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app, primitive = _application(name, 0), primitives[name]
    checks.check_jvp(app, _rng())
    monkeypatch.setattr(primitive, "jvp", _flip(primitive.jvp))
    _expect_failure(checks.check_jvp, app, _rng())


@pytest.mark.parametrize("mode", ["linear", "elementwise"])
def test_a_wrong_kind_of_jvp_is_noticed(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name = {"linear": "square", "elementwise": "linear_recurrence"}[mode]
    app = _application(name, 2 if mode == "linear" else 6)
    checks.check_jvp(app, _rng())
    monkeypatch.setattr(primitives[name], "jvp", mode)
    with pytest.raises((AssertionError, ValueError)):
        checks.check_jvp(app, _rng())


@pytest.mark.parametrize("name", ["sin", "exp", "tanh", "reciprocal"])
def test_a_rule_that_cannot_be_differentiated_is_noticed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right to first order; the dependence of the slope on x is lost."""
    app, primitive = _application(name, 2), primitives[name]
    checks.check_second(app, _rng())
    slope = _slope_of(primitive, app.args[0])
    _replace(monkeypatch, primitive, "vjps", (lambda g, y, x: g * slope(x),))
    checks.check_vjp(app, _rng())
    _expect_failure(checks.check_second, app, _rng())


def _slope_of(primitive: Any, at: Any) -> Any:
    (rule,) = primitive.vjps

    def slope(x: Any) -> Any:
        while type(x) is not np.ndarray:
            x = x.value
        return rule(np.ones_like(x), primitive.forward(x), x)

    return slope


@pytest.mark.parametrize("name", ["add", "multiply", "maximum", "power"])
def test_a_dropped_unbroadcast_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    app = _application(name, 2)  # (2, 3) with (3,)
    checks.check_cotangent(app, _rng())
    checks.check_vjp(app, _rng())
    monkeypatch.setattr(cotangents, "unbroadcast", lambda g, shape: g)
    _expect_failure(checks.check_cotangent, app, _rng())


@pytest.mark.parametrize("name", ["add", "multiply"])
def test_an_unbroadcast_that_forgets_to_sum_is_noticed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = _application(name, 2)
    monkeypatch.setattr(
        cotangents, "unbroadcast", lambda g, shape: np.reshape(g[0] if g.ndim else g, shape)
    )
    _expect_failure(checks.check_vjp, app, _rng())


def test_a_cotangent_of_another_dtype_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Application(primitives["multiply"], (np.ones(3, np.float32), np.ones(3, np.float64)), {})
    checks.check_cotangent(app, _rng())
    generated = primitives["multiply"].pull_back.__globals__
    monkeypatch.setitem(generated, "fit", lambda g, shape, dtype: g)
    _expect_failure(checks.check_cotangent, app, _rng())


@pytest.mark.parametrize("name", ["sin", "sum", "take", "reshape"])
def test_a_forward_that_is_off_by_one_bit_is_noticed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = {"take": "gather"}.get(name, name)
    app, primitive = _application(name, 0), primitives[name]
    checks.check_forward(app, _rng())
    forward = primitive.forward
    monkeypatch.setattr(primitive, "forward", lambda *a, **p: np.nextafter(forward(*a, **p), 9))
    _expect_failure(checks.check_forward, app, _rng())


@pytest.mark.parametrize(
    ("name", "recipe", "broken"),
    [
        ("sum", 2, lambda args, batched, size, params: np.sum(args[0], axis=1, keepdims=True)),
        ("cumsum", 3, lambda args, batched, size, params: np.cumsum(args[0], axis=0)),
        ("transpose", 2, lambda args, batched, size, params: args[0]),
        ("matmul", 2, lambda args, batched, size, params: args[0][0] @ args[1][0]),
    ],
    ids=["sum", "cumsum", "transpose", "matmul"],
)
def test_a_wrong_batching_rule_is_noticed(
    name: str, recipe: int, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = _application(name, recipe)
    others = [sample(name, recipe, seeded(name, recipe, k)) for k in (1, 2)]
    checks.check_vmap(app, _rng(), others)
    monkeypatch.setattr(primitives[name], "batch", broken)
    with pytest.raises((AssertionError, ValueError, IndexError)):
        checks.check_vmap(app, _rng(), others)


@pytest.mark.parametrize(("name", "text"), [("sin", "cos(x)"), ("hypot", "hypot(x, x)")])
def test_a_wrong_kernel_text_is_noticed(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps = [sample(name, 2, seeded(name, 2, k)) for k in range(2)]
    checks.check_jit(apps, _rng())
    monkeypatch.setattr(primitives[name], "kernel", text)
    _expect_failure(checks.check_jit, apps, _rng())


# Programs ----------------------------------------------------------------------------------------

_X = [[np.array([0.3, 0.5, 0.4])], [np.array([-0.7, -0.2, -0.9])]]
_YES, _NO = (("in place", "*=", 0, 0),), (("in place", "+=", 0, 0),)
BRANCH = (("branch", 0, 0.0, _YES, _NO),)
TIMES = (
    ("copy", 0),
    ("in place", "+=", 1, 0),
    ("times", 1, (("unary", "sin", 1), ("set", 1, "all", 2))),
)
VIEWED = (("copy", 0), ("view", "reverse", 1), ("in part", "*=", 2, "all", 0), ("unary", "exp", 1))


@pytest.mark.parametrize("program", [BRANCH, TIMES], ids=["branch", "times"])
def test_a_lost_guard_is_noticed(program: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # Strict: a program that is run without compiling would show nothing.
    programs.check_jit(program, _X, strict=True)
    programs.check_jit_of_gradient(program, _X, strict=True)
    monkeypatch.setattr(StagingTrace, "guard", lambda self, tensor, kind, seen: None)
    _expect_failure(programs.check_jit, program, _X)
    _expect_failure(programs.check_jit_of_gradient, program, _X)


def test_a_write_whose_gradient_still_reaches_the_old_value_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    programs.check_gradients(VIEWED, _X[0])
    take = primitives["write"].take_from

    def leaky(g: Any, *args: Any, **params: Any) -> Any:
        kept = g.copy()
        part = take(g, *args, **params)
        g[...] = kept
        return part

    _replace(monkeypatch, primitives["write"], "take_from", leaky)
    _expect_failure(programs.check_gradients, VIEWED, _X[0])


def test_a_wrong_printed_line_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    programs.check_tape(VIEWED, _X)
    monkeypatch.setattr(primitives["exp"], "source", lambda args, params: f"np.exp2({args[0]})")
    _expect_failure(programs.check_tape, VIEWED, _X)
    assert str(Program([], [], [])) == "def tape():\n    return None"


def test_a_pass_that_drops_what_is_needed_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    programs.check_jit(VIEWED, _X, strict=True)

    def careless(program: Any) -> Any:
        return program.with_entries(program.entries[1:])

    monkeypatch.setattr(passes, "PIPELINE", (careless, *passes.PIPELINE))
    _expect_failure(programs.check_jit, VIEWED, _X)


def test_a_wrong_rule_of_cond_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(x: Any) -> Any:
        return tg.cond(np.sum(x) > 0, lambda x: np.sum(np.sin(x)), lambda x: np.sum(x * x), x)

    def check(seed: float) -> None:
        x = np.array([0.3, seed])
        wanted = np.cos(x) if np.sum(x) > 0 else 2 * x
        for slope in (tg.jit(tg.grad(f)), lambda x: tg.vmap(tg.grad(f))(np.stack([x, -x]))[0]):
            checks.assert_near(slope(x), wanted, 1e-12, "slope")

    check(0.5)
    check(-0.5)
    pull = branches.cond_p.pull_all

    def crossed(*args: Any, true_fun: Any, false_fun: Any, **params: Any) -> Any:
        return pull(*args, true_fun=false_fun, false_fun=true_fun, **params)

    _replace(monkeypatch, branches.cond_p, "pull_all", crossed)
    _expect_failure(check, 0.5)
    _expect_failure(check, -0.5)


def _loops(x: Any) -> Any:
    """A scan and a loop, both of which read a value from outside."""
    total, rows = tg.scan(lambda c, row: (c * np.cos(row) + np.sum(x), c * x), x, x)
    return tg.while_loop(lambda c: np.sum(c) < 9.0, lambda c: 2 * c + x * x, total)[0] + np.sum(
        rows
    )


def _check_loops() -> None:
    x = np.array([0.3, 0.5])
    slopes = [_difference_along(_loops, x, t) for t in np.eye(2)]
    for gradient in (tg.grad(_loops), tg.jit(tg.grad(_loops))):
        checks.assert_near(gradient(x), slopes, 1e-6, "gradient")
    checks.assert_near(tg.jvp(_loops, (x,), (x,))[1], slopes @ x, 1e-6, "tangent")


def _difference_along(f: Any, x: Any, t: Any) -> Any:
    return (f(x + 1e-6 * t) - f(x - 1e-6 * t)) / 2e-6


@pytest.mark.parametrize("name", ["scan", "while", "unwind"])
def test_a_lost_cotangent_of_what_a_loop_reads_is_noticed(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _check_loops()
    primitive = primitives[name]
    rule = primitive.pull_all if name != "unwind" else primitive.forward

    def losing(*args: Any, **params: Any) -> Any:
        *found, last = rule(*args, **params)
        return [*found, np.zeros_like(last) if name == "unwind" else None]

    _replace(monkeypatch, primitive, "pull_all" if name != "unwind" else "forward", losing)
    _expect_failure(_check_loops)


def test_a_wrong_stack_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    bottom = next(f for f in stacks.BOTTOM if f.name == "softmax")
    names = ["vjp", "vmap", "jvp"]
    f = stacks.stack(bottom, names)
    stacks.check(f, stacks.point(f, 3))
    _replace(monkeypatch, primitives["exp"], "vjps", (lambda g, y, x: g * (y + 1e-4),))
    _expect_failure(stacks.check, f, stacks.point(f, 3))


def test_the_programs_that_are_drawn_write_and_branch() -> None:
    """The grammar is worth its name: most programs are tame, and many write into arguments."""
    from hypothesis import find, settings

    def interesting(drawn: Any) -> bool:
        program, sets = drawn
        kinds = {statement[0] for statement in program}
        assume(programs.tame(program, sets[0]))
        given = programs.copies(sets[0])
        programs.run(program, *given)
        wrote = any(not np.array_equal(a, b) for a, b in zip(given, sets[0]))
        return wrote and {"branch", "view"} <= kinds

    found = find(programs.programs(), interesting, settings=settings(max_examples=3000))
    assert len(found[0]) >= 2
