"""Hands the examples to sphinx-gallery, which runs them and keeps the pictures that they draw.

An example is a program of ``examples/`` or ``examples/gallery/`` that can be run: it has a line
``if __name__ == "__main__":``. The first paragraph of its docstring is the title, the rest the text.
What it prints stands below it, and what it draws: into the file that the option ``--picture`` names,
or with Matplotlib, whose figures may stay open. What has no such line (the programs that the
benchmarks measure) is no example.
"""

import ast
import re
import shutil
from pathlib import Path
from typing import Any

from reference import put

__all__ = ["Arguments", "copy", "drawn", "examples"]

RUNS = 'if __name__ == "__main__":'
COMMAND = re.compile(r"^(?:    (python .*)\n)+", re.MULTILINE)
HEADER = """Gallery
=======

Programs that run as they stand. Below each is what it printed and drew when this site was built;
``examples/`` of the repository has them.
"""


def examples(folder: Path) -> list[Path]:
    """Return the programs that can be run, and have a docstring, in the order of their names."""
    paths = sorted([*folder.glob("*.py"), *folder.glob("gallery/*.py")], key=lambda p: p.name)
    return [path for path in paths if RUNS in path.read_text(encoding="utf-8")]


def titled(source: str) -> str:
    """Return a program with the first paragraph of its docstring as a title, for reStructuredText.

    >>> print(titled('\"\"\"Squares.\\n\\n    python squares.py\\n\\nThey are.\\n\"\"\"\\n1 + 1\\n'))
    r\"\"\"
    Squares
    =======
    <BLANKLINE>
    .. code-block:: console
    <BLANKLINE>
        $ python squares.py
    <BLANKLINE>
    They are.
    \"\"\"
    1 + 1
    <BLANKLINE>
    """
    first = ast.parse(source).body[0]
    if not isinstance(first, ast.Expr) or not isinstance(first.value, ast.Constant):
        raise ValueError("an example begins with a docstring")
    title, _, text = str(first.value.value).strip().partition("\n\n")
    title = " ".join(title.split()).rstrip(".")
    text = COMMAND.sub(lambda m: f".. code-block:: console\n\n    $ {m[1]}\n", text + "\n")
    rest = source.splitlines(keepends=True)[first.end_lineno :]
    parts = ['r"""', title, "=" * len(title), "", text.strip(), '"""', ""]
    return "\n".join(parts) + "".join(rest)


def copy(folder: Path, target: Path, pages: Path) -> None:
    """Write the programs, with titles, where sphinx-gallery finds them.

    What is gone is removed, and its page, which sphinx-gallery would leave.
    """
    put(target / "GALLERY_HEADER.rst", HEADER)
    paths = examples(folder)
    for path in paths:
        put(target / path.name, titled(path.read_text(encoding="utf-8")))
    names = {path.stem for path in paths} | {"GALLERY_HEADER", "index"}
    for path in [*target.glob("*.*"), *pages.glob("*.*")]:
        if path.name.partition(".")[0] not in names:
            path.unlink()


class Arguments:
    """What sphinx-gallery hands to a program: where to draw, if it asks."""

    def __repr__(self) -> str:
        return "Arguments()"  # is part of what decides whether a page is made anew

    def __call__(self, conf: dict[str, Any], script: dict[str, Any]) -> list[str]:
        source = Path(script["src_file"])
        asks = '"--picture"' in source.read_text(encoding="utf-8")
        return ["--picture", str(_picture(source))] if asks else []


def drawn(block: Any, script: dict[str, Any], conf: dict[str, Any]) -> str:
    """Take up the picture of a program, for sphinx-gallery, and return how the page shows it."""
    from sphinx_gallery.scrapers import figure_rst

    made = _picture(Path(script["src_file"]))
    if not made.exists():
        return ""
    path = next(script["image_path_iterator"])
    shutil.move(made, path)
    return str(figure_rst([path], conf["src_dir"]))


def _picture(source: Path) -> Path:
    return source.with_suffix(".drawn.png")
