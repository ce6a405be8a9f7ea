"""Kernels in the interpreter where there is no GPU, and what they are launched on."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

if not Path("/dev/nvidiactl").exists():
    # Before anything imports triton in this process: it settles on one mode at its first import.
    os.environ.setdefault("TRITON_INTERPRET", "1")

if sys.platform != "linux":
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def device() -> str:
    """Where kernels run: a GPU where there is one."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True)
def poisoned_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that a launcher asks for is full of NaN, so a number that no program wrote shows."""
    import torch

    like, new = torch.empty_like, torch.Tensor.new_empty

    def fill(t: torch.Tensor) -> torch.Tensor:
        return t.fill_(torch.nan) if t.is_floating_point() and t.device.type != "meta" else t

    monkeypatch.setattr(torch, "empty_like", lambda *a, **k: fill(like(*a, **k)))
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda *a, **k: fill(new(*a, **k)))
