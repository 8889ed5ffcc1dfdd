"""Who watches what is computed, if anybody does: see ``tape.transforms.watching``."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Protocol

__all__ = ["Watch", "watching"]


class Watch(Protocol):
    """Looks at results."""

    def applied(self, primitive: Any, args: Any, out: Any) -> None:
        """A primitive was applied to arguments."""

    def pulled(self, node: Any, g: Any, cotangents: Any) -> None:
        """A cotangent was pulled back through the entry of a node."""


#: The watch of the running context.
watching: ContextVar[Watch | None] = ContextVar("tapegrad_watch", default=None)
