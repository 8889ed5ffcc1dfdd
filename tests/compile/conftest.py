"""Lets the tests here import their helpers, and the ``samples`` of the laws."""

import sys
from pathlib import Path

_HERE = Path(__file__).parent
for _folder in (str(_HERE), str(_HERE.parent / "laws")):
    if _folder not in sys.path:
        sys.path.append(_folder)
