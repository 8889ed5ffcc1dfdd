"""Functions to functions: ``grad``, ``vjp``, ``jvp``, ``vmap`` and their traces."""
