"""The documentation's own examples, taken from it at test time, give what it prints.

The documentation is not part of this repository; without it these tests are skipped. Every fenced
block with prompts is run, example by example, with the alias ``mygrad -> tapegrad``. Printed numbers
are compared as numbers, for the documentation shows the reprs of several versions of NumPy. What the
conversion from PDF has damaged, or what the documentation itself contradicts, is named with its
reason in ``documented_examples.json``.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import io
import json
import pkgutil
import re
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg

HERE = Path(__file__).resolve().parent
SEEDS = HERE.parents[1] / "shared" / "seeds"
NOTES = json.loads((HERE / "documented_examples.json").read_text(encoding="utf-8"))
#: Blocks that are not run at all, and single examples whose output is not compared, with reasons.
DAMAGED: dict[str, str] = NOTES["damaged"]
#: What waits for the library to be mended.
UNFINISHED: dict[str, str] = NOTES["unfinished"]


@dataclass(frozen=True)
class Block:
    """A fenced block: its number of the line in the document, and its examples."""

    line: int
    text: str

    @property
    def examples(self) -> list[doctest.Example]:
        return doctest.DocTestParser().get_examples(self.text)


def document() -> Path | None:
    """The documentation of MyGrad among the files next to the repository."""
    found = sorted(SEEDS.glob("003_*.txt")) if SEEDS.is_dir() else []
    return found[0] if found else None


def cleaned(lines: list[str]) -> str:
    """Undo what the conversion to text did, where that is certain."""
    text = "\n".join(line for line in lines if line.strip())
    for bad, good in {"“": '"', "”": '"', "’": "'", "‘": "'", "−": "-"}.items():
        text = text.replace(bad, good)
    text = re.sub(r"\n\s*[\u21b3\u21aa]\s*", " ", text)  # a long line, broken by the printer
    text = re.sub(r"mygrad\.nn+(et)?\b", "mygrad.nnet", text)
    # Without a space behind the prompt doctest refuses the block.
    text = re.sub(r"^(\s*)(>>>|\.\.\.)(?=\S)", r"\1\2 ", text, flags=re.M)
    text = re.sub(r"^>>>(?=\s{3,}\S)", "...", text, flags=re.M)  # an indented line goes on
    return re.sub(r"^(>>> @.*\n)>>>", r"\1...", text, flags=re.M)


def blocks_of(path: Path) -> Iterator[Block]:
    """The fenced blocks that hold prompts."""
    inside, start, lines = False, 0, []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```"):
            if inside and any(">>>" in one for one in lines):
                yield Block(start, cleaned(lines))
            inside, start, lines = not inside, number, []
        elif inside:
            lines.append(line)


# Comparing ---------------------------------------------------------------------------------------

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\.\d+|inf|nan)(?![\w.])", re.I)


def skeleton(text: str) -> tuple[str, list[float]]:
    """The text without its numbers, blanks and dtypes, and the numbers."""
    text = re.sub(r"#.*$", "", text, flags=re.M).replace("np.array(", "array(")
    text = re.sub(r"<(?:class|type) '(\w+)'>", r"\1", text)
    text = re.sub(r",?\s*dtype=(?:np\.|numpy\.)?'?<?\w+>?'?", "", text)
    text = re.sub(r"\bnp\.(?:float|int)\d+\((.*?)\)", r"\1", text)
    text = re.sub(r"\bnp\.(True|False)_?", r"\1", text).replace("mygrad", "tapegrad")
    numbers = [float(n) for n in _NUMBER.findall(text)]
    rest = re.sub(r"\s+", "", _NUMBER.sub("0", text))
    # A scalar, an array without axes and a tensor without axes differ by their age only.
    rest = re.sub(r"^(?:array|Tensor)\(0\)$", "0", rest)
    return rest.replace('"', "'").rstrip(")]"), numbers


def agree(want: str, got: str) -> bool:
    """Whether an output is what the documentation prints."""
    if not want.strip():
        return True  # the documentation often leaves the output out
    if want.startswith("Traceback"):
        error = got.splitlines()[-1].partition(":")[0]
        return got.startswith("Traceback") and re.search(rf"^{error}\b", want, re.M) is not None
    want_text, want_numbers = skeleton(want)
    got_text, got_numbers = skeleton(got)
    if "..." in want_text or "..." in want:
        return doctest.OutputChecker().check_output(
            want_text.replace("...", "") + "...", got_text, doctest.ELLIPSIS
        ) or want_text.split("...")[0].startswith(got_text.split("(")[0])
    if want_text != got_text or len(want_numbers) != len(got_numbers):
        return False
    decimals = [len(n.partition(".")[2]) for n in re.findall(r"\d+\.\d+", want)]
    # The last printed digit may be rounded or cut.
    tolerance = 1.5 * 10.0 ** -min([d for d in decimals if d > 2], default=9)
    return np.allclose(want_numbers, got_numbers, rtol=1e-5, atol=tolerance, equal_nan=True)


# Running -----------------------------------------------------------------------------------------


class Session:
    """An interactive session: the names live on from block to block of a page."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {}
        self.reset()

    def reset(self) -> None:
        self.names = {"mg": tg, "mygrad": tg, "np": np, "__name__": "documentation"}
        for name in ("Tensor", "einsum", "matmul", "mem_guard_off", "mem_guard_on"):
            self.names[name] = getattr(tg, name)  # used without an import
        self.names["sliding_window_view"] = tg.nnet.sliding_window_view

    def run(self, source: str) -> str:
        """Return what the prompt would print."""
        printed = io.StringIO()
        tree = ast.parse(source)
        with contextlib.redirect_stdout(printed):
            for node in tree.body:
                if isinstance(node, ast.Expr):
                    value = eval(compile(ast.Expression(node.value), "<doc>", "eval"), self.names)
                    if value is not None:
                        print(repr(value))
                else:
                    exec(compile(ast.Module([node], []), "<doc>", "exec"), self.names)
        return printed.getvalue()


