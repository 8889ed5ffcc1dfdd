"""The examples on the pages of the guide give what they say."""

import doctest
from pathlib import Path

import pytest

PAGES = sorted((Path(__file__).parents[1] / "docs" / "guide").glob("*.md"))
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_examples_on(page: Path) -> None:
    if "from scipy" in page.read_text(encoding="utf-8"):
        pytest.importorskip("scipy")
    result = doctest.testfile(
        str(page), module_relative=False, optionflags=OPTIONS, encoding="utf-8"
    )
    assert result.attempted and not result.failed
