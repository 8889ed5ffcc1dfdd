"""What a gate sees of small programs: each read with its place, each effect; nothing goes past it."""

import pytest
import reads
from recorder import Recorder


@pytest.fixture(autouse=True)
def _globals_as_before():
    before = dict(vars(reads))
    table = {"a": 1, "b": [1, 2, 3]}
    vars(reads)["TABLE"] = table
    yield
    for name in set(vars(reads)) - set(before):
        del vars(reads)[name]
    vars(reads).update(before)


@pytest.mark.parametrize(("make", "places", "effects"), reads.PROGRAMS)
def test_reads_are_places_and_a_change_of_any_is_seen(make, places, effects):
    function, args, change = make()
    recorder = Recorder()
    recorder.run(function, *args)
    assert set(places) <= set(recorder.reads), list(recorder.reads)
    assert recorder.effects == effects
    if not effects:
        assert recorder.stale() == []
        change()
        assert recorder.stale() != []


@pytest.mark.parametrize(("make", "places", "effects"), reads.PROGRAMS)
def test_recording_changes_no_answer(make, places, effects):
    function, args, _ = make()
    again, other, _ = make()
    assert Recorder().run(function, *args) == again(*other)


def test_what_is_seen_of_one_program_in_order():
    box = reads.Box(inner=reads.Box(size=5), names=["a"])

    def f(b, k):
        if "a" in b.names and k > reads.SCALE:
            b.inner.size = len(b.names)
        return b.half

    recorder = Recorder()
    assert recorder.run(f, box, 3) == 0.5
    assert list(recorder.reads) == [
        "argument 0",
        "argument 1",
        "argument 0.names",
        "all of argument 0.names",
        "argument 0.names[0]",
        "global reads",
        "global reads.SCALE",
        "global len",
        "argument 0.inner",
        "argument 0.half",
        "argument 0.size",
    ]
    assert recorder.effects == ["store size in argument 0.inner"]
