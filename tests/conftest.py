"""Settings of the test run: which examples Hypothesis draws, the marker ``deep``, and slices.

By default the same examples are drawn at every run, so that two runs of the same code agree. With
``--explore`` they are new ones; what fails is kept in ``.hypothesis`` and tried first the next time.
``--deep`` adds the tests marked `deep`, and explores too. ``--slice 2/5`` runs the second fifth of the
chosen tests: ``tests/deep.py`` runs long sets in slices, each in a process of its own.
"""

import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

#: Tests of every folder import the helper ``agreeing``, which lies here.
if str(Path(__file__).parent) not in sys.path:
    sys.path.append(str(Path(__file__).parent))

_COMMON = settings(
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("steady", _COMMON, derandomize=True, database=None)
settings.register_profile("explore", _COMMON)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--deep", action="store_true", help="also run the tests marked `deep`")
    parser.addoption("--explore", action="store_true", help="draw new examples at random")
    parser.addoption("--slice", metavar="K/N", help="run the K-th of N parts of the chosen tests")
    parser.addoption("--golden", action="store_true", help="write the texts in tests/golden anew")


def pytest_configure(config: pytest.Config) -> None:
    # What a shell starts in the background ignores interrupts, which tests send to themselves.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Kernels of another run would change what is compiled in this one, and these would fill the user's.
    config.kernels = tempfile.TemporaryDirectory()  # type: ignore[attr-defined]
    os.environ["TAPEGRAD_CACHE_DIR"] = config.kernels.name  # type: ignore[attr-defined]
    if not config.getoption("hypothesis_profile", default=None):
        explores = config.getoption("--explore") or config.getoption("--deep")
        settings.load_profile("explore" if explores else "steady")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--deep"):
        skip = pytest.mark.skip(reason="a long test: runs with --deep")
        for item in items:
            if "deep" in item.keywords:
                item.add_marker(skip)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep one part of the tests that -k and -m have left: every n-th, so that parts are alike."""
    part = session.config.getoption("--slice")
    if part:
        number, count = map(int, part.split("/"))
        session.items[:] = session.items[number - 1 :: count]
