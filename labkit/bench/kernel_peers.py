"""Who is timed on a workload: our kernels, and what else there is on the machine, over the same tensors.

Each peer is a call without arguments. Tables and lengths are read on the device in each call, as a server's step would;
where a peer makes something of them beforehand (`remade`), it is made again when they change.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from labkit.attention.grouped import grouped_attention
from labkit.bench.kernel_inputs import Inputs
from labkit.bench.kernel_shapes import Workload


class Peer(NamedTuple):
    """One who can be timed; `make` gives the call. `remade`: it is made anew where tables or lengths have changed."""

    name: str
    make: Callable[[], Callable[[], Tensor]]
    remade: bool = False


class Absent(NamedTuple):
    """One who cannot, and why."""

    name: str
    why: str


def peers(x: Inputs) -> list[Peer | Absent]:
    """All who attend this workload, ours first."""
    if x.workload.new > 1:
        return [Peer("ours", lambda: _our_prefill(x)), _dense_sdpa(x)]
    return [
        Peer("ours", lambda: _our_decode(x)),
        _on_a_gpu("ours, as a CUDA graph", x, lambda: captured(_our_decode(x))),
        Peer("ours, tile 16 and 16 segments", lambda: _as_vllm(x)),
        Peer("gather + SDPA", lambda: _gather_sdpa(x)),
        Absent(FLEX, "it reads no pages of 8 bits") if x.scales else Peer(FLEX, lambda: _flex(x), remade=True),
        _varlen(x),
    ]


FLEX = "FlexAttention, paged"


def _on_a_gpu(name: str, x: Inputs, make: Callable[[], Callable[[], Tensor]]) -> Peer | Absent:
    return Peer(name, make) if x.q.is_cuda else Absent(name, "it needs a GPU")


def _our_decode(x: Inputs) -> Callable[[], Tensor]:
    import kvkernels

    args = (x.q, x.k, x.v, x.tables, x.lengths)
    return lambda: kvkernels.decode(*args, longest=x.longest, validate=False, **x.scales)


def _our_prefill(x: Inputs) -> Callable[[], Tensor]:
    """In one launch, or a launch for each chunk with the lengths that it has by then."""
    import kvkernels

    how = kvkernels.prefill_configuration(x.q, x.k) | x.scales | {"validate": False}
    new, rows = x.workload.new, x.q.unflatten(0, (len(x.lengths), -1))
    each = torch.arange(len(x.lengths) + 1, dtype=torch.int32, device=x.q.device)
    pieces = []
    for begin in range(0, new, x.workload.chunk or new):
        q = rows[:, begin : begin + (x.workload.chunk or new)]
        pages = (x.k, x.v, x.tables, x.lengths - new + begin + q.shape[1])
        pieces.append((q.flatten(0, 1).contiguous(), *pages, each * q.shape[1]))

    def call() -> Tensor:
        done = [kvkernels.prefill(*piece, **how) for piece in pieces]
        return (
            done[0] if len(done) == 1 else torch.cat([d.unflatten(0, (len(rows), -1)) for d in done], 1).flatten(0, 1)
        )

    return call


def _as_vllm(x: Inputs) -> Callable[[], Tensor]:
    """Our loop in the sizes of vLLM's Triton backend: tile 16 (32 where a number is a byte); 16 segments for batches
    below 128 // KV heads."""
    import kvkernels

    tile = 32 if x.scales else 16
    splits = 16 if len(x.lengths) < 128 // x.workload.kv_heads else 1
    how: dict[str, Any] = {"splits": splits, "tile": tile, "validate": False}
    if x.scales:
        return lambda: kvkernels.quantized_decode(x.q, x.k, x.v, *x.scales.values(), x.tables, x.lengths, **how)
    return lambda: kvkernels.split_decode(x.q, x.k, x.v, x.tables, x.lengths, **how)


