"""The gate: how the user's Python is read while it is traced."""
