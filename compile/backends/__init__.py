"""What turns kernels into machine code."""
