"""The interpreter, made right for numbers that numpy has no type for, against torch."""

from __future__ import annotations

import pytest
import torch

import kvkernels
from kvkernels._triton import INTERPRETED, tl, triton

assert kvkernels
pytestmark = pytest.mark.skipif(not INTERPRETED, reason="kernels are compiled here")


@triton.jit
def cast_kernel(out, x, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(out + i, tl.load(x + i).to(out.dtype.element_ty))


@triton.jit
def sum_kernel(out, x, y, N: tl.constexpr):
    i = tl.arange(0, N)
    tl.store(out + i, tl.load(x + i) + tl.load(y + i))


@triton.jit
def dot_kernel(out, x, y, N: tl.constexpr):
    i = tl.arange(0, N)[:, None] * N + tl.arange(0, N)[None, :]
    tl.store(out + i, tl.dot(tl.load(x + i), tl.load(y + i)))


NARROW = [torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]


@pytest.mark.parametrize("kind", NARROW, ids=str)
def test_a_cast_rounds_to_the_nearest(kind: torch.dtype) -> None:
    x = torch.cat([torch.linspace(-9, 9, 1000), 2.0 ** torch.arange(-12, 12)])
    out = torch.zeros(1024, dtype=kind)
    cast_kernel[(1,)](out, x, N=1024)
    assert (out.float() == x.to(kind).float()).all()


@pytest.mark.parametrize("kind", NARROW, ids=str)
def test_and_back_exactly(kind: torch.dtype) -> None:
    x = torch.linspace(-9, 9, 1024).to(kind)
    out = torch.zeros(1024)
    cast_kernel[(1,)](out, x, N=1024)
    assert (out == x.float()).all()


def test_a_sum_of_bf16_is_a_sum() -> None:
    x, y = torch.randn(2, 64).bfloat16()
    out = torch.zeros(64, dtype=torch.bfloat16)
    sum_kernel[(1,)](out, x, y, N=64)
    assert (out == x + y).all()


@pytest.mark.parametrize("kind", NARROW, ids=str)
def test_a_dot_is_a_product_of_the_numbers(kind: torch.dtype) -> None:
    x, y = torch.randn(2, 16, 16).to(kind)
    out = torch.zeros(16, 16)
    dot_kernel[(1,)](out, x, y, N=16)
    torch.testing.assert_close(out, x.float() @ y.float(), rtol=1e-5, atol=1e-5)
