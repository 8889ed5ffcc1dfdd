"""Printed programs, as they are for typical tapes.

The texts are kept in ``tests/golden``. After a change that is meant, write them anew with
``python -m pytest tests/tape/test_printing.py --golden`` and read the difference.
"""

import re
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.tape.program.printing import run_source

GOLDEN = Path(__file__).parents[1] / "golden"
X = np.array([0.5, 1.0, 2.0])
TABLE = np.linspace(0.0, 1.0, 30).reshape(10, 3)


def softmax(x):
    e = np.exp(x - np.max(x))
    return e / np.sum(e)


def writes(x):
    y = tg.zeros(4, dtype=float)
    y[1:] = x * 2
    y[[0, 2]] += x[:2]
    np.negative(x[:2], out=y[::2], where=[True, False])
    return y


def branches(x):
    def positive(x):
        return tg.cond(x[0] > x[1], np.sin, np.sqrt, x)

    return np.sum(tg.cond(np.sum(x) > 0, positive, lambda x: TABLE @ x @ TABLE, x))


jitted = tg.jit(lambda x: (np.tanh(x), np.sum(x)))


def call(x):
    for _ in range(2):  # a jitted function is an entry from its second call on
        y, total = jitted(x)
    return y * total


FUNCTIONS = {"softmax": softmax, "writes": writes, "branches": branches, "call": call}


def taped(name):
    x = tg.tensor(X)
    with tg.Tape() as tape:
        y = FUNCTIONS[name](x)
    return tape.program([x], [y]), y


def shown(program):
    """The text, with the user's file but not the line, which any edit of this file moves."""
    return re.sub(r"  \S*?(\w+\.py):\d+$", r"  \1", str(program), flags=re.MULTILINE) + "\n"


@pytest.mark.parametrize("what", ["tape", "reverse"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_text_of_typical_programs_is_as_it_was(name, what, request):
    program, _ = taped(name)
    text = shown(program if what == "tape" else program.reverse())
    path = GOLDEN / f"{what}_{name}.py"
    if request.config.getoption("--golden"):
        path.write_text(text)
    assert text == path.read_text(), f"see {path}; write it anew with --golden if that is meant"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_text_runs(name):
    program, y = taped(name)
    constants = {}
    source = program.source(constants)
    np.testing.assert_allclose(run_source(source, X, **constants), y.data, rtol=1e-15)
    both, constants = program.reverse(), {}
    source = both.source(constants)
    seed = np.ones(y.shape)
    for got, wanted in zip(run_source(source, X, seed, **constants), both(X, seed), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_every_entry_names_the_users_line():
    for name in FUNCTIONS:
        program, _ = taped(name)
        for part in (program, program.reverse(), program.forward(), program.batch(2)):
            for line in str(part).splitlines():
                if " = " in line and "  # " in line:
                    assert re.search(r"test_printing\.py:\d+$", line), line
