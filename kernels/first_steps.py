"""Three kernels before the first that attends: a masked copy, one page, and the scores of a query over one page.

They are what lesson 11 builds, and no launcher calls them.
"""

from __future__ import annotations

from kvkernels._triton import tl, triton


@triton.jit
def copy_masked(out, src, n, BLOCK: tl.constexpr):
    """Copy the first n numbers of src to out, BLOCK of them per program; grid (cdiv(n, BLOCK),)."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = at < n
    tl.store(out + at, tl.load(src + at, mask=there), mask=there)
