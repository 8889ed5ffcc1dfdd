"""The programs of the suites that stand beside JAX, in plain NumPy, each with data to call it with.

JAX runs the same text: in its process, the global name ``np`` of a module of programs is `jax.numpy`,
and ``tg`` is JAX.
What JAX cannot run as it stands, because it writes into arrays, and loops that JAX would rather have as
one operation, are written once more in `in_jax`. So data are made by functions of their own, and these
modules compute nothing when they are imported.
"""
