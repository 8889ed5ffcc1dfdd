"""Writes docs/primitives.md from the registry: every primitive and how its slots are filled.

python docs/make_primitives.py          # rewrite the page
"""

from __future__ import annotations

from pathlib import Path

from tapegrad.tape.core.primitive import Primitive, primitives
from tapegrad.tape.core.slots import Reduction

PAGE = Path(__file__).with_name("primitives.md")

HEAD = """# Primitives

Made from the registry by `python docs/make_primitives.py`; a test keeps it up to date.

- *derivatives*: the positional arguments that have a vjp rule; `all` for any number of arguments.
- *forward mode*: how the jvp comes about: from the partial derivatives (elementwise), by linearity in
  all or in each argument, by a rule of its own, or by transposing the vjp.
- *batching*: what `vmap` does: a rule, the elementwise default, or a loop over the examples. Loops:
  {loops}. (Several rules loop inside, too: `searchsorted` in a table for each example, `solution` over
  the examples that a user's solver takes one by one.)
- *kernel*: the scalar text that the compiler fuses; of a reduction, how it combines elements; *expands*
  where it is written out as other functions. Everything else is a view or a library step of a plan.
- *complex*: whether it takes complex numbers; what does not refuses them.
- *saves*: what an entry keeps for its rules: `y` and arguments by value, by shape (in brackets), or not.

Functions of Python's library and of SciPy that are called as they are (`math.erf`, `scipy.special.jv`)
are left out.

| primitive | family | derivatives | forward mode | batching | kernel | complex | saves |
| --- | --- | --- | --- | --- | --- | --- | --- |
"""


def derivatives(primitive: Primitive) -> str:
    """Name the arguments with a rule."""
    if primitive.vjps is not None:
        return ", ".join(str(i) for i, rule in enumerate(primitive.vjps) if rule is not None)
    if primitive.vjp is None:
        return "none"
    many = primitive.differentiable_arguments
    return "all" if many > 1000 else ", ".join(map(str, range(many)))


def forward_mode(primitive: Primitive) -> str:
    """Say where the jvp comes from."""
    if not primitive.differentiable:
        return ""
    if isinstance(primitive.jvp, str):
        return primitive.jvp
    return "rule" if primitive.jvp or primitive.joint else "transposed vjp"


def batching(primitive: Primitive) -> str:
    """Say how vmap applies the primitive."""
    if primitive.batch is not None:
        return "rule"
    return "elementwise" if primitive.family == "elementwise" else "loop"


def saves(primitive: Primitive) -> str:
    """Say what an entry keeps."""
    if not primitive.differentiable:
        return ""
    uses = primitive.saves if primitive.uses is None else primitive.uses
    names = ["y", *(f"x{i}" for i in range(len(uses) - 1))]
    if len(uses) == 1:
        return "all" if uses[0] == "value" else "none"
    shown = {"value": "{}", "shape": "({})", "none": ""}
    kept = [shown[use].format(name) for use, name in zip(uses, names)]
    return ", ".join(k for k in kept if k)


def compiled(primitive: Primitive) -> str:
    """Say what kernels are made of."""
    texts = []
    if primitive.kernel:
        texts.append(f"`{primitive.kernel}`".replace("|", "\\|"))
    elif isinstance(primitive.reduction, Reduction):
        texts.append(f"combines by `{primitive.reduction.combine}`")
    elif primitive.reduction is not None:
        texts.append("combines by its parameters")
    return ", ".join([*texts, *["expands"] * (primitive.expansion is not None)])


def page() -> str:
    """Return the whole page."""
    rows = []
    for name, primitive in sorted(primitives.complete().items()):
        if "." in name:
            continue
        cells = (
            f"`{name}`" + (" (view)" if primitive.view else ""),
            primitive.family,
            derivatives(primitive),
            forward_mode(primitive),
            batching(primitive),
            compiled(primitive),
            "yes" if primitive.takes_complex else "",
            saves(primitive),
        )
        rows.append("| " + " | ".join(cells) + " |")
    loops = [n for n, p in sorted(primitives.items()) if batching(p) == "loop" and "." not in n]
    return HEAD.format(loops=", ".join(f"`{name}`" for name in loops)) + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
