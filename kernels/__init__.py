"""Paged-attention kernels in Triton, in the order in which one is made from the last.

Import name `kvkernels`. Each file is one step and can be read alone; `kvkernels.decode` chooses among them. Nothing is
imported until it is asked for, so that `import kvkernels` pulls in neither torch nor triton.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "paged_decode": "step1_paged",
    "tiled_decode": "step2_tiled",
    "tile_addresses": "step2_tiled",
    "grouped_decode": "step3_grouped",
    "split_decode": "step4_split",
    "quantized_decode": "step5_quantized",
    "head_scales": "host",
    "prefill": "step6_prefill",
    "cascade_decode": "step7_cascade",
    "share_groups": "host",
    "SharedPrefix": "host",
    "one_launch_decode": "step8_one_launch",
    "write_kv": "kv_write",
    "copy_blocks": "block_copy",
    "decode": "choose",
    "prefill_configuration": "choose",
    "copy_masked": "first_steps",
    "quantized_scores": "quantized_page",
    "gather_page": "first_steps",
    "page_scores": "first_steps",
    "tl": "_triton",
    "triton": "_triton",
    "KernelInputError": "errors",
    "KernelPlatformError": "errors",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"kvkernels.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
