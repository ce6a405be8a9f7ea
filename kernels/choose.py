"""Which kernel a decode step takes: the rule, in one place.

    pages in 8 bits                        step 5, split by the rule of step 4
    a shared prefix worth a stack          step 7
    one range per context (S = 1)          step 3
    S > 1 and no context beyond 8,192      step 8: it is over so soon that a second launch would show
    S > 1 otherwise                        step 4

S is `num_splits` of step 4: it cuts contexts where the batch alone does not fill the GPU. Tile, warps and stages are
those that were measured for such pages on such a GPU, where somebody has (`kernels/tuned.json`). Step 1 and 2 are never
taken: 3 reads less wherever heads share, and as much where they do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kvkernels.host import SharedPrefix
from kvkernels.inputs import QUANTISED, Shape, check_decode, check_scales
from kvkernels.step3_grouped import constants, grouped_decode
from kvkernels.step4_split import MAX_SPLITS, num_splits, split_decode
from kvkernels.step5_quantized import quantized_decode
from kvkernels.step7_cascade import cascade_decode
from kvkernels.step8_one_launch import kept_counters, one_launch_decode
from kvkernels.tuned import configuration

ONE_LAUNCH_UP_TO = 8192
"""Tokens of the longest context for which the merge is done without a second launch."""
WORTH_A_STACK = 1024
"""Tokens that a shared prefix saves, at least, before its own launch pays: (members - 1) x tokens."""


def multiprocessors(device: torch.device) -> int:
    """Of the GPU; 1 for the interpreter, which runs one program after another."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def counters(q: Tensor, shape: Shape) -> Tensor | None:
    """For step 8, those of the stream; None, for new ones, in the interpreter, and in a graph, which runs on any."""
    if q.device.type != "cuda" or torch.cuda.is_current_stream_capturing():
        return None
    return kept_counters(q.device, torch.cuda.current_stream(q.device).cuda_stream, shape.seqs, shape.kv_heads)


class Choice(NamedTuple):
    """A launcher of `kvkernels`, and how it is called."""

    launcher: str
    splits: int
    tile: int
    options: Mapping[str, Any]


def choose(k_cache: Tensor, longest: int, groups: Sequence[SharedPrefix] | None, splits: int) -> str:
    """The name of the launcher that `decode` takes; see the rule above."""
    if k_cache.dtype in QUANTISED:
        return "quantized_decode"
    if groups and sum((len(g.members) - 1) * g.tokens for g in groups) >= WORTH_A_STACK:
        return "cascade_decode"
    if splits == 1:
        return "grouped_decode"
    return "one_launch_decode" if longest <= ONE_LAUNCH_UP_TO else "split_decode"


def chosen(
    q: Tensor, k_cache: Tensor, shape: Shape, longest: int, groups: Sequence[SharedPrefix] | None = None
) -> Choice:
    """What `decode` does with a batch."""
    best = configuration("decode", q, k_cache)
    tile = constants(shape, q.dtype, best.tile)["TILE"]
    splits = num_splits(shape, longest, tile, best.waves * multiprocessors(q.device))
    return Choice(choose(k_cache, longest, groups, splits), splits, tile, best.options)


def decode(
    q: Tensor,
    k_cache: Tensor,
    v_cache: Tensor,
    block_tables: Tensor,
    lengths: Tensor,
    *,
    longest: int | None = None,
    groups: Sequence[SharedPrefix] | None = None,
    k_scale: Tensor | None = None,
    v_scale: Tensor | None = None,
    scale: float | None = None,
    validate: bool | None = None,
) -> Tensor:
    """Attention of one query a sequence over its pages, by the kernel that suits shapes and device.

    Args:
        longest: tokens of the longest context, where the caller knows; else what the block tables have room for. It
            decides about speed alone.
        groups: from `share_groups`, where the caller has looked.
        k_scale, v_scale: float32 [kv_heads], for pages of int8 or fp8.
        q, k_cache, v_cache, block_tables, lengths, scale, validate: as for `kvkernels.grouped_decode`.

    Returns:
        [seqs, q_heads, head_dim], dtype of q; zeros where a length is 0.

    Raises:
        KernelInputError, KernelPlatformError: something does not fit; the message says what.
    """
    shape = check_decode(q, k_cache, v_cache, block_tables, lengths, validate=validate, quantised=None)
    longest = shape.max_blocks * shape.page if longest is None else longest
    launcher, splits, tile, options = chosen(q, k_cache, shape, longest, groups)
    known: dict[str, Any] = {"scale": scale, "validate": False}  # looked at above
    tuned: dict[str, Any] = known | {"tile": tile, "options": options}
    where = (block_tables, lengths)
    match launcher:
        case "quantized_decode":
            check_scales(k_cache, k_scale, v_scale)
            assert k_scale is not None
            assert v_scale is not None
            return quantized_decode(q, k_cache, v_cache, k_scale, v_scale, *where, splits=splits, **tuned)
        case "cascade_decode":
            assert groups is not None
            each = min(splits, MAX_SPLITS // 2)  # prefix and suffix share the room for states
            known["validate"] = validate  # the groups have not been looked at
            return cascade_decode(q, k_cache, v_cache, *where, groups, splits=each, prefix_splits=each, **known)
        case "grouped_decode":
            return grouped_decode(q, k_cache, v_cache, *where, **tuned)
        case "one_launch_decode":
            return one_launch_decode(q, k_cache, v_cache, *where, splits=splits, done=counters(q, shape), **tuned)
    return split_decode(q, k_cache, v_cache, *where, splits=splits, **tuned)


def prefill_configuration(q: Tensor, k_cache: Tensor) -> dict[str, Any]:
    """`rows`, `tile` and `options` for `kvkernels.prefill`, as measured for such pages on such a GPU."""
    best = configuration("prefill", q, k_cache)
    return {"rows": best.rows, "tile": best.tile, "options": best.options}
