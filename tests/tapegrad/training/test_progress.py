"""Progress: nothing if nobody looks, a line where there is a terminal, lines where there is none."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import optim


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: Any, stream: Any, progress: bool | None, *, tqdm: Any = None) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setitem(sys.modules, "tqdm", tqdm)
    monkeypatch.setitem(sys.modules, "tqdm.auto", tqdm)
    monkeypatch.setattr("tapegrad.training.progress._PAUSE", 0.0)
    monkeypatch.setattr("tapegrad.training.progress._LONG_PAUSE", 0.0)
    data = (np.arange(8.0),)
    tg.fit(
        lambda w, x: np.mean((w - x) ** 2), 0.0, data, optim.sgd(0.1), epochs=2, batch_size=4,
        validation=data, progress=progress,
    )  # fmt: skip
    return str(stream.getvalue())


def test_nothing_is_shown_if_nobody_looks(monkeypatch: Any, capsys: Any) -> None:
    assert shown(monkeypatch, io.StringIO(), None) == ""
    assert shown(monkeypatch, Terminal(), False) == ""
    assert capsys.readouterr().out == ""


def test_a_terminal_has_one_line_that_is_written_over(monkeypatch: Any) -> None:
    text = shown(monkeypatch, Terminal(), None)
    first, *lines = text.split("\r")
    assert first == "" and len(lines) == 4 and text.count("\n") == 1 and text.endswith("\n")
    assert lines[0].startswith("step 1/4, epoch 1: loss ") and "gradient norm" in lines[0]
    assert "validation loss" in lines[3] and lines[3].rstrip().endswith("ms a step")
    assert len(lines[3].rstrip("\n")) >= len(lines[2].rstrip())


def test_where_there_is_no_terminal_lines_follow_each_other_if_one_asks(monkeypatch: Any) -> None:
    lines = shown(monkeypatch, io.StringIO(), True).splitlines()
    assert [line.partition(",")[0] for line in lines] == [f"step {i}/4" for i in (1, 2, 3, 4)]


def test_tqdm_is_used_where_it_is_installed(monkeypatch: Any) -> None:
    calls: list[Any] = []

    class Bar:
        def __init__(self, **options: Any) -> None:
            calls.append((options["total"], options["initial"]))

        def __getattr__(self, name: str) -> Any:
            return lambda *args, **kwargs: calls.append((name, *args))

    class Module:
        tqdm = Bar

    assert shown(monkeypatch, Terminal(), None, tqdm=Module) == ""
    assert calls[0] == (4, 0) and calls[-1] == ("close",)
    assert calls.count(("update", 1)) == 4
    assert any(call[0] == "set_postfix_str" and "epoch 2, loss" in call[1] for call in calls)


def test_a_resumed_run_says_so(monkeypatch: Any, tmp_path: Any, capsys: Any) -> None:
    for _ in range(2):
        tg.fit(
            lambda w: w * w, 1.0, None, optim.sgd(0.1), epochs=2, checkpoint=tmp_path / "a.npz",
            progress=True,
        )  # fmt: skip
    assert "goes on after step 2, from " in capsys.readouterr().err


def test_tqdm_itself_takes_what_it_is_given(monkeypatch: Any, capsys: Any) -> None:
    pytest.importorskip("tqdm")
    from tapegrad.training.progress import Progress

    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    bar = Progress(None, 3)
    bar.step(1, 0.5, 1.0, {"loss": 0.25})
    bar.say("a sentence")
    bar.close()
    assert "a sentence" in stream.getvalue() and "/3" in stream.getvalue()
