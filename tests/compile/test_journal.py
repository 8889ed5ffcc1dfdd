"""What the compiler tells: under a logger, and on the standard error if the environment asks for it."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tapegrad as tg

ROOT = Path(__file__).parents[2]
CODE = """
import numpy as np, tapegrad as tg
f = tg.jit(tg.grad(lambda x: np.sum(np.sin(x) * np.exp(x))))
for n in (4, 4, 5):
    f(np.ones(n))
f(np.full(4, 1e15))
"""


def told(tmp_path, setting):
    script = tmp_path / "model.py"
    script.write_text(CODE)
    environment = {**os.environ, "TAPEGRAD_CACHE_DIR": "", "TAPEGRAD_LOG": setting}
    done = subprocess.run(
        [sys.executable, "-W", "ignore:overflow", script], env=environment, cwd=ROOT,
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return re.sub(r"\d+\.\d ms", "T", done.stderr).splitlines()


def test_the_environment_has_recordings_plans_and_kernels_written(tmp_path):
    lines = told(tmp_path, "compile")
    assert all(line.startswith("tapegrad: ") and line.endswith(", in T") for line in lines)
    recorded = [line for line in lines if "recorded" in line]
    assert len(recorded) == 2 and all("model.py:5)" in line for line in recorded)
    assert sum("planned 1 kernels" in line for line in lines) == 2
    compiled = [line for line in lines if "kernel compiled: " in line]
    assert len(compiled) == 1 and "(model.py:3)" in compiled[0] and "exp" in compiled[0]
    assert sum("exact form" in line for line in lines) == 1


def test_nothing_is_written_without_and_other_words_are_named(tmp_path):
    assert told(tmp_path, "") == []
    (warning, *_) = told(tmp_path, "compiler")
    assert "TAPEGRAD_LOG knows compile, not 'compiler'" in warning


def test_a_logger_that_listens_is_told(caplog):
    with caplog.at_level(logging.INFO, logger="tapegrad"):
        tg.jit(lambda x: np.tanh(x) * 3 + x)(np.ones(7))
    texts = [record.getMessage() for record in caplog.records]
    assert any("recorded" in text and "test_journal.py:" in text for text in texts)
    assert any("planned" in text for text in texts)
    caplog.clear()
    tg.jit(lambda x: np.tanh(x) * 3 + x)(np.ones(7))
    assert not caplog.records


@pytest.mark.parametrize("level", [logging.WARNING, logging.ERROR])
def test_a_logger_that_is_turned_down_is_not(caplog, level):
    with caplog.at_level(level, logger="tapegrad"):
        tg.jit(lambda x: np.tanh(x) * 4 + x)(np.ones(7))
    assert not caplog.records
