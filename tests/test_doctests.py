"""Every example in a docstring of the installed package gives what it says."""

import doctest
import importlib
import pkgutil

import pytest

PARTS = ["tapegrad", "tapegrad.tape", "tapegrad.ops", "tapegrad.compile"]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


def module_names() -> list[str]:
    """Return the name of every module of the package, with the parts that stand elsewhere."""
    names = set(PARTS)
    for part in PARTS:
        path = importlib.import_module(part).__path__
        names.update(info.name for info in pkgutil.walk_packages(path, part + "."))
    return sorted(name for name in names if not name.endswith("__main__"))


@pytest.mark.parametrize("name", module_names())
def test_examples_in(name: str) -> None:
    globals_of_users = {"__name__": "examples"}  # functions of tapegrad have no images
    module = importlib.import_module(name)
    result = doctest.testmod(module, extraglobs=globals_of_users, optionflags=OPTIONS)
    assert result.failed == 0
