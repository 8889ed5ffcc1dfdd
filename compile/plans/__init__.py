"""Plans: the straight line of kernel calls, views and library calls."""
