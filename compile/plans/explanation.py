"""Explanations: plans as text, with their kernels and the plans of their bodies."""

from __future__ import annotations

from tapegrad.compile.plans.plan import KernelStep, Plan
from tapegrad.compile.plans.script import Lines, operations_of

__all__ = ["explanation"]


def explanation(plan: Plan, title: str = "The plan") -> list[str]:
    """Return the text of a plan, its library steps, each of its kernels once, and its bodies."""
    parts = [f"# {title}:", plan.source.rstrip()]
    if plan.library_steps:
        steps = ", ".join(f"{e.primitive.name} ({e.where})" for e in plan.library_steps)
        parts.append(f"# library steps: {steps}")
    kernels: dict[str, list[KernelStep]] = {}
    for kernel in plan.kernels:
        kernels.setdefault(kernel.name, []).append(kernel)
    for same in kernels.values():
        parts += ["", _of_kernel(same), same[0].source.rstrip()]
    for name, entry, body in plan.bodies:
        line = "" if entry.where is None else f" ({Lines().of(entry.where)})"
        parts += ["", *explanation(body, f"The plan of {name} in {entry.primitive.name}{line}")]
    return parts


def _of_kernel(steps: list[KernelStep]) -> str:
    """Return a comment on a kernel: what it does, over what sizes, and for which lines."""
    sizes = dict.fromkeys(" x ".join(map(str, step.call.sizes)) or "one number" for step in steps)
    often = f" ({len(steps)} times)" * (len(steps) > 1)
    lines = Lines().of_all(entry for step in steps for entry in step.entries)
    return (
        f"# {steps[0].name}, over {' or '.join(sizes)}{often}: "
        f"{operations_of(steps[0].entries)}  ({lines})"
    )
