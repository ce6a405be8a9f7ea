"""Attention over a KV cache, contiguous or paged, in PyTorch."""
