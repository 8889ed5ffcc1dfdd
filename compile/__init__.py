"""Makes a tape fast: passes, fusion, code generation, vector mathematics, plans, jit.

Importing it does not load numba; compiling the first kernel does.
"""

from tapegrad.compile.jit import Jit, Stats, jit
from tapegrad.compile.tapes import compile_tape
from tapegrad.tape.tapes import backend

backend.compile_tape = compile_tape

__all__ = ["Jit", "Stats", "compile_tape", "jit"]
