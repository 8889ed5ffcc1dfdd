"""What turns kernels into machine code: the language of kernels, the seam, and a folder for each way."""
