"""The back end on Numba: text, loops, threads, vector mathematics."""
