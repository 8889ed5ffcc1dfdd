"""Random programs give the same values and gradients however they are run.

The grammar is in ``programs``: primitives, views, in-place writes, loops and branches by values. After
every pass of the compiler ``verify`` looks at the program (see ``conftest``).
"""

from typing import Any

import programs
import pytest
from checks import Kink
from hypothesis import assume, given, reject, settings

from tapegrad.compile import passes, recording
from tapegrad.compile.program import verify

#: Programs that have gone wrong once, and the corners that a short run may not draw.
REMEMBERED: list[Any] = []

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
@pytest.mark.parametrize("check", CHECKS)
@given(drawn=programs.programs())
def test_many_programs_hold(check: str, drawn: Any) -> None:
    _holds(check, drawn)


def test_every_pass_is_verified() -> None:
    assert recording.check is verify
    assert len(passes.PIPELINE) > 3
