"""Each public name has its place in the reference, and a docstring that says how to use it."""

import importlib.util
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


def test_every_error_has_a_page() -> None:
    from tapegrad import errors

    pages = {path.stem for path in (ROOT / "docs" / "errors").glob("*.md")}
    listed = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    for name in [*errors.__all__, "NonFiniteError", "SkipGradient"]:
        if name == "MyGradException":  # the base class by its documented name
            continue
        page = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        assert page in pages and f"[{name}](errors/{page}.md)" in listed
