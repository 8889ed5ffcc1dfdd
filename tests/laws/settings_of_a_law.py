"""Settings that a function under test imports."""

rate = 1.0
