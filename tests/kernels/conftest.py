"""Kernels in the interpreter where there is no GPU, and what they are launched on."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

if not Path("/dev/nvidiactl").exists():
    # Before anything imports triton in this process: it settles on one mode at its first import.
    os.environ.setdefault("TRITON_INTERPRET", "1")

if sys.platform != "linux":
    collect_ignore_glob = ["test_*.py"]


def pytest_runtest_setup(item: pytest.Item) -> None:
    import torch

    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        pytest.skip("no GPU here: on a machine with one, pytest tests/kernels runs this too")


@pytest.fixture(scope="session")
def device() -> str:
    """Where kernels run: compiled on a GPU where there is one, interpreted on the CPU otherwise."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(scope="session")
def there(device: str) -> Callable[..., Any]:
    """Tensors, one or several, on that device, strides and all."""
    import torch

    def move(*tensors: torch.Tensor) -> Any:
        moved = [torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device=device).copy_(t) for t in tensors]
        return tuple(moved) if len(moved) > 1 else moved[0]

    return move


@pytest.fixture(autouse=True)
def poisoned_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that a launcher asks for is full of NaN, so a number that no program wrote shows."""
    import torch

    like, new = torch.empty_like, torch.Tensor.new_empty

    def fill(t: torch.Tensor) -> torch.Tensor:
        return t.fill_(torch.nan) if t.is_floating_point() and t.device.type != "meta" else t

    monkeypatch.setattr(torch, "empty_like", lambda *a, **k: fill(like(*a, **k)))
    monkeypatch.setattr(torch.Tensor, "new_empty", lambda *a, **k: fill(new(*a, **k)))
