"""Functions of Python and of its standard library on tensors."""
