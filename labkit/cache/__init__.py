"""The KV cache: geometry, allocators, block pool and block tables. NumPy at most, nothing from above."""
