"""The kernels and PyTorch's version of each give one answer, so that either may serve."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from paged_cases import assert_close, make

import kvkernels
from labkit.attention import over_pages, page_writes

SINKS = torch.tensor([0.5, -1.0, 2.0, 0.0, 3.0, -2.0])


@pytest.mark.parametrize("how", [{}, {"window": 7, "softcap": 3.0, "sinks": SINKS}], ids=["plain", "all"])
def test_a_ragged_batch(how: dict[str, Any], device: str) -> None:
    case = make([9, 1, 40], q_heads=6, rows=13)
    args = (*(t.to(device) for t in case.args), torch.tensor([0, 9, 10, 13], dtype=torch.int32, device=device))
    how = {name: value.to(device) if name == "sinks" else value for name, value in how.items()}
    theirs = over_pages.prefill(*args, **how).cpu().double()
    assert_close(kvkernels.prefill(*args, rows=32, tile=16, **how).cpu(), theirs, torch.float32)


def test_a_shared_prefix(device: str) -> None:
    case = make([40, 50, 37, 5], shared=2)
    groups = kvkernels.share_groups(case.block_tables.tolist(), case.lengths.tolist(), 16)
    args = tuple(t.to(device) for t in case.args)
    theirs = over_pages.cascade_decode(*args, groups).cpu().double()
    assert_close(kvkernels.cascade_decode(*args, groups, rows=16, tile=16).cpu(), theirs, torch.float32)


@pytest.mark.parametrize("kind", [torch.int8, torch.float8_e4m3fn], ids=str)
def test_pages_of_8_bits_bit_for_bit_and_what_is_read_of_them(kind: torch.dtype, device: str) -> None:
    case = make([17, 40])
    new = [torch.cat([case.keys_and_values(seq)[i] for seq in (0, 1)]).float().to(device) for i in (0, 1)]
    scales = [kvkernels.head_scales(x, kind) for x in new]
    page = torch.arange(17) // 16, torch.arange(40) // 16
    slots = [case.block_tables[s, page[s]].long() * 16 + torch.arange(n) % 16 for s, n in ((0, 17), (1, 40))]
    written = []
    for write in (kvkernels.write_kv, page_writes.write_kv):
        pages = [torch.zeros(case.k_cache.shape, dtype=kind, device=device) for _ in range(2)]
        write(*new, *pages, torch.cat(slots).to(device), k_scale=scales[0], v_scale=scales[1])
        written.append(pages)
    for ours, theirs in zip(*written, strict=True):
        assert (ours.view(torch.uint8) == theirs.view(torch.uint8)).all()
    q, tables, lengths = (t.to(device) for t in (case.q, case.block_tables, case.lengths))
    got = kvkernels.quantized_decode(q, *written[0], *scales, tables, lengths, tile=16)
    theirs = over_pages.decode(q, *written[0], tables, lengths, k_scale=scales[0], v_scale=scales[1])
    assert_close(got.cpu(), theirs.cpu().double(), torch.float32)
