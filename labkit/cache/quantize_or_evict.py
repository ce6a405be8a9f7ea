"""Whether a cache in which not all blocks fit is better kept in 8 bits or left to evict; what lesson 15 builds."""

from __future__ import annotations

from typing import Literal


def quantize_or_evict(
    wanted: int, fit: int, again: float, compute_s: float, convert_s: float, error: float, allowed: float
) -> Literal["keep", "quantize", "evict"]:
    """What to do with the blocks of a prefix cache that is kept in 16 bits.

    Args:
        wanted: blocks that the requests come back for, in one round of them.
        fit: blocks of 16 bits that the memory has room for; of 8 bits it has room for twice as many.
        again: share of what is evicted that is wanted again within the round, 0 to 1.
        compute_s: seconds to compute a block again.
        convert_s: seconds to bring a block that is there from 16 bits to 8.
        error, allowed: that of 8 bits, as measured, and the most that the answers can bear.

    Returns:
        "keep" where all fit; "quantize" where 8 bits cost less time in this round, and no more error than is allowed;
        else "evict".
    """
    if wanted <= fit:
        return "keep"
    if error > allowed:
        return "evict"
    evicting = (wanted - fit) * again * compute_s
    quantizing = fit * convert_s + max(0, wanted - 2 * fit) * again * compute_s
    return "quantize" if quantizing < evicting else "evict"
