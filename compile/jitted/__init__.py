"""``jit``: recording functions, finding their plans, and their derivatives."""
