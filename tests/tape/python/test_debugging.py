"""Debuggers stop in images, step through them and over the gate."""

# ruff: noqa: RET504  # lines are stepped through

import io
import pdb
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
    x = abs(x)
    y = helper(x) + 1
    y = Number() + y
    return y

run = {{"plain": lambda g, x: g(x), "light": Imaging().run, "full": Full().run}}[sys.argv[1]]
print("result", run(f, 3))
"""


def session(tmp_path, stop, commands, ways):
    """What the debugger shows, under each way to run."""
    path = tmp_path / "program.py"
    path.write_text(PROGRAM.format(stop=stop))
    shown = []
    for way in ways:
        done = subprocess.run(
            [sys.executable, str(path), way],
            input="\n".join(commands) + "\n",
            capture_output=True,
            text=True,
            cwd=tmp_path,
        )
        assert not done.stderr, done.stderr
        shown.append(done.stdout.split("(Pdb) "))
    return shown


def _places(parts):
    """Where the debugger was, and what it answered, up to the end of the program."""
    text = "".join(parts).partition("result")[0]
    return [line for line in text.splitlines() if line.startswith((">", "->", "--", "(", "["))]


@pytest.mark.parametrize(
    ("stop", "ways"),
    [
        ("breakpoint()", ("plain", "light", "full")),
        ("__import__('pdb').set_trace()", ("plain", "full")),
    ],
)
def test_steps_lead_into_the_users_functions(tmp_path, stop, ways):
    commands = [
        "until 19",
        "s",
        "s",
        "n",
        "p (v, w)",
        "p sorted(locals())",
        "r",
        "n",
        "s",
        "s",
        "c",
    ]
    # Pythons differ in whether the first stop is the line of the call itself.
    plain, *images = (_places(parts[1:]) for parts in session(tmp_path, stop, commands, ways))
    assert [line for line in plain if line.startswith("->")] == [
        "-> y = helper(x) + 1",
        "-> def helper(v):",
        "-> w = abs(v) * 2",
        "-> return w",
        "-> return w",
        "-> y = Number() + y",
        "-> def __add__(self, other):",
        "-> return other",
    ]
    assert "(3, 6)" in plain and "['v', 'w']" in plain
    assert images == [plain] * len(images)


class Number:
    def __add__(self, other):
        return other


def helper(v):
    w = abs(v) * 2
    return w


def stepped(x):
    y = helper(x) + 1
    y = Number() + y
    return y


@pytest.mark.parametrize("gate", [Imaging, Full], ids=lambda gate: gate.__name__)
def test_breakpoints_by_line_stop_in_images(gate):
    def debugged(run):
        line = helper.__code__.co_firstlineno + 2
        commands = [f"b {__file__}:{line}", "c", "p (v, w)", "s", "s", "s", "s", "s", "c"]
        shown = io.StringIO()
        debugger = pdb.Pdb(stdin=io.StringIO("\n".join(commands)), stdout=shown, nosigint=True)
        try:
            debugger.runcall(run)
        finally:
            sys.settrace(None)
            debugger.clear_all_breaks()
        return _places([shown.getvalue().partition("Breakpoint")[2]])

    plain = debugged(lambda: stepped(3))
    assert "-> return w" in plain and "-> def __add__(self, other):" in plain
    assert debugged(lambda: gate().run(stepped, 3)) == plain


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
