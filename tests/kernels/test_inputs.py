"""What a launcher refuses, each in one sentence, before a kernel sees it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from paged_cases import Case, make

import kvkernels


def changed(**parts: Any) -> Case:
    case = make([5, 20], q_heads=4, kv_heads=2)
    return Case(**{name: parts.get(name, getattr(case, name)) for name in Case.__dataclass_fields__})


def wide() -> torch.Tensor:
    return torch.zeros(8, 16, 2, 128)[..., ::2]


CASES = {
    "dtype of the queries": (lambda: changed(q=make([5, 20]).q.double()), "queries are torch.float64"),
    "two dtypes": (lambda: changed(q=make([5, 20]).q.half()), "queries are torch.float16 and the cache torch.float32"),
    "two dtypes of pages": (lambda: changed(k_cache=make([5, 20]).k_cache.half()), "K and V have one dtype"),
    "shape of the pages": (lambda: changed(k_cache=torch.zeros(8, 2, 64)), r"\[num_blocks, page, kv_heads, head_dim\]"),
    "K and V differ": (lambda: changed(k_cache=torch.zeros(9, 16, 2, 64)), "K and V have one shape"),
    "stride": (lambda: changed(k_cache=wide(), v_cache=wide()), "K cache is not contiguous"),
    "stride of queries": (lambda: changed(q=torch.zeros(2, 64, 4).transpose(1, 2)), "queries are not contiguous"),
    "shape of queries": (lambda: changed(q=torch.zeros(2, 64)), r"Queries have shape \[seqs, q_heads, head_dim\]"),
    "head size": (lambda: make([5], head_dim=72), "Heads have 72 numbers; these kernels know"),
    "head sizes differ": (lambda: changed(q=torch.zeros(2, 4, 128)), "128 numbers and KV heads 64"),
    "page": (lambda: make([5], page=24), r"Pages hold 24 tokens; they can hold 1, 2, 4"),
    "group that does not divide": (lambda: changed(q=torch.zeros(2, 5, 64)), "5 query heads cannot share 2 KV heads"),
    "group too large": (lambda: make([5], q_heads=34), "17 query heads share a KV head; these kernels go up to 16"),
    "dtype of tables": (lambda: changed(block_tables=torch.zeros(2, 3).long()), "Block tables are torch.int64"),
    "dtype of lengths": (lambda: changed(lengths=torch.tensor([5, 20])), "Lengths are torch.int64"),
    "tables of another batch": (
        lambda: changed(block_tables=torch.zeros(3, 3).int()),
        "for 3 sequences, and there are 2",
    ),
    "negative length": (lambda: changed(lengths=torch.tensor([5, -1]).int()), "A length is -1; it is 0 or more"),
    "table too short": (lambda: changed(lengths=torch.tensor([5, 99]).int()), "99 tokens need 7 pages of 16, and the"),
    "page id negative": (
        lambda: changed(block_tables=torch.full((2, 3), -1).int()),
        "names page -1, and the cache has",
    ),
    "page id too large": (
        lambda: changed(block_tables=torch.full((2, 3), 77).int()),
        "names page 77, and the cache has",
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_refused(what: str, there: Callable[..., Any]) -> None:
    case, says = CASES[what][0](), CASES[what][1]
    with pytest.raises(kvkernels.KernelInputError, match=says) as refused:
        kvkernels.grouped_decode(*there(*case.args), validate=True)
    assert str(refused.value).count("\n") == 0


@pytest.mark.parametrize("splits", [0, 129])
@pytest.mark.parametrize("kernel", ["split_decode", "one_launch_decode"])
def test_ranges_out_of_range(kernel: str, splits: int, there: Callable[..., Any]) -> None:
    with pytest.raises(kvkernels.KernelInputError, match=f"1 to 128 ranges, not into {splits}"):
        getattr(kvkernels, kernel)(*there(*make([5]).args), splits=splits)


def test_tensors_on_two_devices() -> None:
    case = make([5])
    with pytest.raises(kvkernels.KernelInputError, match="on cpu and on meta: move all of them to one device"):
        kvkernels.grouped_decode(case.q, *(t.to("meta") for t in case.args[1:]))


def test_a_table_beyond_a_length_may_hold_anything(there: Callable[..., Any]) -> None:
    case = make([5, 0])
    assert int(case.block_tables[0, 1]) > len(case.k_cache)
    kvkernels.grouped_decode(*there(*case.args), validate=True)


def in_a_process(code: str, **environment: str) -> str:
    """The last line that a process writes."""
    import os

    done = subprocess.run([sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True)
    return (done.stderr + done.stdout).strip().splitlines()[-1]


CALL = (
    "import torch, kvkernels; t = torch.zeros; "
    "kvkernels.paged_decode(t(1, 1, 64), t(1, 16, 1, 64), t(1, 16, 1, 64), t(1, 1).int(), t(1).int())"
)


def test_the_cpu_where_kernels_are_compiled() -> None:
    assert "set TRITON_INTERPRET=1 before Python starts" in in_a_process(CALL, TRITON_INTERPRET="0")


@pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU, Triton may compile")
def test_triton_that_was_there_first() -> None:
    code = "import triton.language, os; os.environ['TRITON_INTERPRET'] = '1'; " + CALL
    assert "Triton was imported before kvkernels" in in_a_process(code, TRITON_INTERPRET="")


def test_no_triton_on_this_platform() -> None:
    answer = in_a_process("import sys; sys.modules['triton'] = None; " + CALL)
    assert "Triton has no build for this platform" in answer
    assert "use Linux, or WSL" in answer


def test_an_interpreter_that_is_not_known() -> None:
    code = (
        "import os; os.environ['TRITON_INTERPRET']='1'; from triton.runtime import interpreter as i; "
        "B=i.InterpreterBuilder; del B.create_dot; import kvkernels; kvkernels.paged_decode"
    )
    assert "cannot interpret these kernels (its interpreter has no create_dot)" in in_a_process(code)
    old = "import triton; triton.__version__='3.6.0'; import kvkernels; kvkernels.paged_decode"
    assert "Triton 3.6.0 cannot interpret these kernels" in in_a_process(old, TRITON_INTERPRET="1")


def test_the_package_alone_pulls_in_neither_torch_nor_triton() -> None:
    assert in_a_process("import sys, kvkernels; print([m for m in ('torch', 'triton') if m in sys.modules])") == "[]"
