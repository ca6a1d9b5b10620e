"""Kernels for CUDA devices: factories of them, the list of all, and what launches them."""
