"""Programs of every primitive, and of random functions: what holds for a tape as a value.

A program verifies, is what was recorded to the last bit however it is run (called, printed, unpickled),
and the programs that follow from it are the derivatives and batches of the function.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import programs
import pytest
from checks import FIRST, Application, assert_near, assert_same_bits
from differences import Kink, like
from hypothesis import assume, given, reject, settings
from test_registry import NAMES, _kinds, sample, seeded

import tapegrad as tg
from tapegrad.tape.program.printing import run_source

#: Of numbers that are computed in another order.
NEAR = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-5}


def check_text(program: tg.Program, values: Any) -> None:
    """The printed program gives the same to the last bit, and so does the one from a pickle."""
    wanted = program(*values)
    constants: dict[str, Any] = {}
    source = program.source(constants)
    printed = run_source(source, *values, **constants)
    printed = printed if type(printed) is tuple else (printed,)
    again = pickle.loads(pickle.dumps(program))
    assert again == program and hash(again) == hash(program) and again is not program
    for out, text, other in zip(wanted, printed, again(*values), strict=True):
        assert_same_bits(np.asarray(text), out, f"printed program\n{source}\n")
        assert_same_bits(other, out, "program from a pickle")


def taped(app: Application) -> tuple[tg.Program, list[Any]]:
    """The program of one application, and the values of its inputs. Masks are constants: another mask
    would be another program."""
    given, inputs = [], []
    for a in app.args:
        if a.dtype.kind == "b" and app.primitive.masks:
            given.append(a)
            continue
        inputs.append(tg.Tensor(a, copy=False))
        given.append(inputs[-1])
    with tg.Tape() as tape:
        out = app.primitive(*given, **app.params)
    return tape.program(inputs, [out]), [t.data for t in inputs]


def check_derivatives(program: tg.Program, values: list[Any], rng: Any) -> None:
    """Reverse and forward mode, program to program, are ``vjp`` and ``jvp`` of it."""
    wrt = [i for i, node in enumerate(program.inputs) if node.dtype.kind in "fc"]
    outputs = program(*values)
    floats = [k for k, out in enumerate(outputs) if out.dtype.kind in "fc"]

    def function(*primals: Any) -> Any:
        full = list(values)
        for i, value in zip(wrt, primals):
            full[i] = value
        results = program(*full)
        return [results[k] for k in floats]

    primals = [values[i] for i in wrt]
    cotangents = [like(outputs[k], rng) for k in floats]
    tangents = [like(p, rng) for p in primals]
    reverse, forward = program.reverse(), program.forward()
    reverse.verify()
    forward.verify()
    pulled = reverse(*values, *cotangents)
    pushed = forward(*values, *tangents)
    for k, out in enumerate(outputs):
        assert_same_bits(pulled[k], out, "an output of the reverse program")
        assert_same_bits(pushed[k], out, "an output of the forward program")
    count = len(outputs)
    for part, wanted in zip(pulled[count:], tg.vjp(function, *primals)[1](cotangents), strict=True):
        assert part.dtype == wanted.dtype
        assert_near(part, wanted, NEAR.get(part.dtype, 1e-2), "a cotangent")
    for part, wanted in zip(pushed[count:], tg.jvp(function, primals, tangents)[1], strict=True):
        assert part.dtype == wanted.dtype
        assert_near(part, wanted, NEAR.get(part.dtype, 1e-2), "a tangent")


def check_batch(program: tg.Program, values: list[Any], rng: Any) -> None:
    """A batch is its examples, whichever inputs differ among them."""
    others = [
        rng.permutation(v.ravel()).reshape(v.shape) if v.dtype.kind in "fc" else v for v in values
    ]
    try:
        program(*others)
    except np.linalg.LinAlgError:  # a permuted matrix has other properties, a multiple has the same
        others = [v * 1.25 if v.dtype.kind in "fc" else v for v in values]
    flags = [bool(rng.integers(2)) for _ in values]
    for batched in ([True] * len(values), flags):
        whole = program.batch(2, batched)
        whole.verify()
        got = whole(*(np.stack([v, o]) if b else v for v, o, b in zip(values, others, batched)))
        second = [o if b else v for v, o, b in zip(values, others, batched)]
        for out, one, two in zip(got, program(*values), program(*second), strict=True):
            assert out.dtype == one.dtype
            examples = np.stack([one, two])
            if out.dtype.kind in "fc":
                assert_near(out, examples, NEAR.get(out.dtype, 1e-2), "a batch")
            else:
                assert_same_bits(out, examples, "a batch")


@pytest.mark.parametrize("name", NAMES)
def test_the_program_of_every_primitive_is_what_the_primitive_is(name: str) -> None:
    for recipe in _kinds(name)[:4]:
        rng = seeded(name, recipe)
        app = sample(name, recipe, rng)
        program, values = taped(app)
        program.verify()
        assert_same_bits(program(*values)[0], app.forward(), "replay")
        check_text(program, values)
        check_batch(program, values, rng)
        if app.primitive.differentiable:
            check_derivatives(program, values, rng)


def _programs_of(drawn: Any) -> tuple[tg.Program, list[Any], Any]:
    program, sets = drawn
    assume(all(programs.tame(program, args) for args in sets))
    tensors = [tg.tensor(a) for a in sets[0]]
    with tg.Tape() as tape:
        y = programs.loss(program, *tensors)
    used = [t for t in tensors if t in tape.replay({})]
    return tape.program(used, [y]), [t.data for t in used], tape


@settings(max_examples=50)
@given(drawn=programs.programs())
def test_the_program_of_a_random_function_is_a_value(drawn: Any) -> None:
    program, values, tape = _programs_of(drawn)
    rng = np.random.default_rng(5)
    tape.program().verify()
    program.verify()
    check_text(program, values)
    check_derivatives(program, values, rng)
    check_batch(program, values, rng)


@settings(max_examples=15)
@given(drawn=programs.programs())
def test_compiled_programs_are_what_they_are_run_by_numpy(drawn: Any) -> None:
    program, values, _ = _programs_of(drawn)
    both = program.reverse()
    for whole, given_ in ((program, values), (both, [*values, np.array(1.0)])):
        for got, wanted in zip(whole.compile()(*given_), whole(*given_), strict=True):
            assert_near(got, wanted, 1e-10, "compiled")


@settings(max_examples=25)
@given(drawn=programs.programs())
def test_the_reverse_program_of_a_reverse_program_has_second_derivatives(drawn: Any) -> None:
    program, values, _ = _programs_of(drawn)
    assume(values and sum(v.size for v in values) < 20)
    gradient = program.pullback(range(len(values)))
    gradient.verify()
    second = gradient.reverse(range(len(values)))
    second.verify()
    rng = np.random.default_rng(6)
    weights = [np.asarray(rng.uniform(-1, 1, v.shape)) for v in values]
    got = second(*values, np.array(1.0), *weights)[len(values) :]

    def slope(*args: Any) -> Any:
        grads = tg.grad(lambda *a: program(*a)[0], argnums=tuple(range(len(args))))(*args)
        return sum(np.sum(w * g) for w, g in zip(weights, grads))

    wanted = tg.grad(slope, argnums=tuple(range(len(values))))(*values)
    try:
        for a, b in zip(got, wanted, strict=True):
            assert_near(a, b, FIRST, "second derivatives")
    except Kink:
        reject()
