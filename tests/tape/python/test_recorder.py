"""What a recorder notes of small programs: each read, each effect; nothing goes past it."""

import numpy as np
import pytest
import reads

import tapegrad as tg
from tapegrad.tape.core.errors import Abandoned
from tapegrad.tape.core.trace import new_trace
from tapegrad.tape.program.staging import StagingTrace
from tapegrad.tape.python.ledger import Ledger
from tapegrad.tape.python.places import Place
from tapegrad.tape.python.recorder import Recorder


def recorded(function, *args):
    """Return the ledger of a run, its result, and why it was abandoned."""
    arguments = list(args)
    with new_trace(StagingTrace) as trace:
        ledger = Ledger(trace, set())
        for i, value in enumerate(arguments):
            ledger.outside(value, Place.argument(arguments, i))
        try:
            return ledger, Recorder(trace, ledger=ledger).read(function, args, {}), ""
        except Abandoned as end:
            return ledger, None, end.reason


@pytest.fixture(autouse=True)
def _globals_as_before():
    before = dict(vars(reads))
    vars(reads)["TABLE"] = {"a": 1, "b": [1, 2, 3]}
    yield
    for name in set(vars(reads)) - set(before):
        del vars(reads)[name]
    vars(reads).update(before)


@pytest.mark.parametrize(("make", "effects"), reads.PROGRAMS)
def test_reads_are_checks_and_a_change_of_any_is_seen(make, effects):
    function, args, change = make()
    ledger, _, reason = recorded(function, *args)
    assert bool(reason) == effects
    assert all(check.holds() for check in ledger.checks.values())
    if not effects:
        change()
        assert not all(check.holds() for check in ledger.checks.values())


@pytest.mark.parametrize(("make", "effects"), reads.PROGRAMS)
def test_recording_changes_no_answer(make, effects):
    function, args, _ = make()
    again, other, _ = make()
    _, result, reason = recorded(function, *args)
    assert reason or result == again(*other)


@pytest.mark.filterwarnings("ignore:jit")
@pytest.mark.parametrize("handler", ["except", "finally", "with"])
def test_handlers_of_the_user_s_do_nothing_while_a_recording_ends(handler):
    seen = []

    class Manager:
        def __enter__(self):
            return self

        def __exit__(self, *error):
            seen.append("exit")

    def f(x):
        try:
            if handler == "with":
                with Manager():
                    seen.append("inside")
            seen.append("body")
        except BaseException:
            seen.append("handled")
            return x * 0
        finally:
            if handler == "finally":
                seen.append("finally")
        return x * 2

    for k in range(1, 4):
        np.testing.assert_array_equal(tg.jit(f)(np.ones(2)), 2.0)
        expected = (["inside", "exit"] if handler == "with" else []) + ["body"]
        expected += ["finally"] if handler == "finally" else []
        assert seen == expected * k


def test_nothing_has_happened_before_a_recording_ends():
    box = reads.Box(count=0)
    w = np.ones(2)

    def f(x):
        w[0] += 1.0
        x[1] = 5.0
        box.count += 1
        return x * w

    with pytest.warns(RuntimeWarning, match=r"changes what is outside it \(variable box\)"):
        tg.jit(f)(x := np.zeros(2))
    assert (w[0], x[1], box.count) == (2.0, 5.0, 1)


def test_an_exception_of_the_user_s_is_raised_with_plain_values():
    kept = []

    def f(x):
        kept.append(x)
        raise ValueError(x, np.sum(x))

    jitted = tg.jit(f)
    with pytest.raises(ValueError) as caught:
        jitted(np.ones(2))
    assert type(kept[0]) is np.ndarray
    assert type(caught.value.args[0]) is np.ndarray
    assert type(caught.value.args[1]) is np.float64


def test_objects_of_unknown_origin_end_a_recording():
    _, _, reason = recorded(lambda: reads.Box(a=1).a)
    assert not reason
    with new_trace(StagingTrace) as trace, pytest.raises(Abandoned, match="nobody knows"):
        Ledger(trace, set()).origin(reads.Box())
