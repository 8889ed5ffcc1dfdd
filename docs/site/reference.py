"""Writes the pages of the API reference: one for each group of names, one for each name.

They are made from the package and ``places.py`` when the site is built, and are not committed. A public
name without a place, and a place without a name, end the build.
"""

import inspect
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from places import ALIAS_MODULES, GROUPS, MEMBERS, Group

import tapegrad as tg

__all__ = ["has_page", "misplaced", "public_names", "write"]

#: What follows the standard's names, and is listed on a page of its own.
STANDARD = "array_api"


def public_names() -> dict[str, Any]:
    """Return what is public in tapegrad and its public modules, by its name after ``tg.``."""
    return dict(_names_in("", tg))


def _names_in(prefix: str, module: ModuleType) -> Iterator[tuple[str, Any]]:
    for name in module.__all__:
        value = getattr(module, name)
        if not isinstance(value, ModuleType):
            yield prefix + name, value
        elif name != STANDARD:
            yield from _names_in(f"{prefix}{name}.", value)


def misplaced() -> list[str]:
    """Say what stands in no group, in two, or does not exist; nothing if all is well."""
    counts = Counter(name for group in GROUPS for name in group.names())
    names = public_names()
    placed = {id(value) for name, value in names.items() if counts[name]}
    said = [f"{name} stands in several groups" for name, count in counts.items() if count > 1]
    said += [f"{name} is in a group, and not public" for name in counts if name not in names]
    for name, members in MEMBERS.items():
        lacking = [last for last in members.split() if not hasattr(names.get(name), last)]
        said += [f"{name} has no member {last}" for last in lacking]
    for name, value in names.items():
        # a name in a module may be another name of what has its place, one of the package itself not
        if not counts[name] and ("." not in name or id(value) not in placed):
            said.append(f"{name} has no place in the reference: give it one in docs/site/places.py")
    return said


