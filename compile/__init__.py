"""Makes a tape fast: passes, fusion, code generation, vector mathematics, plans, jit.

Importing it does not load numba; compiling the first kernel does.
"""

from tapegrad.compile.jitted.jit import Jit, Stats, jit
from tapegrad.compile.jitted.programs import compile_program

__all__ = ["Jit", "Stats", "compile_program", "jit"]
