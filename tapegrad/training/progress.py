"""How far training is, on a line of the terminal: by tqdm where it is installed, plainly where not."""

from __future__ import annotations

import sys
import time
from typing import Any

__all__ = ["Progress"]

#: Seconds between two versions of a line that is written over, and between two lines in a file.
_PAUSE, _LONG_PAUSE = 0.1, 2.0


class Progress:
    """Shows steps as they are done; nothing if nobody looks.

    Parameters
    ----------
    shown : bool, optional
        Whether to show anything; by default if the standard error stream is a terminal.
    total : int
        How many steps there will be; 0 if nobody knows.
    done : int
        How many there were before.
    """

    def __init__(self, shown: bool | None, total: int, done: int = 0) -> None:
        self.stream: Any = sys.stderr
        self.terminal = bool(getattr(self.stream, "isatty", bool)())
        self.shown = self.stream is not None and (self.terminal if shown is None else bool(shown))
        self.total, self.done = total, done
        self._began, self._first = time.perf_counter(), done
        self._last, self._width, self._line = 0.0, 0, ""
        self._bar = self._tqdm() if self.shown and self.terminal else None

    def _tqdm(self) -> Any:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            return None
        return tqdm(total=self.total or None, initial=self.done, unit="step", file=self.stream)

    def step(
        self, epoch: int, loss: float, norm: float, more: dict[str, float], steps: int = 1
    ) -> None:
        """Show that a step is done, or several."""
        self.done += steps
        if not self.shown:
            return
        if self._bar is not None:
            self._bar.update(steps)
        now = time.perf_counter()
        last = self.done == self.total
        if now - self._last < (_PAUSE if self.terminal else _LONG_PAUSE) and not last:
            return
        self._last = now
        values = f"loss {loss:.4g}, gradient norm {norm:.3g}"
        values += "".join(f", validation {name} {value:.4g}" for name, value in more.items())
        if self._bar is not None:
            self._bar.set_postfix_str(f"epoch {epoch}, {values}", refresh=False)
            return
        count = f"{self.done}/{self.total}" if self.total else str(self.done)
        pace = (now - self._began) / (self.done - self._first)
        self._write(f"step {count}, epoch {epoch}: {values}, {pace * 1e3:.3g} ms a step")

    def _write(self, line: str) -> None:
        self._line = line
        if self.terminal:
            self.stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self.stream.write(line + "\n")
        self.stream.flush()

    def say(self, text: str) -> None:
        """Show a sentence on a line of its own."""
        if not self.shown:
            return
        if self._bar is not None:
            self._bar.write(text, file=self.stream)
        elif self.terminal:
            self.stream.write("\r" + text.ljust(self._width) + "\n" + self._line)
            self.stream.flush()
        else:
            self._write(text)

    def close(self) -> None:
        """End the line."""
        if self._bar is not None:
            self._bar.close()
        elif self.shown and self.terminal and self._line:
            self.stream.write("\n")
            self.stream.flush()
