"""Type hints as users meet them: a checker finds nine of ten mistakes in a file, and nothing else."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
USER = ROOT / "tests" / "typing" / "user.py"


@pytest.mark.skipif(importlib.util.find_spec("mypy") is None, reason="mypy is not installed")
def test_a_checker_finds_the_mistakes_of_a_user(tmp_path: Path) -> None:
    unneeded = shutil.ignore_patterns("__pycache__")
    for part in ("", "tape", "ops", "compile"):  # as an installation lays them
        shutil.copytree(ROOT / (part or "tapegrad"), tmp_path / "tapegrad" / part, ignore=unneeded)
    shutil.copy(USER, tmp_path)
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "user.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    found = {int(n) for n in re.findall(r"^user\.py:(\d+): error", done.stdout, re.MULTILINE)}
    lines = USER.read_text(encoding="utf-8").splitlines()
    mistakes = {i for i, line in enumerate(lines, 1) if "# mistake" in line}
    assert len(mistakes) == 10
    assert found <= mistakes, done.stdout
    assert len(found) >= 9, sorted(lines[i - 1] for i in mistakes - found)
