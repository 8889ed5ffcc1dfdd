"""Random programs give the same values and gradients however they are run.

The grammar is in ``programs``: primitives, views, in-place writes, loops and branches by values. After
every pass of the compiler ``verify`` looks at the program (see ``conftest``).
"""

from typing import Any

import numpy as np
import programs
import pytest
from differences import Kink
from hypothesis import assume, given, reject, settings

from tapegrad.compile.jitted import recording
from tapegrad.compile.passes import pipeline as passes
from tapegrad.tape.program.verification import verify

#: Programs that have gone wrong once, with the shapes of their arguments.
REMEMBERED: dict[str, Any] = {
    "a view from before its base is written": (
        (("zeros", 0), ("view", "tail", 1), ("set", 1, "all", 0), ("unary", "sin", 2)),
        [(3,)],
    ),
    "a write through a view of a view": (
        (("zeros", 0), ("unary", "abs", 0), ("in part", "*=", 1, "all", 0)),
        [(3,)],
    ),
    "a write through a locked view": (
        (("view", "every other", 1), ("unary", "abs", 0), ("in place", "+=", 2, 0)),
        [(), (3,)],
    ),
    "an argument that is overwritten before it is read": (
        (("set", 0, "all", 1),),
        [(3,), ()],
    ),
    "a part added to a buffer of zeros": (
        (("zeros", 0), ("unary", "abs", 0), ("binary", "add", 0, 1), ("unary", "abs", 0)),
        [(3,)],
    ),
    "a masked write below a branch": (
        (
            ("reduce", "max", 0, None, False),
            ("branch", 0, -1.0, (("unary", "abs", 0),), (("unary", "sin", 0),)),
            ("view", "column", 0),
            ("set", 0, "all", 1),
            ("into", "add", 2, 2, 3, True),
        ),
        [(2, 3), (3,)],
    ),
    "a branch below a branch": (
        (
            ("cond", 0, 0.0, "sin", "square", 1),
            ("set", 1, "all", 0),
            ("branch", 1, 0.0, (("cond", 1, 0.5, "tanh", "abs", 2),), (("unary", "exp", 2),)),
            ("cond", 2, -1.0, "rectify", "root", 2),
        ),
        [(3,), (2, 3)],
    ),
    "a scan of rows and a loop below a branch": (
        (
            ("scan", "tanh", 0, 1, True, 2),
            (
                "branch",
                2,
                0.0,
                (("while", "sin", 0, -1.0, 3),),
                (("scan", "root", 1, 0, False, None),),
            ),
            ("while", "square", 3, 0.0, 2),
        ),
        [(3,), (2, 3)],
    ),
    "a buffer that a loop reads after it is written": (
        (
            ("zeros", 0),
            ("set", 1, "all", 0),
            ("scan", "sin", 1, 1, False, None),
            ("set", 1, "all", 2),
        ),
        [(3,)],
    ),
    "a buffer in a loop": (
        (("zeros", 0), ("loop", 3, (("unary", "sin", 1), ("in part", "+=", 1, "head", 0)))),
        [(2, 1)],
    ),
}

CHECKS = {
    "values": lambda program, sets: programs.check_values(program, sets[0]),
    "gradients": lambda program, sets: programs.check_gradients(program, sets[0]),
    "jit": programs.check_jit,
    "jit of the gradient": programs.check_jit_of_gradient,
    "tape": programs.check_tape,
}


def _holds(check: str, drawn: Any) -> None:
    program, sets = drawn
    assume(all(programs.tame(program, args) for args in sets))
    try:
        CHECKS[check](program, sets)
    except Kink:
        reject()


@pytest.mark.parametrize("name", REMEMBERED)
@pytest.mark.parametrize("check", CHECKS)
def test_programs_that_went_wrong_once_hold(check: str, name: str) -> None:
    program, shapes = REMEMBERED[name]
    rng = np.random.default_rng(3)
    for order in "CF":
        sets = [[np.array(rng.uniform(-1, 1, s), order=order) for s in shapes] for _ in range(2)]
        CHECKS[check](program, sets)


@settings(max_examples=60)
@given(drawn=programs.programs())
def test_tensors_and_traced_values_do_what_arrays_do(drawn: Any) -> None:
    _holds("values", drawn)


@settings(max_examples=80)
@given(drawn=programs.programs())
def test_all_gradients_agree_with_each_other_and_with_differences(drawn: Any) -> None:
    _holds("gradients", drawn)


@settings(max_examples=40)
@given(drawn=programs.programs())
def test_a_compiled_program_gives_what_the_program_gives_and_writes(drawn: Any) -> None:
    _holds("jit", drawn)


@settings(max_examples=40)
@given(drawn=programs.programs())
def test_a_compiled_gradient_is_the_gradient(drawn: Any) -> None:
    _holds("jit of the gradient", drawn)


@settings(max_examples=60)
@given(drawn=programs.programs())
def test_a_replay_and_the_printed_tape_are_the_run_to_the_last_bit(drawn: Any) -> None:
    _holds("tape", drawn)


@pytest.mark.deep
@pytest.mark.parametrize("part", range(12))
@pytest.mark.parametrize("check", ["values", "gradients", "tape"])
@settings(max_examples=150)
@given(drawn=programs.programs())
def test_many_programs_hold(check: str, part: int, drawn: Any) -> None:
    _holds(check, drawn)


@pytest.mark.deep
@pytest.mark.parametrize("part", range(12))
@pytest.mark.parametrize("check", ["jit", "jit of the gradient"])
@settings(max_examples=40)  # each compiles kernels of its own
@given(drawn=programs.programs())
def test_many_compiled_programs_hold(check: str, part: int, drawn: Any) -> None:
    _holds(check, drawn)


def test_every_pass_is_verified() -> None:
    assert recording.check is verify
    assert len(passes.PIPELINE) > 3