def first_line(value: Any) -> str:
    """Return the first sentence of a docstring, for a cell of a table in Markdown."""
    text = (inspect.getdoc(value) or "").partition("\n\n")[0].replace("\n", " ")
    text = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", text.replace("``", "`"))
    return text.replace("|", "\\|").replace("*", "\\*")


def write(folder: Path) -> None:
    """Write all pages of the reference into a folder."""
    said = misplaced()
    if said:
        raise LookupError("\n".join(["the reference and the package differ:", *said]))
    names = public_names()
    firsts: dict[int, str] = {}  # where an object has its page: other names lead there
    for group in GROUPS:
        for name in group.names():
            if has_page(names[name]):
                firsts.setdefault(id(names[name]), name)
    for group in GROUPS:
        put(folder / f"{group.file}.md", _group_page(group, names, firsts))
    for name in firsts.values():
        put(folder / "api" / f"tapegrad.{name}.rst", _object_page(name, names[name]))
    put(folder / "mygrad_modules.md", _alias_page(names, firsts))
    put(folder / "array_api.md", _standard_page())
    files = [group.file for group in GROUPS] + ["array_api", "mygrad_modules"]
    put(folder / "index.md", _index(files, names))


def put(path: Path, text: str) -> None:
    """Write a file, unless it has this content: what did not change is not read again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def has_page(value: Any) -> bool:
    """Whether something is ours and is called, so that its docstring says how."""
    module = getattr(value, "__module__", None) or ""
    return callable(value) and module.partition(".")[0] == "tapegrad"


def _group_page(group: Group, names: dict[str, Any], firsts: dict[int, str]) -> str:
    lines = [f"# {group.title}", "", group.text, ""]
    pages = []
    for title, section in group.sections.items():
        lines += [f"## {title}", "", "| name | what it does |", "| --- | --- |"]
        for name in section.split():
            first = firsts.get(id(names[name]))
            if first is None:
                lines.append(f"| `{name}` | {_of_a_value(names[name])} |")
                continue
            same = first_line(names[name]) if first == name else f"another name of `{first}`"
            lines.append(f"| {_link(name, first)} | {same} |")
            if first == name:
                pages.append(f"api/tapegrad.{name}")
        lines.append("")
    if pages:
        lines += ["```{toctree}", ":hidden:", "", *pages, "```", ""]
    return "\n".join(lines)


def _link(name: str, page: str) -> str:
    return f"[`{name}`](api/tapegrad.{page}.rst)"


def _of_a_value(value: Any) -> str:
    if isinstance(value, type):
        return f"`numpy.{value.__name__}`"
    return "`" + str(value).replace("|", "\\|").replace("typing.", "") + "`"


def _object_page(name: str, value: Any) -> str:
    """Return the page of one name, which is little more than its docstring."""
    module, _, last = f"tapegrad.{name}".rpartition(".")
    lines = [name, "=" * len(name), "", f".. currentmodule:: {module}", ""]
    if isinstance(value, type):
        kind = "class"
        if issubclass(value, Exception):
            kind, page = "exception", re.sub(r"(?<!^)(?=[A-Z])", "_", last).lower()
            lines += [f"How it comes about, and what to do: :doc:`/errors/{page}`.", ""]
        members = ", ".join(MEMBERS.get(name, "").split())
        lines += [f".. auto{kind}:: {last}"]
        if name not in MEMBERS:
            lines += ["   :members:"]
        elif members:
            lines += [f"   :members: {members}", "   :inherited-members:"]
    else:
        lines += [f".. autofunction:: {last}"]
    return "\n".join([*lines, ""])


def _alias_page(names: dict[str, Any], firsts: dict[int, str]) -> str:
    lines = [
        "# MyGrad's modules",
        "",
        "MyGrad's documentation sorts its functions into modules. These modules are here, too; what",
        "they hold are the functions of the reference under another name.",
        "",
    ]
    for module in ALIAS_MODULES:
        links = [
            _link(last, firsts[id(value)])
            for name, value in names.items()
            for first, _, last in [name.partition(".")]
            if first == module
        ]
        lines += [f"## tapegrad.{module}", "", ", ".join(links), ""]
    return "\n".join(lines)


def _standard_page() -> str:
    module = getattr(tg, STANDARD)
    parts = {f"tapegrad.{STANDARD}": module}
    parts |= {
        f"tapegrad.{STANDARD}.{name}": value
        for name in module.__all__
        if isinstance(value := getattr(module, name), ModuleType)
    }
    lines = [
        "# The array API standard",
        "",
        "```{eval-rst}",
        inspect.getdoc(module) or "",
        "```",
        "",
    ]
    for title, part in parts.items():
        names = [n for n in part.__all__ if not isinstance(getattr(part, n), ModuleType)]
        lines += [f"## {title}", "", "What the standard says of", ""]
        lines += [", ".join(f"`{name}`" for name in names), ""]
    return "\n".join(lines)


def _index(files: list[str], names: dict[str, Any]) -> str:
    lines = [
        "# Reference",
        "",
        f"{len(names)} public names, in groups. Functions of NumPy need no name of ours: `np.sin(x)` is",
        "differentiated as `tg.sin(x)` is.",
        "",
        "| group | names |",
        "| --- | --- |",
        *(f"| [{group.title}]({group.file}.md) | {_some(group)} |" for group in GROUPS),
        "| [The array API standard](array_api.md) | the namespace of `x.__array_namespace__()` |",
        "| [MyGrad's modules](mygrad_modules.md) | other names of functions above |",
        "",
        "```{toctree}",
        ":hidden:",
        "",
        *files,
        "```",
        "",
    ]
    return "\n".join(lines)


def _some(group: Group) -> str:
    """Return the first names of a group, as many as fit on a line or two."""
    names = [name.rpartition(".")[2] for name in group.names()]
    return ", ".join(f"`{name}`" for name in names[:8]) + (", ..." if len(names) > 8 else "")