def _gather_sdpa(x: Inputs) -> Callable[[], Tensor]:
    positions = torch.arange(x.tables.shape[1] * x.workload.page, device=x.q.device)

    def gather(pages: Tensor, scale: Tensor | None) -> Tensor:
        copy = pages.index_select(0, x.tables.flatten()).to(x.q.dtype)
        copy = copy if scale is None else copy * scale.to(x.q.dtype)[:, None]
        return copy.view(len(x.lengths), -1, *pages.shape[2:])

    def call() -> Tensor:
        keys, values = (gather(c, x.scales.get(s)) for c, s in ((x.k, "k_scale"), (x.v, "v_scale")))
        hidden = (positions >= x.lengths[:, None])[:, None]
        return grouped_attention(x.q[:, None], keys, values, hidden)[:, 0]

    return call


def _dense_sdpa(x: Inputs) -> Peer | Absent:
    """Causal attention over keys that lie side by side already: what paging is measured against."""
    name, whole = "SDPA over gathered keys", (len(x.lengths), x.workload.new)
    if x.scales or x.workload.chunk or any(n != x.workload.new for n in x.workload.lengths):
        return Absent(name, "it takes whole prompts at once, of floats")

    def make() -> Callable[[], Tensor]:
        found = (c.index_select(0, x.tables.flatten()).unflatten(0, (whole[0], -1)).flatten(1, 2) for c in (x.k, x.v))
        keys, values = (c[:, : whole[1]].transpose(1, 2) for c in found)
        q = x.q.unflatten(0, whole).transpose(1, 2)
        attend = partial(scaled_dot_product_attention, is_causal=True, enable_gqa=True)
        return lambda: attend(q, keys, values).transpose(1, 2).flatten(0, 1)

    return Peer(name, make, remade=True)


@lru_cache(maxsize=1)
def _compiled_flex(_workload: Workload, compiled: bool) -> Any:
    """Compiled for one workload: after eight, torch would go on without compiling, and say so in a warning alone."""
    from torch.nn.attention.flex_attention import flex_attention

    if not compiled:
        warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")
        return flex_attention
    torch.compiler.reset()
    return torch.compile(flex_attention, dynamic=False, fullgraph=True)


def _flex(x: Inputs) -> Callable[[], Tensor]:
    """Our tables put into its own, so that it reads the pages where they lie."""
    from torch.nn.attention.experimental._paged_attention import PagedAttention
    from torch.nn.attention.flex_attention import create_block_mask

    seqs, device, page = len(x.lengths), x.q.device, x.workload.page
    paged = PagedAttention(len(x.k), page, seqs, device=str(device))
    for seq, length in enumerate(x.lengths.tolist()):
        ids = x.tables[seq, : -(-length // page)].long()
        paged.page_table[seq, : len(ids)] = ids
        paged.physical_to_logical[seq, ids] = torch.arange(len(ids), device=device)

    def used(b: Tensor, _head: Tensor, _query: Tensor, kv: Tensor) -> Tensor:
        return kv < x.lengths[b]

    mask = create_block_mask(used, seqs, None, 1, x.tables.shape[1] * page, device=str(device), BLOCK_SIZE=(128, page))
    mask = paged.convert_logical_block_mask(mask)
    keys, values = (c.flatten(0, 1).transpose(0, 1)[None] for c in (x.k, x.v))  # [1, kv_heads, slots, head_dim]
    attend = _compiled_flex(x.workload, x.q.is_cuda)
    return lambda: attend(x.q[:, :, None], keys, values, block_mask=mask, enable_gqa=True)[:, :, 0]


def _varlen(x: Inputs) -> Peer | Absent:
    name = "varlen_attn"
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return Absent(name, "this torch has none")
    how = {"block_table": x.tables, "seqused_k": x.lengths, "enable_gqa": True}
    missing = [word for word in how if word not in inspect.signature(varlen_attn).parameters]
    if missing:
        return Absent(name, f"that of torch {torch.__version__} takes no {missing[0]}")
    if x.scales or x.workload.dtype == "fp32":
        return Absent(name, "it takes fp16 and bf16")
    starts = x.starts()
    return _on_a_gpu(name, x, lambda: lambda: varlen_attn(x.q, x.k, x.v, starts, None, 1, x.longest, **how))


def captured(call: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """The launches of a call as one graph, which is replayed on the same memory."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        call()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = call()

    def replay() -> Tensor:
        graph.replay()
        return out

    return replay
