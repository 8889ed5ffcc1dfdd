"""Makes a tape fast: passes, fusion, code generation, vector mathematics, plans, jit.

Importing it does not load llvmlite; compiling the first kernel does.
"""

from tapegrad.compile.backends.disk import clear_cache
from tapegrad.compile.jitted.decorator import jit
from tapegrad.compile.jitted.jit import Jit, Stats
from tapegrad.compile.jitted.programs import compile_program

__all__ = ["Jit", "Stats", "clear_cache", "compile_program", "jit"]
