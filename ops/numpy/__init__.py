"""NumPy's functions that make arrays, ask about them, or call other functions."""
