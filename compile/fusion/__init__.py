"""Which entries become one kernel, and what that kernel computes."""
