"""Every documented name is there, and the page that lists them is up to date."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / "docs" / "make_conformance.py"


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("make_conformance", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_documented_names_is_up_to_date(script: Any) -> None:
    page = SCRIPT.with_name("conformance.md").read_text(encoding="utf-8")
    assert page == script.page(), "run python docs/make_conformance.py"


def test_no_documented_name_is_missing_and_all_parameters_are_as_documented(script: Any) -> None:
    for row in script.rows():
        verdict, note = script.state(row)
        assert verdict == row.verdict, f"{row.name}: {verdict}, {note}"


def test_differences_have_a_reason(script: Any) -> None:
    for row in script.rows():
        assert row.verdict == "same" or row.note, f"{row.name} is {row.verdict}: say how"
