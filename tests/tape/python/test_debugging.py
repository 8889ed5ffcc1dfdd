"""Debuggers stop in images, step through them and over the gate."""

import subprocess
import sys

import pytest
from gates import Full

from tapegrad.tape.python import Imaging

PROGRAM = """
import sys
from tapegrad.tape.python import FULL, Images, Imaging

class Full(Imaging):
    images = Images(FULL)

class Number:
    def __add__(self, other):
        return other

def helper(v):
    w = abs(v) * 2
    return w

def f(x):
    {stop}
    y = helper(x) + 1
    y = Number() + y
    return y

run = {{"plain": lambda g, x: g(x), "light": Imaging().run, "full": Full().run}}[sys.argv[1]]
print("result", run(f, 3))
"""


def session(tmp_path, stop, commands, *, module=()):
    """What the debugger shows, under each way to run: its places, texts and answers."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.format(stop=stop))
    shown = []
    for way in ("plain", "light", "full"):
        done = subprocess.run(
            [sys.executable, *module, str(path), way],
            input="\n".join(commands) + "\n",
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        # 3.12 and 3.13 may begin with the line of the stop itself.
        text = done.stdout.replace(f"{path}(", "(").split("(Pdb) ")
        shown.append([part for part in text if stop not in part])
    return shown


@pytest.mark.parametrize("stop", ["breakpoint()", "__import__('pdb').set_trace()"])
def test_steps_lead_into_the_users_functions(tmp_path, stop):
    commands = [
        "until 20",
        "s",
        "s",
        "n",
        "p v, w",
        "p sorted(locals())",
        "r",
        "n",
        "s",
        "s",
        "w",
        "c",
    ]
    plain, light, full = session(tmp_path, stop, commands)
    assert any("def helper" in part for part in plain) and "(3, 6)\n" in plain
    assert any("__add__" in part for part in plain)
    steps = [part for part in plain if "program.py" not in part]
    assert [part for part in light if "imaging" in part or "gate" in part] == []
    assert [part for part in full if "imaging" in part or "gate.py" in part] == []
    assert [p for p in light if "> (" in p] == [p for p in plain if "> (" in p]
    assert [p for p in full if "> (" in p] == [p for p in plain if "> (" in p]
    assert steps


def test_breakpoints_by_line_stop_in_images(tmp_path):
    commands = ["b 15", "c", "p v, w", "s", "s", "s", "s", "c", "q"]
    plain, light, full = session(tmp_path, "pass", commands, module=("-m", "pdb"))
    assert any("return w" in part for part in plain)
    places = [part for part in plain if "> (" in part or "(3, 6)" in part]
    assert [part for part in light if "> (" in part or "(3, 6)" in part] == places
    assert [part for part in full if "> (" in part or "(3, 6)" in part] == places


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is new in 3.12")
@pytest.mark.parametrize("gate", [Imaging, Full], ids=lambda gate: gate.__name__)
def test_coverage_by_monitoring_counts_the_same_lines(gate):
    def branches(x):
        total = 0
        for i in range(x):
            if i == 1:
                continue
            if i > 5:
                total -= 1
            total += abs(i)
        try:
            total /= 0
        except ZeroDivisionError:
            total = [
                total,
                len([1]),
            ]
        else:
            total = 3
        return total

    def lines(run):
        seen, tool = set(), sys.monitoring.COVERAGE_ID
        sys.monitoring.use_tool_id(tool, "test")
        try:
            sys.monitoring.register_callback(
                tool,
                sys.monitoring.events.LINE,
                lambda code, line: seen.add(line) if code.co_name == "branches" else None,
            )
            sys.monitoring.set_events(tool, sys.monitoring.events.LINE)
            run()
        finally:
            sys.monitoring.set_events(tool, 0)
            sys.monitoring.free_tool_id(tool)
        return seen

    expected = lines(lambda: branches(4))
    assert len(expected) > 8
    assert lines(lambda: gate().run(branches, 4)) == expected
