"""Every ``python`` block of README.md runs as it stands, on its own."""

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[int, str]]:
    """Return the line number and the text of each block."""
    text = README.read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, match.start(1)) + 1, match.group(1)) for match in BLOCK.finditer(text)
    ]


def test_readme_has_code() -> None:
    assert blocks()


@pytest.mark.parametrize(("line", "code"), blocks(), ids=[f"line_{line}" for line, _ in blocks()])
def test_readme_block_runs(
    line: int, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    padded = "\n" * (line - 1) + code  # so that a traceback names README's own line
    exec(compile(padded, str(README), "exec"), {"__name__": "readme"})
