"""Kernels for CUDA devices, as far as they exist: compiled and tested, not yet launched."""
