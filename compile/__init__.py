"""Makes a tape fast: passes, fusion, code generation, vector mathematics, plans, jit.

Importing it loads all families of operations, so that none is loaded while a function is recorded.
It does not load numba; compiling the first kernel does.
"""

from tapegrad.compile.jitted.jit import Jit, Stats, jit
from tapegrad.compile.jitted.tapes import compile_tape
from tapegrad.tape.core.primitive import primitives

__all__ = ["Jit", "Stats", "compile_tape", "jit"]

primitives.complete()
