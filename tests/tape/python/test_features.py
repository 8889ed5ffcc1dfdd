"""Every feature of Python runs in images as it runs without: result, exception, lines, names."""

import sys
import traceback
from types import CodeType

import failures
import features
import pytest
from gates import GATES, Full, Showing

from tapegrad.tape.python import Imaging
from tapegrad.tape.python.bytecode import take_apart
from tapegrad.tape.python.treatments import TREATED

FUNCTIONS = [*features.FEATURES, *failures.FAILURES]
FILES = (features.__file__, failures.__file__)
each_function = pytest.mark.parametrize("function", FUNCTIONS, ids=lambda f: f.__name__)


def _outcome(run):
    """What `run` returns, or the traceback of what it raises, as far as it lies in the functions."""
    try:
        return repr(run())
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if frame.filename in FILES]
        places = [(f.name, f.lineno, f.end_lineno, f.colno, f.end_colno) for f in ours]
        return type(error), str(error), places, frames[-1].filename in FILES


@pytest.mark.parametrize("gate", [*GATES, Showing], ids=lambda gate: gate.__name__)
@each_function
def test_result_and_traceback_are_those_of_the_function(function, gate):
    expected = _outcome(function)
    assert _outcome(lambda: gate().run(function)) == expected


def test_features_return_and_failures_raise():
    for function in features.FEATURES:
        function()
    for function in failures.FAILURES:
        with pytest.raises(Exception, match=r"(?s)."):
            function()


def _lines(run):
    """Every call, line and return in the functions, in order, as a debugger or coverage sees them."""
    events = []

    def trace(frame, event, arg):
        if frame.f_code.co_filename not in FILES:
            return None
        events.append((frame.f_code.co_name, event, frame.f_lineno))
        return trace

    sys.settrace(trace)
    try:
        run()
    except Exception:
        pass
    finally:
        sys.settrace(None)
    # Where a frame goes on after an exception on the same line, Pythons and code differ.
    return [
        event
        for last, event in zip([None, *events], events)
        if not (last and last == (event[0], "exception", event[2]) and event[1] == "line")
    ]


@pytest.mark.parametrize("gate", [Imaging, Full], ids=lambda gate: gate.__name__)
@each_function
def test_a_debugger_sees_the_same_lines(function, gate):
    expected = _lines(function)
    assert _lines(lambda: gate().run(function)) == expected


def _codes(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def test_the_features_contain_every_instruction_that_asks_the_gate():
    used = {
        each.name
        for function in [*FUNCTIONS, *vars(features.Vector).values()]
        if hasattr(function, "__code__")
        for code in _codes(function.__code__)
        for each in take_apart(code)
    }
    assert set(TREATED) - used <= {"LOAD_FROM_DICT_OR_GLOBALS", "POP_JUMP_BACKWARD_IF_FALSE"}
