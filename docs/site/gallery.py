"""Hands the examples to sphinx-gallery, which runs them and keeps the pictures that they draw.

An example is a program of ``examples/`` or ``examples/gallery/`` that can be run: it has a line
``if __name__ == "__main__":``. The first paragraph of its docstring is the title, the rest the text.
What it prints and what it draws with Matplotlib stands below it. What has no such line (the programs
that the benchmarks measure) is no example.
"""

import ast
import re
from pathlib import Path

from reference import put

__all__ = ["copy", "examples"]

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


def copy(folder: Path, target: Path) -> None:
    """Write the programs, with titles, where sphinx-gallery finds them; remove what is gone."""
    put(target / "GALLERY_HEADER.rst", HEADER)
    paths = examples(folder)
    for path in paths:
        put(target / path.name, titled(path.read_text(encoding="utf-8")))
    for path in target.glob("*.py"):
        if path.name not in {p.name for p in paths}:
            path.unlink()
