"""Who attends over the pages of a cache: Triton's kernels, or PyTorch. The rule, in one place.

    kernels=None    the kernels where the pages lie on a GPU and have a shape that they know; PyTorch otherwise
    kernels=True    the kernels; on a CPU in Triton's interpreter, which is right and thousands of times slower: for a
                    test, or to see the engine run on kernels for a few tokens
    kernels=False   PyTorch

Where kernels run, those that a learner has passed in lessons 11 to 14 take the place of the course's; of decodes that
of the latest lesson.

PyTorch gathers pages into a copy and attends that (`PagedKVCache.read`, `labkit.attention.grouped`). The kernels read
pages where they lie: `kvkernels.decode`, which chooses among them by a rule of its own, and `kvkernels.prefill`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

if TYPE_CHECKING:
    from labkit.attention.plan import Rectangle


def kernels_for(
    k_cache: Tensor, v_cache: Tensor, kernels: bool | None = None, own: Mapping[str, Any] | None = None
) -> Kernels | None:
    """The kernels, if the rule takes them for this cache; None for PyTorch.

    Args:
        k_cache, v_cache: [layers, num_blocks, page, kv_heads, head_dim].
        kernels: see the rule above.
        own: a learner's kernels, by the name of their launcher (`labkit.engine.own_kernels`).

    Raises:
        ImportError: the kernels were asked for, and Triton has no build for this platform.
        KernelInputError, KernelPlatformError: they were asked for, and cannot run on such pages, or not here.
    """
    if (kernels is None and k_cache.device.type != "cuda") or kernels is False:
        return None
    try:
        from kvkernels.inputs import check_pages, check_runs

        check_runs(k_cache, v_cache)
        check_pages(k_cache[0], v_cache[0])
    except (ImportError, ValueError, RuntimeError):
        if kernels:
            raise
        return None
    return Kernels(k_cache, v_cache, own or {})


DECODES = ("split_decode", "grouped_decode", "paged_decode")
"""Launchers that take another kernel, the latest lesson's first."""


class Kernels:
    """The kernels over one cache [layers, num_blocks, page, kv_heads, head_dim].

    Args:
        own: see `kernels_for`.
    """

    def __init__(self, k_cache: Tensor, v_cache: Tensor, own: Mapping[str, Any]) -> None:
        self.k, self.v, self.own = k_cache, v_cache, own

    def owns(self, job: Literal["decode", "prefill"]) -> bool:
        """Whether a learner's kernel does this."""
        return job in self.own if job == "prefill" else any(name in self.own for name in DECODES)

    def knows(self, q_heads: int) -> bool:
        """Whether they attend so many query heads over these pages."""
        from kvkernels.inputs import MAX_GROUP

        return q_heads <= MAX_GROUP * self.k.shape[3]

    def write(self, layer: int, slots: Tensor, k: Tensor, v: Tensor) -> None:
        """New keys and values [tokens, kv_heads, head_dim] of a layer to their slots, int64 [tokens]."""
        import kvkernels

        pages = self.k[layer], self.v[layer]
        kvkernels.write_kv(k.contiguous(), v.contiguous(), *pages, slots, kernel=self.own.get("write_kv"))

    def copy(self, source: int, target: int) -> None:
        """One page over another, in every layer."""
        import kvkernels

        kvkernels.copy_blocks(self.k, self.v, torch.tensor([[source, target]], device=self.k.device))

    def attend(self, layer: int, rectangle: Rectangle, q: Tensor) -> Tensor | None:
        """Attention of a rectangle, [num_seqs * num_new, q_heads, head_dim] as q; None for a group they do not know."""
        import kvkernels

        if not self.knows(q.shape[1]):
            return None
        tables, lengths, starts = rectangle.for_kernels
        q, pages = q.contiguous(), (self.k[layer], self.v[layer])
        if rectangle.num_new > 1:
            how = kvkernels.prefill_configuration(q, pages[0])
            return kvkernels.prefill(q, *pages, tables, lengths, starts, kernel=self.own.get("prefill"), **how)
        name = next((name for name in DECODES if name in self.own), None)
        if name is None:
            return kvkernels.decode(q, *pages, tables, lengths, longest=rectangle.context)
        more: dict[str, Any] = {"kernel": self.own[name]}
        if name == "split_decode":
            from kvkernels.choose import chosen
            from kvkernels.inputs import check_decode

            shape = check_decode(q, *pages, tables, lengths)
            more["splits"] = max(2, chosen(q, pages[0], shape, rectangle.context).splits)
        return getattr(kvkernels, name)(q, *pages, tables, lengths, **more)
