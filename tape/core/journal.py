"""The journal of the compiler: what was recorded, planned and compiled, how long it took, and where.

It is told under the logger ``"tapegrad"``, at level INFO. With ``TAPEGRAD_LOG=compile`` in the
environment it is also written to the standard error. As long as nobody has imported :mod:`logging`,
nobody listens.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any

__all__ = ["Watch", "listener"]

#: The level at which all is told: that of ``logging``, which need not be loaded.
INFO = 20

#: What ``TAPEGRAD_LOG`` may name, separated by commas.
CHANNELS = ("compile",)


@cache
def _written() -> Any:
    """Return the logger that the environment asks for, set up, or None."""
    asked = [name.strip() for name in os.environ.get("TAPEGRAD_LOG", "").split(",") if name.strip()]
    for name in asked:
        if name not in CHANNELS:
            known = ", ".join(CHANNELS)
            warnings.warn(f"TAPEGRAD_LOG knows {known}, not {name!r}", RuntimeWarning, stacklevel=2)
    if not set(asked) & set(CHANNELS):
        return None
    import logging  # takes long to load

    logger, handler = logging.getLogger("tapegrad"), logging.StreamHandler()
    handler.setFormatter(logging.Formatter("tapegrad: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(INFO)
    return logger


def listener() -> Any:
    """Return the logger if anybody listens to it, else None."""
    logging: Any = sys.modules.get("logging")
    logger = _written() or (logging and logging.getLogger("tapegrad"))
    return logger if logger and logger.isEnabledFor(INFO) else None


class Watch:
    """Measures one piece of work, and tells of it, if anybody listens.

    Examples
    --------
    >>> watch = Watch()
    >>> watch.tell(lambda: "nothing was done")
    """

    __slots__ = ("_began", "_logger")

    def __init__(self) -> None:
        self._logger = listener()
        self._began = time.perf_counter() if self._logger else 0.0

    def tell(self, what: Callable[[], str]) -> None:
        """Tell what took the time since this was made."""
        if self._logger:
            spent = (time.perf_counter() - self._began) * 1e3
            self._logger.info("%s, in %.1f ms", what(), spent)
