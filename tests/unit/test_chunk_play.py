"""The picture of lesson 14, what its cells count, and the references of its exercises."""

from __future__ import annotations

import pytest
import torch

from labkit.attention.chunked import causal_window_mask, chunk_prefill
from labkit.errors import LabkitError
from labkit.specs.prefill_and_chunks.referees import dense_chunks
from labkit.specs.prefill_and_chunks.scenes import (
    CUTS,
    in_eight_bits,
    one_prompt,
    pages_after_a_write,
    with_extras,
    work_of_a_chunk,
)
from labkit.widgets import ChunkPlay
from labkit.widgets.chunk_play import PAGE, SIZES, TOKENS, WINDOWS


def test_what_it_counts_is_what_the_mask_says():
    board = ChunkPlay()
    for size in SIZES:
        for window in WINDOWS:
            chunks = board.answers[f"{size}/{window}"]
            assert [chunk["first"] for chunk in chunks] == [*range(0, TOKENS, size)]
            for chunk in chunks:
                first, new = chunk["first"], chunk["stop"] - chunk["first"]
                mask = causal_window_mask(first, new, window or None)
                keys = mask.any(dim=0).nonzero().flatten().tolist()
                assert chunk["past"] + chunk["own"] == len(keys) and chunk["low"] == keys[0]
                assert chunk["from"] == keys[0] // PAGE * PAGE and chunk["to"] - PAGE < chunk["stop"] <= chunk["to"]
                assert chunk["cells"] - chunk["masked"] == int(mask.sum())
            assert chunks[-1]["total"]["own"] == TOKENS


def test_its_text_draws_the_mask_and_its_sentences_say_what_is_read():
    text = ChunkPlay(chunk=8, window=3, step=99).text_form()
    assert "  2 ooo-----" in text and "  9     ---poo------" in text
    assert "Chunk 1 brings tokens 8 to 15 and reads 2 keys of earlier chunks and 8 of its own." in text
    assert (
        ChunkPlay(step=99).step == 4 and ChunkPlay(chunk=16).answers["16/0"][0]["say"].count("no key of earlier") == 1
    )


@pytest.mark.parametrize(("more", "why"), [({"chunk": 7}, "chunk is 7"), ({"window": 2}, "window is 2")])
def test_it_refuses_what_cannot_be_chosen(more: dict[str, int], why: str):
    with pytest.raises(LabkitError, match=why):
        ChunkPlay(**more)


@pytest.mark.parametrize("window", [None, 1, 3])
def test_chunks_of_several_sequences_are_what_token_by_token_gives(window: int | None):
    from labkit.specs.prefill_and_chunks import ChunkPrefill

    args = {"block_size": 4, "kv_heads": 2, "group": 2, "head_dim": 3, "window": window}
    given = ChunkPrefill().decode({**args, "chunks": [[3, 5], [0, 2], [1, 6], [4, 0]]})
    assert torch.allclose(chunk_prefill(**given), dense_chunks(*given.values()))


def test_any_cut_of_the_prompt_of_the_lesson_gives_its_rows():
    q, k_cache, v_cache, table = one_prompt(100)
    whole = chunk_prefill(q, k_cache, v_cache, table, torch.tensor([100]), torch.tensor([0, 100]))
    for cuts in CUTS.values():
        assert sum(cuts) == 100
        end = 0
        for n in cuts:
            end += n
            where = (table, torch.tensor([end]), torch.tensor([0, n]))
            rows = chunk_prefill(q[end - n : end], k_cache, v_cache, *where)
            assert (rows - whole[end - n : end]).abs().max() < 100 * 2.0**-23 * 2


def test_the_eight_bits_of_the_lesson_are_those_that_the_kernel_writes():
    kvkernels = pytest.importorskip("kvkernels._triton") and __import__("kvkernels")
    torch.manual_seed(0)
    new = torch.randn(5, 2, 16)
    scale = new.abs().amax(dim=(0, 2)) / 127
    pages = torch.zeros(2, 4, 2, 16, dtype=torch.int8)
    where = torch.tensor([0, 1, 2, 3, 4])
    kvkernels.write_kv(new, new, pages, pages.clone(), where, k_scale=scale, v_scale=scale)
    shown = in_eight_bits(torch.nn.functional.pad(new, (0, 0, 0, 0, 0, 3)).view(2, 4, 2, 16))
    assert torch.allclose(pages.float() * scale[:, None], shown, atol=1e-6)


def test_the_work_of_a_chunk():
    """Two new tokens after three, one head of one number: 4 + 5 cells; 5 keys and values, 2 queries and outputs."""
    work = work_of_a_chunk(2, past=3, q_heads=1, kv_heads=1, head_dim=1)
    assert (work.operations, work.moved, work.intensity) == (36, 28, 36 / 28)


def test_the_pictures_of_the_kernels_say_what_lies_where_or_that_there_is_no_triton(monkeypatch: pytest.MonkeyPatch):
    told = pages_after_a_write([9, -1, 2]).splitlines()
    assert told[0] == "page 0 |  .  .  2  ." and told[2] == "page 2 |  .  0  .  ." and told[3] == "left out: token 1"
    assert with_extras().count("\n") == 4
    monkeypatch.setitem(__import__("sys").modules, "kvkernels._triton", None)
    assert "\n" not in pages_after_a_write([0]) and "\n" not in with_extras()
