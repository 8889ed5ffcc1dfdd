"""What the site is made of fits, as far as this can be seen without Sphinx."""

import ast
import doctest
import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
LINK = re.compile(r"\[[^\]]*\]\(([^)#:\s]+)(?:#[^)]*)?\)")


@pytest.fixture(scope="module")
def gallery() -> Iterator[ModuleType]:
    before = list(sys.path)
    sys.path.insert(0, str(DOCS / "site"))
    try:
        yield importlib.import_module("gallery")
    finally:
        sys.path[:] = before
        for name in ("gallery", "reference", "places"):
            sys.modules.pop(name, None)


def test_programs_get_titles(gallery: ModuleType) -> None:
    found = doctest.testmod(gallery)
    assert found.attempted and not found.failed


def test_every_program_that_runs_is_in_the_gallery(gallery: ModuleType, tmp_path: Path) -> None:
    gallery.copy(ROOT / "examples", tmp_path / "programs", tmp_path / "pages")
    names = {path.name for path in (tmp_path / "programs").glob("*.py")}
    assert {path.name for path in (ROOT / "examples").glob("*.py")} <= names
    for path in (tmp_path / "programs").glob("*.py"):
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        title, line, *_ = str(text).splitlines()
        assert line == "=" * len(title) and len(title) < 120
        assert ".. code-block:: console\n\n    $ python examples/" in str(text)


def test_a_program_that_is_gone_leaves_the_gallery(gallery: ModuleType, tmp_path: Path) -> None:
    gallery.copy(ROOT / "examples", tmp_path / "programs", tmp_path / "pages")
    (tmp_path / "pages").mkdir()
    gone = tmp_path / "programs" / "of_yesterday.py", tmp_path / "pages" / "of_yesterday.rst"
    for path in gone:
        path.write_text("")
    gallery.copy(ROOT / "examples", tmp_path / "programs", tmp_path / "pages")
    assert not any(path.exists() for path in gone)


def test_links_between_pages_lead_somewhere() -> None:
    """Those of a checkout; what is generated is there when the site is built."""
    pages = [
        *DOCS.glob("*.md"),
        *DOCS.glob("guide/*.md"),
        *DOCS.glob("errors/*.md"),
        *ROOT.glob("*.md"),
    ]
    lost = [
        f"{page.relative_to(ROOT)}: {link}"
        for page in pages
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        if not link.startswith("generated/") and not (page.parent / link).exists()
    ]
    assert not lost


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = set()
    for page in DOCS.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"```{toctree}\n(.*?)```", text, re.DOTALL):
            listed.update(line.strip() for line in block.splitlines() if not line.startswith(":"))
    pages = [*DOCS.glob("*.md"), *DOCS.glob("guide/*.md")]
    names = {str(page.relative_to(DOCS).with_suffix("")) for page in pages}
    assert names - listed == {"index"}
    assert "errors/*" in listed


def test_what_was_measured_can_be_drawn() -> None:
    """``docs/site/pictures.py`` needs of each row its name, and numbers of both sides."""
    for path in (DOCS / "measured").glob("*.json"):
        rows = json.loads(path.read_text(encoding="utf-8"))
        if path.stem in ("workloads", "npbench", "gradbench", "orders"):
            assert rows and all({"name", "numbers"} <= set(row) for row in rows)
            assert all({"tapegrad", "jax"} <= set(row["numbers"]) for row in rows)
