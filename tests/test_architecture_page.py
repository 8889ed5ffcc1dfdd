"""What docs/ says of the tree is so: the picture shows all rooms, and named files are there."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGE = (DOCS / "architecture.md").read_text(encoding="utf-8")
FOLDERS = ["tape", "ops", "compile", "tapegrad", "tests", "docs", "benchmarks", "examples"]
#: A path in backticks, and perhaps what stands in that file: `core/trace.py::Trace`.
NAMED = re.compile(r"`([\w./]+(?:\.py|\.md|\.npz|/))(?:::(\w+))?`")
#: Pages that speak of the present tree; of the others only what they name with a folder is checked.
PAGES = ["architecture.md", "environments.md", "experiments.md", "vecmath.md"]


def paths() -> set[str]:
    """All files and folders of the repository, which a page may name by their last parts."""
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    names = [path.relative_to(ROOT).as_posix() for path in found if "__pycache__" not in path.parts]
    return {*names, *FOLDERS}


def named(page: str) -> list[tuple[str, str]]:
    return sorted(set(NAMED.findall((DOCS / page).read_text(encoding="utf-8"))))


def found_for(name: str, known: set[str]) -> list[str]:
    name = name.rstrip("/")
    return [name] if name in known else [path for path in known if path.endswith(f"/{name}")]


@pytest.mark.parametrize("page", PAGES)
def test_each_file_that_a_page_names_is_there(page: str) -> None:
    known = paths()
    missing = [name for name, _ in named(page) if not found_for(name, known)]
    assert not missing


def test_the_architecture_page_names_no_file_of_which_there_are_several() -> None:
    known = paths()
    several = {
        name: found
        for name, _ in named("architecture.md")
        if len(found := found_for(name, known)) > 1
    }
    assert not several, "say in which folder"


def test_what_the_architecture_page_names_in_a_file_is_defined_there() -> None:
    known = paths()
    for name, inside in named("architecture.md"):
        if inside:
            (path,) = found_for(name, known)
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            assert inside in {getattr(node, "name", None) for node in ast.walk(tree)}, (
                name,
                inside,
            )


def layers_and_rooms() -> tuple[list[str], dict[str, list[str]]]:
    """In the order in which they may import each other."""
    spec = importlib.util.spec_from_file_location("layers", ROOT / "tests" / "test_layers.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.LAYERS, module.ROOMS


def test_the_picture_shows_the_rooms_that_there_are_each_above_what_it_imports() -> None:
    layers, rooms = layers_and_rooms()
    picture = PAGE.partition("```text\n")[2].partition("```")[0]
    shown: dict[str, list[str]] = {}
    layer = ""
    for begin, room in re.findall(r"^ (\w+/ +| {12})(\w+) ", picture, re.MULTILINE):
        layer = begin.strip().rstrip("/") or layer
        shown.setdefault(layer, []).append(room)
    assert list(shown) == layers[::-1]
    for layer, inside in rooms.items():
        assert shown[layer] == inside[::-1], layer
        there = {path.parent.name for path in (ROOT / layer).glob("*/__init__.py")}
        assert there == set(inside), layer


def test_the_table_of_places_lists_as_many_as_it_counts() -> None:
    rows = re.findall(r"^\| an? .+? \| (\d): (.+?) \|$", PAGE, re.MULTILINE)
    assert [int(count) for count, _ in rows] == [1, 1, 2, 3, 2, 1]
    for count, places in rows:
        assert int(count) == len(places.split("; "))
