"""Lesson 11: the picture of a launch, the worker that records it whatever the kernel does, the model on a kernel."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("kvkernels._triton", exc_type=ImportError)
from kvkernels import copy_masked, gather_page, page_scores, tl, triton
from labkit.errors import KernelError, LabkitError
from labkit.kernels.ledger import LaunchTraffic
from labkit.kernels.recording import Paged, Recording, record
from labkit.specs.first_kernel import scenes
from labkit.widgets import AddressPicture
from labkit.widgets.address_picture import picture


def recorded(kernel: Any, scene: Any, **how: Any) -> Recording:
    return record(kernel, f"{scenes.HERE}:{scene.__name__}", **how)


@triton.jit
def one_too_far(out, cache, block_table, length, HEAD_DIM: tl.constexpr, PAGE: tl.constexpr):
    page = tl.program_id(0)
    block = tl.load(block_table + page).to(tl.int64) + page
    lane = tl.arange(0, PAGE * HEAD_DIM)
    tl.store(out + lane, tl.load(cache + block * PAGE * HEAD_DIM + lane))


@triton.jit
def wild_read(out, src, n, BLOCK: tl.constexpr):
    tl.store(out, tl.load(src + tl.full([], 1, tl.int64) * 2**43))


@triton.jit
def never_ends(out, src, n, BLOCK: tl.constexpr):
    i = 0
    while i < n:
        i = i * 1


@triton.jit
def a_stub(out, src, n, BLOCK: tl.constexpr):
    raise NotImplementedError("your code goes here")


@triton.jit
def needs_another(out, src, n, BLOCK: tl.constexpr):
    tl.store(out, somebody_elses)  # noqa: F821


def test_it_draws_which_program_touched_which_slots_in_which_order():
    board = AddressPicture.of(recorded(gather_page, scenes.one_request))
    assert board.programs == ["0", "1", "2"] and board.step == len(board.steps) == 3
    assert [[cell[:2] for cell in step["cells"]] for step in board.steps] == [
        [[4, 0], [4, 1], [4, 2], [4, 3]], [[1, 0], [1, 1], [1, 2], [1, 3]], [[6, 0], [6, 1]],
    ]  # fmt: skip
    assert board.blocks[6] == {"id": 6, "page": 2, "slots": ["token", "token", "empty", "empty"]}
    assert board.blocks[0] == {"id": 0, "page": None, "slots": ["other"] * 4}
    assert "Program 2 reads 16 numbers of cache: slots 0 to 1 of block 6, page 2." in repr(board)


def test_a_program_in_two_directions_reads_the_numbers_of_its_head_alone():
    board = AddressPicture.of(recorded(page_scores, scenes.four_heads))
    assert board.programs[:4] == ["(0, 0)", "(0, 1)", "(0, 2)", "(1, 0)"] and not any(s["wrong"] for s in board.steps)
    assert {tuple(cell[2:]) for step in board.steps[:6] for cell in step["cells"]} == {(0, 3)}
    assert {tuple(cell[2:]) for step in board.steps[6:] for cell in step["cells"]} == {(3, 6)}


def test_a_wrong_address_is_told_inside_and_outside_of_the_tensor():
    made = recorded(one_too_far, scenes.one_request)
    board = AddressPicture.of(made)
    assert [step["wrong"] for step in board.steps] == [False, True, True]
    assert board.steps[1]["say"].endswith("Block 2 is not the request's.")
    assert board.steps[2]["cells"][0][0] == len(board.blocks) and "past the end of cache" in made.sentence
    assert board.steps[2]["say"] == made.sentence and "2 of them wrong" in board.summary()


def test_slots_without_a_token_are_wrong():
    launch = recorded(gather_page, scenes.one_request).launch
    board = AddressPicture(launch, Paged("cache", 8, 4, 8, (4, 1, 6), 9))
    assert board.steps[2]["wrong"] and board.steps[2]["say"].endswith("Slot 1 of block 6 holds no token of it.")


def test_a_kernel_that_ends_its_process_ends_the_worker_alone():
    """Unwatched it is SIGSEGV, as on a machine that follows every address; watched it is the ledger's sentence."""
    fell = recorded(wild_read, scenes.ten_numbers, watch=False)
    assert fell.crash == "SIGSEGV" and fell.launch is None
    assert fell.sentence == (
        "The process that ran wild_read was ended by SIGSEGV: the kernel followed an address that is not its "
        "process's. The notebook goes on."
    )
    watched = recorded(wild_read, scenes.ten_numbers)
    assert not watched.crash and "far from every tensor" in watched.sentence and watched.outside


