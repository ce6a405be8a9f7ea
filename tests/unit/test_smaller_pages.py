"""Lesson 15: its widget, its scenes, its kernel beside the engine's, and how kernels are run in its notebook."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from labkit.attention.head_scales import quantize_heads
from labkit.errors import LabkitError
from labkit.serving import load
from labkit.specs.smaller_pages import scenes
from labkit.specs.smaller_pages.referees import half_step
from labkit.widgets import QuantPlay
from labkit.widgets.quant_play import FORMATS, LARGEST, NUMBERS, key


def test_the_widget_says_what_is_kept_read_and_off_for_every_choice():
    play = QuantPlay(largest=16.0)
    assert len(play.answers) == len(FORMATS) * 2 * len(LARGEST)
    for name, answer in play.answers.items():
        off = [abs(a - b) for a, b in zip(NUMBERS, answer["read"], strict=False)]
        assert answer["worst"] == max(range(7), key=off.__getitem__), name
        assert answer["read"] == pytest.approx([k * answer["scale"] for k in answer["kept"]], abs=1e-6)
    steps = [play.answers[key("int8", "head", top)]["scale"] for top in (1.0, 16.0)]
    assert steps == pytest.approx([1 / 127, 16 / 127])
    assert "16 / 127 = 0.1260" in repr(play) and "off by" in repr(play)
    assert len(play.levels["e4m3"]) == 127 and play.levels["e4m3"][-1] == 448


@pytest.mark.parametrize("wrong", [{"largest": 5.0}, {"format": "int4"}, {"scope": "layer"}])
def test_the_widget_refuses_what_it_does_not_offer(wrong: dict):
    with pytest.raises(LabkitError, match="choose one of"):
        QuantPlay(**wrong)


@pytest.mark.parametrize(("dtype", "name"), [(torch.int8, "int8"), (torch.float8_e4m3fn, "e4m3")])
def test_a_number_is_read_within_half_a_step_and_the_write_of_the_kernels_keeps_the_same(dtype, name):
    import kvkernels
    from kvkernels import head_scales

    x = torch.randn(5, 2, 16, generator=torch.Generator().manual_seed(2))
    pages, scale = quantize_heads(x, dtype)
    y = x / scale[:, None]
    assert ((pages.float() - y).abs() <= half_step(y, name) * 1.0001).all()
    assert torch.allclose(scale, head_scales(x, dtype))
    caches = [torch.zeros(1, 8, 2, 16, dtype=dtype) for _ in "kv"]
    kvkernels.write_kv(x, x, *caches, torch.arange(5), k_scale=scale, v_scale=scale)
    assert torch.equal(caches[0][0, :5].float(), pages.float())


def test_what_a_given_scale_does_not_reach_is_cut():
    x = torch.tensor([[[9.0, -9.0, 0.5]]])
    for dtype, largest in ((torch.int8, 127), (torch.float8_e4m3fn, 448)):
        pages, _ = quantize_heads(x, dtype, torch.tensor([0.01]))
        assert pages.float().flatten()[:2].tolist() == [largest, -largest]


def test_the_scenes_run_on_the_tiny_model_too():
    model = load("tiny", quiet=True)
    calm, wild = scenes.two_heads(model)
    assert calm[2].shape == wild[2].shape and torch.isfinite(calm[2]).all()
    told = list(scenes.answers(model, "What is a page table?", quantize_heads, tokens=4))
    assert [kind for kind, _, _ in told] == ["exact", *scenes.KEPT] and told[0][1] == 4
    assert len(scenes.error_against_bytes(model, quantize_heads).axes) == 2


def test_the_kernel_of_the_lesson_reads_a_byte_a_number():
    found = scenes.through_the_kernel(quantize_heads, "int8")
    assert found is not None and found.off.abs().max() < 0.05
    assert found.bytes_read == {"k_cache": 4 * 20 * 64, "k_scale": 4 * 8}


def test_kernels_are_interpreted_in_its_notebook_whatever_of_torch_imports_triton_later():
    script = "from labkit.lesson import start; start('15'); import torch._dynamo; from kvkernels import _triton"
    bare = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300, env=bare)
