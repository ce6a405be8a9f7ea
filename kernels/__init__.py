"""Triton kernels in ladder order; they know nothing of labkit."""