@pytest.mark.parametrize(
    ("kernel", "why", "written"),
    [(never_ends, "look for a loop whose end never comes", True), (a_stub, "is not written yet", False),
     (needs_another, "somebody_elses is no name in needs_another", True)],
)  # fmt: skip
def test_what_does_not_come_to_its_end_is_one_sentence(
    kernel: Any, why: str, written: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("labkit.kernels.recording.SECONDS", 1.5)
    made = recorded(kernel, scenes.ten_numbers)
    assert why in made.sentence and made.written is written and "\n" not in made.sentence


def test_what_is_no_kernel_or_too_large_to_draw_is_refused():
    with pytest.raises(KernelError, match="no kernel whose text can be read"):
        recorded(len, scenes.ten_numbers)
    with pytest.raises(LabkitError, match="17 programs"):
        AddressPicture(LaunchTraffic("k", (17,)), Paged("src", 3, 4, 1, (0, 1, 2), 10))
    with pytest.raises(LabkitError, match="nothing to draw"):
        AddressPicture.of(Recording("k", sentence="It fell."))
    assert len(AddressPicture.of(recorded(copy_masked, scenes.ten_numbers), step=1).steps) == 3


def test_the_kernel_as_it_stands_is_drawn_and_the_reference_for_a_stub(monkeypatch: pytest.MonkeyPatch, capsys: Any):
    shell = SimpleNamespace(user_ns={"gather_page": one_too_far, "copy_masked": a_stub, "page_scores": 7})
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    board = picture("gather_page")
    assert board.title == "gather_page: your kernel, as it stands" and board.steps[-1]["wrong"]
    for stub in ("copy_masked", "page_scores"):
        board = picture(stub, step=1)
        assert board.title == f"{stub}: the reference" and board.step == 1 and not any(s["wrong"] for s in board.steps)
    monkeypatch.setattr(scenes, "record", lambda *_: Recording("gather_page", sentence="It fell."))
    assert picture("gather_page") is None and capsys.readouterr().out == "It fell.\n"


def test_a_model_decodes_through_a_kernel_as_pytorch_does(capsys: Any):
    from kvkernels.step1_paged import paged_decode_kernel
    from labkit.serving import load

    launched = []

    class Spy:
        def __getitem__(self, grid: Any) -> Any:
            launched.append(grid)
            return paged_decode_kernel[grid]

    model = load("tiny")
    scenes.decode_with(model, Spy(), "A page", tokens=1)
    assert launched == [(1, model.config.num_attention_heads)] * model.config.num_hidden_layers
    assert capsys.readouterr().out.rstrip().endswith("the same tokens as PyTorch: True")


def test_without_triton_one_sentence_is_said_and_the_check_says_it_too(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text(
        "from importlib.machinery import PathFinder\nfind = PathFinder.find_spec\n"
        "PathFinder.find_spec = lambda name, *rest: None if name.split('.')[0] == 'triton' else find(name, *rest)\n"
    )
    code = (
        "from labkit.grading.runner import check; from labkit.grading.solutions import solutions\n"
        "from labkit.widgets.address_picture import picture; print(picture('gather_page'))\n"
        "for name in ('gather_page', 'break_offsets'): print(check('11', name, solutions('11')[name]).message)\n"
    )
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    said = done.stdout.strip().splitlines()
    assert said[1] == "None" and all("Triton has no build for this platform" in said[i] for i in (0, 2, 3))
