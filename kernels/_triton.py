"""Triton, in the mode that this machine allows: compiled where there is a GPU, interpreted where there is none.

Triton decides at its first import whether `@triton.jit` compiles or interprets. So every file here takes `triton` and
`tl` from this one, which asks for the interpreter first where no GPU is found. `TRITON_INTERPRET=0` or `=1`, set
beforehand, wins: `0` on a machine without a GPU is right for compiling for a GPU that is elsewhere.
"""

from __future__ import annotations

import os

import torch

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

try:
    import triton
    import triton.language as tl
except ImportError:  # no wheel for this platform
    raise ImportError(
        "Triton has no build for this platform, so kernels can neither run nor be compiled here: use Linux, or WSL on "
        "Windows; everything else of the course runs without."
    ) from None

from triton.runtime.jit import JITFunction

from kvkernels.errors import KernelPlatformError
from kvkernels.interpreter import make_honest

INTERPRETED = not isinstance(tl.sum, JITFunction)
"""Whether kernels of this process are run by Triton's interpreter, operation by operation, in numpy."""

if triton.knobs.runtime.interpret and not INTERPRETED:
    raise KernelPlatformError(
        "Triton was imported before kvkernels, and has settled on compiling for a GPU, which is not here: import "
        "kvkernels first, in a fresh process (in a notebook: restart the kernel)."
    )
if INTERPRETED:
    make_honest()

OPTIONS = {"num_warps": 4, "num_stages": 3, "enable_fp_fusion": True}
"""How kernels are compiled where nothing else was measured to be better. Whether a product and a sum become one
operation, which rounds once, is said and not left to the release: Triton's default changes with 3.10."""

__all__ = ["INTERPRETED", "OPTIONS", "tl", "triton"]
