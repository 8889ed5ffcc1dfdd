"""Programs that the literature of automatic differentiation measures, from their mathematics.

Each module has a function in plain NumPy, data for it, and, where it is not a gradient, the derivative
that is asked of it. `tests/test_programs.py` holds each against central differences, and
``python -m benchmarks --only gradbench`` measures them.
"""
