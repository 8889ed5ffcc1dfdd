"""How the user's Python is read: images of functions, and the gate that they ask.

The *image* of a function is the same function whose code asks the *gate* about all that it reads, runs
and changes outside of itself. A value's way through the rooms:

- :mod:`~tapegrad.tape.python.bytecode` takes code apart and puts it together again,
- :mod:`~tapegrad.tape.python.writer` writes the snippets that ask,
- :mod:`~tapegrad.tape.python.sites` tells what lies on the stack at a call,
- :mod:`~tapegrad.tape.python.treatments` says what becomes of each instruction,
- :mod:`~tapegrad.tape.python.rewriting` makes the code of images from these, at a *level*,
- :mod:`~tapegrad.tape.python.gate` declares what a gate is asked; its own answers do nothing,
- :mod:`~tapegrad.tape.python.images` makes and keeps images,
- :mod:`~tapegrad.tape.python.imaging` is the gate under which all Python runs as images, by
  :mod:`~tapegrad.tape.python.calls`, :mod:`~tapegrad.tape.python.special` (methods that the
  interpreter calls) and :mod:`~tapegrad.tape.python.thunks` (calls without a frame of ours).

Nothing here knows of tensors or traces.

>>> from tapegrad.tape.python import Imaging
>>> Imaging().run(lambda x: x + 1, 2)
3
"""

from tapegrad.tape.python.gate import Gate, current
from tapegrad.tape.python.images import Images, original
from tapegrad.tape.python.imaging import PLAIN, Imaging
from tapegrad.tape.python.rewriting import FULL, LIGHT, Level
from tapegrad.tape.python.thunks import Thunk, chain, constant, stand_in

__all__ = [
    "FULL",
    "LIGHT",
    "PLAIN",
    "Gate",
    "Images",
    "Imaging",
    "Level",
    "Thunk",
    "chain",
    "constant",
    "current",
    "original",
    "stand_in",
]
