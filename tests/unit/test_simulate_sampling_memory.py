"""What sharing saves: counted on real tables, held against what can be worked out by hand, and against the paper."""

from __future__ import annotations

import pytest

from labkit.cache.block_pool import BlockPool, CheckedPool
from labkit.cache.block_table import BlockTable
from labkit.cache.copy_on_write import append_cow, fork
from labkit.cache.ref_counts import RefCounts
from labkit.specs.sharing.sampling_memory import (
    ALPACA,
    SHAREGPT,
    Parts,
    beam_search,
    draw_lengths,
    parallel_sampling,
    saving_picture,
)

PARTS = Parts(CheckedPool, RefCounts, BlockTable, fork, append_cow)
FAST = Parts(BlockPool, RefCounts, BlockTable, fork, append_cow)


def test_one_sequence_has_nobody_to_share_with():
    for saving in (parallel_sampling([(20, 30)], 1, PARTS), beam_search([(20, 30)], 1, PARTS)):
        assert saving.percent == 0 and saving.copied == 0 and saving.copied_whole == 0


def test_parallel_sampling_by_hand():
    # 40 tokens: two full blocks are shared by three outputs, and the third block is copied for all but one of them.
    saving = parallel_sampling([(40, 4)], 3, PARTS)
    assert saving.copied == 2 and saving.copied_whole == 6
    assert (saving.listed, saving.held) == (4 * 9, 4 * (2 + 3))
    # 32 tokens end with a block: nothing is copied, every output takes a block of its own.
    saving = parallel_sampling([(32, 1)], 3, PARTS)
    assert saving.copied == 0 and (saving.listed, saving.held) == (9, 2 + 3)


def test_a_prompt_shorter_than_a_block_shares_nothing_for_long():
    saving = parallel_sampling([(5, 40)], 4, PARTS)
    assert saving.percent == 0 and saving.copied == 3


def test_beams_share_what_they_have_in_common_and_all_is_returned():
    pools = []

    def counted(pool):
        pools.append(pool)
        return RefCounts(pool)

    saving = beam_search([(20, 50), (7, 33)], 4, PARTS._replace(RefCounts=counted))
    assert 0 < saving.held < saving.listed
    assert 0 < saving.copied < saving.copied_whole
    assert all(pool.num_free == pool.num_blocks for pool in pools)


def test_the_same_seed_gives_the_same_beams():
    lengths = draw_lengths(ALPACA, 4)
    assert draw_lengths(ALPACA, 4) == lengths != draw_lengths(ALPACA, 4, seed=7)
    assert beam_search(lengths, 3, FAST) == beam_search(lengths, 3, FAST)


@pytest.mark.parametrize("dataset", [ALPACA, SHAREGPT], ids=lambda dataset: dataset.name)
def test_lengths_have_about_the_means_of_the_paper(dataset):
    lengths = draw_lengths(dataset, 24)
    assert sum(prompt for prompt, _ in lengths) / 24 == pytest.approx(dataset.input_mean, rel=0.1)
    assert sum(output for _, output in lengths) / 24 == pytest.approx(dataset.output_mean, rel=0.1)
    assert min(min(pair) for pair in lengths) >= 1


def test_the_shape_of_the_papers_figure():
    """More outputs save more, beams several times as much as samples, long prompts more than short ones."""
    short = {d.name: draw_lengths(d, 10) for d in (ALPACA, SHAREGPT)}
    sampled = {d: [parallel_sampling(some, n, FAST).percent for n in (2, 4)] for d, some in short.items()}
    beams = {d: [beam_search(some, n, FAST).percent for n in (2, 4)] for d, some in short.items()}
    for d in short:
        assert sampled[d][0] < sampled[d][1] and beams[d][0] < beams[d][1]
        assert beams[d][0] > 2 * sampled[d][0]
    assert sampled[SHAREGPT.name] > sampled[ALPACA.name] and beams[SHAREGPT.name] > beams[ALPACA.name]


def test_the_picture_says_what_is_on_it():
    lengths = [(40, 6)]
    savings = {
        ALPACA.name: {
            "parallel sampling": {2: parallel_sampling(lengths, 2, FAST)},
            "beam search": {2: beam_search(lengths, 2, FAST)},
        }
    }
    picture = saving_picture(savings, [ALPACA])
    assert "parallel sampling" in repr(picture) and "paper: 6.1 to 9.8 %" in repr(picture)
    assert picture._repr_png_().startswith(b"\x89PNG")
