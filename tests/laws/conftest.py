"""Lets the tests here import their helpers (``samples``, ``checks``, ``programs``, ``stacks``)."""

import sys
from pathlib import Path

import pytest

_HERE = str(Path(__file__).parent)
if _HERE not in sys.path:
    sys.path.append(_HERE)


@pytest.fixture(autouse=True)
def _verified_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Check every program after every pass of the compiler."""
    from tapegrad.compile.jitted import recording
    from tapegrad.tape.program.verification import verify

    monkeypatch.setattr(recording, "check", verify)


@pytest.fixture(autouse=True)
def _quiet_floating_point() -> object:
    """NumPy's floating-point warnings are no concern of the laws."""
    import numpy as np

    with np.errstate(all="ignore"):
        yield
