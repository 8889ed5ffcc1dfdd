"""The examples on the pages of the documentation give what they say, errors to the letter.

README, whose blocks stand each for itself, has a test of its own (``test_readme.py``).
"""

import doctest
import re
from pathlib import Path

import numpy
import pytest

import tapegrad

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for pattern in ("docs/*.md", "docs/guide/*.md", "docs/errors/*.md", "C*.md")
    for path in ROOT.glob(pattern)
)
WITH_EXAMPLES = [path for path in PAGES if ">>> " in path.read_text(encoding="utf-8")]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
PYTHON = re.compile(r"^ *```python\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=[page.stem for page in WITH_EXAMPLES])
def test_examples_on(page: Path) -> None:
    if "from scipy" in page.read_text(encoding="utf-8"):
        pytest.importorskip("scipy")
    result = doctest.testfile(
        str(page), module_relative=False, optionflags=OPTIONS, encoding="utf-8"
    )
    assert result.attempted and not result.failed


def test_each_page_of_the_guide_and_each_error_has_examples() -> None:
    without = {page for page in PAGES if page not in WITH_EXAMPLES}
    assert not [page for page in without if page.parent.name in ("guide", "errors")]


OTHERS = [
    (page, block)
    for page in PAGES
    for block in PYTHON.findall(page.read_text(encoding="utf-8"))
    if ">>> " not in block
]


@pytest.mark.parametrize(("page", "block"), OTHERS, ids=[page.stem for page, _ in OTHERS])
def test_blocks_without_prompts_run(page: Path, block: str) -> None:
    for name in re.findall(r"^import (\w+)", block, re.MULTILINE):
        pytest.importorskip(name)
    exec(compile(block, str(page), "exec"), {"__name__": "guide", "np": numpy, "tg": tapegrad})