@contextlib.contextmanager
def aliased() -> Iterator[None]:
    """Let ``import mygrad`` and its submodules find tapegrad."""

    before = {name for name in sys.modules if name.split(".")[0] == "mygrad"}
    kept = {name: sys.modules.pop(name) for name in before}
    sys.modules["mygrad"] = tg
    for info in pkgutil.walk_packages(tg.__path__, "tapegrad."):
        with contextlib.suppress(ImportError):
            module = importlib.import_module(info.name)
            sys.modules["my" + info.name.removeprefix("tape")] = module
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "mygrad"]:
            del sys.modules[name]
        sys.modules.update(kept)


def failures() -> tuple[list[str], dict[str, int], set[str]]:
    """Run all blocks; return what failed, the counts, and which notes were used."""
    path = document()
    assert path is not None
    failed: list[str] = []
    used: set[str] = set()
    counts = dict.fromkeys(("blocks", "run", "skipped", "examples", "not compared"), 0)
    session = Session()
    for block in blocks_of(path):
        counts["blocks"] += 1
        key = f"line {block.line}"
        if re.search(r">>> import mygrad as mg", block.text):
            session.reset()
        if key in DAMAGED or key in UNFINISHED:
            counts["skipped"] += 1
            used.add(key)
            continue
        counts["run"] += 1
        for example in block.examples:
            name = f"line {block.line + example.lineno + 1}: {example.source.strip()}"
            short = f"{key}: {example.source.strip().splitlines()[0]}"
            counts["examples"] += 1
            try:
                got = session.run(example.source)
            except Exception as error:
                got = f"Traceback\n{type(error).__name__}: {error}"
                if example.exc_msg and type(error).__name__ in example.exc_msg:
                    continue
            if short in DAMAGED or short in UNFINISHED:
                used.add(short)
                counts["not compared"] += 1
            elif not agree(example.want, got) or (
                got.startswith("Traceback") and not example.want.startswith("Traceback")
            ):
                failed.append(f"[{short}] {name}\n  wanted: {example.want}\n  got:    {got}")
    return failed, counts, used


@pytest.mark.skipif(document() is None, reason="the documentation is not next to the repository")
def test_the_documentations_examples_give_what_it_prints(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with aliased(), warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            failed, counts, used = failures()
        finally:
            tg.turn_memory_guarding_on()
    with capsys.disabled():
        print("\ndocumented examples:", ", ".join(f"{n} {what}" for what, n in counts.items()))
    assert not failed, f"{len(failed)} examples:\n" + "\n".join(failed)
    stale = {*DAMAGED, *UNFINISHED} - used
    assert not stale, f"notes about examples that do not exist: {sorted(stale)}"
