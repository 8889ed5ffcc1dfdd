"""From program to program: expansions and simplification."""
