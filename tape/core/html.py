"""What notebooks show: a line of facts, text as it would be printed, and which names are completed."""

from __future__ import annotations

__all__ = ["as_html", "is_public"]

_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def _escaped(text: str) -> str:
    return "".join(_ESCAPED.get(letter, letter) for letter in text)


def as_html(title: str, facts: list[str], *parts: tuple[str, str]) -> str:
    """Return HTML that shows a title, facts about it, and texts, each under a name.

    Parts without a name are shown at once, the others when they are opened.

    Examples
    --------
    >>> as_html("Tensor", ["float64"], ("", "[1 < 2]"))
    '<div><b>Tensor</b> float64<pre>[1 &lt; 2]</pre></div>'
    """
    shown = [f"<b>{_escaped(title)}</b> {_escaped(', '.join(facts))}"]
    for name, text in parts:
        pre = f"<pre>{_escaped(text)}</pre>"
        opened = f"<details><summary>{_escaped(name)}</summary>{pre}</details>"
        shown.append(opened if name else pre)
    return f"<div>{''.join(shown)}</div>"


def is_public(name: str) -> bool:
    """Whether a name is for users: it is no internal one, or one of Python's protocols."""
    return not name.startswith("_") or name.startswith("__")
