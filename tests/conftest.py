"""Settings of the test run: hypothesis profiles and the marker ``deep``.

The profile is ``ci`` (the same examples at every run) when the variable CI is set, ``deep`` with
``pytest --deep``, and ``dev`` (new random examples at every run) otherwise.
"""

import os

import pytest
from hypothesis import HealthCheck, settings

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]

settings.register_profile("dev", deadline=None, suppress_health_check=_SLOW)
settings.register_profile(
    "ci", deadline=None, derandomize=True, print_blob=True, suppress_health_check=_SLOW
)
settings.register_profile("deep", deadline=None, max_examples=2000, suppress_health_check=_SLOW)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--deep", action="store_true", help="also run the tests marked `deep`")
    parser.addoption("--golden", action="store_true", help="write the texts in tests/golden anew")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("hypothesis_profile", default=None):
        return
    if config.getoption("--deep"):
        settings.load_profile("deep")
    else:
        settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--deep"):
        return
    skip = pytest.mark.skip(reason="a long test: runs with --deep")
    for item in items:
        if "deep" in item.keywords:
            item.add_marker(skip)
