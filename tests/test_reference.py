"""Each public name has its place in the reference, and a docstring that says how to use it."""

import doctest
import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "docs" / "site"
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.fixture(scope="module")
def reference() -> Iterator[ModuleType]:
    before = list(sys.path)
    sys.path.insert(0, str(SITE))
    try:
        yield importlib.import_module("reference")
    finally:
        sys.path[:] = before
        for name in ("reference", "places"):
            sys.modules.pop(name, None)


def test_every_public_name_has_one_place(reference: ModuleType) -> None:
    assert reference.misplaced() == []
    assert len(reference.public_names()) > 500


def test_a_name_without_a_place_ends_the_build(
    reference: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import tapegrad as tg

    monkeypatch.setattr(reference.tg, "__all__", [*tg.__all__, "__version__"], raising=False)
    with pytest.raises(LookupError, match="__version__ has no place in the reference"):
        reference.write(tmp_path)


def test_the_pages_are_made_from_the_package(reference: ModuleType, tmp_path: Path) -> None:
    reference.write(tmp_path)
    page = (tmp_path / "reductions.md").read_text(encoding="utf-8")
    assert "| [`sum`](api/tapegrad.sum.rst) | Sum over axes. |" in page
    assert "| [`amax`](api/tapegrad.max.rst) | another name of `max` |" in page
    links = {
        link
        for file in tmp_path.glob("*.md")
        for link in re.findall(r"\((api/[^)]*)\)", file.read_text(encoding="utf-8"))
    }
    assert links == {f"api/{path.name}" for path in (tmp_path / "api").iterdir()}


#: What needs another package, or a cluster, shows its example without running it.
NOT_RUN = {
    "computational_graph.build_graph",
    "parallel.wait_for_workers",
    "sparse.spsolve",
}
READS_DOCSTRINGS = pytest.mark.skipif(sys.flags.optimize == 2, reason="there are no docstrings")


def documented(reference: ModuleType) -> dict[str, Any]:
    """Return what is called and is no class, each object once."""
    found: dict[int, tuple[str, Any]] = {}
    for name, value in reference.public_names().items():
        if reference.has_page(value) and not isinstance(value, type):
            found.setdefault(id(value), (name, value))
    return dict(found.values())


def lacks(name: str, value: Any) -> list[str]:
    """Return what a docstring should have, and has not."""
    text = inspect.getdoc(value) or ""
    lacking = []
    if not hasattr(value, "__enter__"):  # context managers are entered, and not called
        signature = inspect.signature(value)
        if signature.parameters and "Parameters\n---" not in text:
            lacking.append("Parameters")
        if signature.return_annotation not in (None, "None") and "Returns\n---" not in text:
            lacking.append("Returns")
    if ">>> " not in text and name not in NOT_RUN:
        lacking.append("an example")
    return lacking


@READS_DOCSTRINGS
def test_every_function_says_what_it_takes_and_returns_and_shows_it(reference: ModuleType) -> None:
    functions = documented(reference)
    assert len(functions) > 400
    lacking = {name: found for name, value in functions.items() if (found := lacks(name, value))}
    assert lacking == {}
    assert not [name for name in NOT_RUN if ">>> " in (inspect.getdoc(functions[name]) or "")]


@READS_DOCSTRINGS
def test_every_parameter_is_told_of(reference: ModuleType) -> None:
    """The names before the colons of the section are those of the signature, each of them."""
    missing = {}
    for name, value in documented(reference).items():
        if hasattr(value, "__enter__"):
            continue
        text = (inspect.getdoc(value) or "").partition("Parameters\n")[2]
        heads = re.findall(r"^(\S.*?)(?: : .*)?$", re.split(r"\n\n\w+[\w ]*\n---", text)[0], re.M)
        told = {part.strip().lstrip("*") for head in heads for part in head.split(",")}
        parameters = inspect.signature(value).parameters.values()
        wanted = {p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
        if wanted - told:
            missing[name] = sorted(wanted - told)
    assert missing == {}


@READS_DOCSTRINGS
def test_examples_of_what_is_no_function_run(reference: ModuleType) -> None:
    """Doctest finds functions and classes by itself (``test_doctests.py``): these are objects."""
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=OPTIONS)
    objects = {n: v for n, v in documented(reference).items() if not inspect.isroutine(v)}
    assert len(objects) > 100
    for name, value in objects.items():
        test = parser.get_doctest(value.__doc__, {"__name__": "examples"}, name, None, None)
        assert test.examples
        runner.run(test)
    assert runner.failures == 0


def test_every_error_has_a_page() -> None:
    from tapegrad import errors

    pages = {path.stem for path in (ROOT / "docs" / "errors").glob("*.md")}
    listed = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    for name in [*errors.__all__, "NonFiniteError", "SkipGradient"]:
        if name == "MyGradException":  # the base class by its documented name
            continue
        page = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        assert page in pages and f"[{name}](errors/{page}.md)" in listed
