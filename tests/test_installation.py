"""What an installation offers: the package, its parts, its data and nothing else."""

import importlib
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

import tapegrad
from tapegrad.data import load_digits


@pytest.mark.parametrize(
    "name", ["tapegrad", "tapegrad.tape", "tapegrad.ops", "tapegrad.compile", "tapegrad.data"]
)
def test_each_part_is_a_package_with_a_docstring(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__name__ == name
    assert module.__file__ is not None
    assert module.__doc__ or sys.flags.optimize == 2


def test_only_tapegrad_is_installed_at_the_top_level() -> None:
    owned = metadata.packages_distributions()
    assert "tapegrad" in owned
    for name in ["tape", "ops", "compile", "tests", "benchmarks", "docs", "examples"]:
        assert "tapegrad" not in owned.get(name, [])


def test_numpy_and_numba_are_the_only_dependencies() -> None:
    required = [text for text in metadata.requires("tapegrad") or [] if "extra ==" not in text]
    assert sorted(text.split(">")[0] for text in required) == ["numba", "numpy"]


def test_the_digits_are_the_published_ones() -> None:
    images, labels = load_digits()
    assert images.shape == (1797, 64)
    assert images.dtype == np.uint8 and labels.dtype == np.uint8
    assert images.min() == 0 and images.max() == 16
    # the counts per class are listed by the data set's authors for the test part
    counts = np.bincount(labels).tolist()
    assert counts == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_the_demo_shows_that_the_three_ways_agree_and_that_a_larger_network_learns() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tapegrad.demo", "--epochs", "4", "--fit-epochs", "10"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The three ways agree" in done.stdout
    assert "def " in done.stdout
    found = re.search(r"held-out accuracy (.*)% after 230 steps.* 2 recordings", done.stdout)
    assert found and float(found[1]) > 96.5
    assert "step 230/230, epoch 10: loss" in done.stderr  # the line of progress


def test_the_version_is_the_same_wherever_it_stands() -> None:
    root = Path(__file__).resolve().parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = project["version"]
    assert tapegrad.__version__ == version
    assert f"\nversion: {version}\n" in (root / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\n## {version} (" in (root / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_pythons_that_are_claimed_are_those_that_were_tried() -> None:
    root = Path(__file__).resolve().parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    claimed = set(re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"])))
    tried = re.findall(r"^\| (3\.[\d., ]+) \|", (root / "docs/environments.md").read_text(), re.M)
    assert claimed == set(re.findall(r"3\.\d+", " ".join(tried)))
