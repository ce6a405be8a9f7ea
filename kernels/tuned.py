"""What was measured to be fastest, kept in `tuned.json`: nobody's first launch tries configurations for minutes.

A row is known by what decides it: the work (decode or prefill), architecture, dtype of the pages, head size, query
heads per KV head and page. Where there is none, the rules of the kernels stand (`tile_for`, `most_rows`, `OPTIONS`).
`labkit bench kernels --tune` measures rows on a GPU; no row is written by hand.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kvkernels._triton import OPTIONS

FILE = Path(__file__).with_name("tuned.json")


class Configuration(NamedTuple):
    """How a kernel is launched; what is None is decided by rule.

    Attributes:
        tile: positions per tile.
        rows: query rows of a program, of prefill alone.
        warps, stages: of the compiler.
        waves: for how many programs on each multiprocessor contexts are cut (`kvkernels.step4_split.num_splits`).
    """

    tile: int | None = None
    rows: int | None = None
    warps: int = OPTIONS["num_warps"]
    stages: int = OPTIONS["num_stages"]
    waves: int = 1

    @property
    def options(self) -> Mapping[str, Any]:
        """For the compiler."""
        return OPTIONS | {"num_warps": self.warps, "num_stages": self.stages}


@lru_cache
def architecture(device: torch.device) -> str:
    """Of a GPU, as the support matrix has it, e.g. "sm_90"; "" where there is none."""
    if device.type != "cuda":
        return ""
    if torch.version.hip:
        return str(torch.cuda.get_device_properties(device).gcnArchName).split(":")[0]
    return "sm_{}{}".format(*torch.cuda.get_device_capability(device))


def key(work: str, q: Tensor, k_cache: Tensor) -> str:
    """E.g. "decode sm_90 bfloat16 d128 g4 page16"."""
    (page, kv_heads, head_dim), dtype = k_cache.shape[1:], str(k_cache.dtype).removeprefix("torch.")
    return f"{work} {architecture(q.device)} {dtype} d{head_dim} g{q.shape[1] // kv_heads} page{page}"


@lru_cache
def rows() -> dict[str, Configuration]:
    """All that was measured, by `key`."""
    return {name: Configuration(**row) for name, row in json.loads(FILE.read_text()).items()}


@contextmanager
def instead(name: str, row: Configuration) -> Iterator[None]:
    """Inside, launches with this key take another row: for whoever measures which is best."""
    known = rows()
    before = known.get(name)
    known[name] = row
    try:
        yield
    finally:
        del known[name]
        if before is not None:
            known[name] = before


def configuration(work: str, q: Tensor, k_cache: Tensor) -> Configuration:
    """The row for a launch; the defaults where nothing was measured.

    Args:
        work: "decode" or "prefill".
        q: [..., q_heads, head_dim].
        k_cache: [num_blocks, page, kv_heads, head_dim].
    """
    known = rows()
    return known.get(key(work, q, k_cache), Configuration()) if known else Configuration()
