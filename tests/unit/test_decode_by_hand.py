"""The toy model of lesson 02, decoding with and without a cache, and the gate of a server."""

from __future__ import annotations

import pytest
import torch

from labkit.attention.decode_by_hand import attend_last, decode_cached, decode_from_scratch
from labkit.attention.grouped import grouped_attention
from labkit.attention.toy_model import ToyModel
from labkit.cache.gate import Gate
from labkit.grading.judge import Judge
from labkit.grading.solutions import solutions
from labkit.grading.source import Source
from labkit.specs import exercise


@pytest.mark.parametrize("heads", [(4, 2), (4, 1), (2, 2), (6, 3)])
@pytest.mark.parametrize("prompt", [[3], [5, 5, 5], [3, 1, 4, 1, 5, 9]])
def test_a_cache_changes_no_token_and_computes_each_once(heads: tuple[int, int], prompt: list[int]) -> None:
    for seed in range(5):
        forgetful, keeping = ToyModel(seed, *heads), ToyModel(seed, *heads)
        assert decode_cached(keeping, prompt, 8) == decode_from_scratch(forgetful, prompt, 8)
        assert keeping.num_projected == len(prompt) + 7
        assert forgetful.num_projected == 8 * len(prompt) + 28


def test_no_new_tokens_compute_nothing() -> None:
    model = ToyModel()
    assert decode_cached(model, [1, 2], 0) == [] and model.num_projected == 0


def test_attend_last_is_the_grouped_attention_that_serves() -> None:
    random = torch.Generator().manual_seed(0)
    q, K, V = (torch.randn(*s, generator=random, dtype=torch.float64) for s in ((6, 4), (5, 2, 4), (5, 2, 4)))
    served = grouped_attention(q[None, None], K[None], V[None], None)[0, 0]
    torch.testing.assert_close(attend_last(q, K, V), served)


@pytest.mark.parametrize("edit", [("K[:, kv], V[:, kv]", "K[:, kv], V[:, h % K.shape[1]]"), ("h // group", "h % 3")])
def test_where_the_keys_tell_no_heads_apart_it_is_the_values_that_come_from_another(edit: tuple[str, str]) -> None:
    text, spec = solutions("02")["attend_last"], exercise("02", "attend_last").spec
    assert text.count(edit[0]) == 1
    source = Source(spec, text.replace(*edit), "<exercise attend_last>")
    message = Judge(spec, source.namespace).verdict().message
    assert message.endswith("query head 1 reads KV head 0. Yours takes its values from KV head 1.")


def test_a_position_changes_what_is_computed() -> None:
    model = ToyModel()
    assert not torch.equal(model.project([3], 0)[1], model.project([3], 1)[1])
    torch.testing.assert_close(model.project([7, 3], 0)[1][1:], model.project([3], 1)[1])


@pytest.mark.parametrize(("tokens", "start", "error"), [(3, 0, TypeError), ([], 0, ValueError), ([99], 0, ValueError),
                                                        ([3], -1, ValueError)])  # fmt: skip
def test_what_is_no_list_of_tokens_is_refused_and_not_counted(tokens: object, start: int, error: type) -> None:
    model = ToyModel()
    with pytest.raises(error):
        model.project(tokens, start)
    assert model.num_projected == 0


def test_whoever_is_let_in_may_start() -> None:
    for blocks in range(1, 20):
        gate = Gate(blocks, full_layers=1, window_layers=2, window=20)
        for tokens in range(1, 120):
            needed = -(-tokens // 16) + 2 * -(-min(tokens, 20) // 16)
            assert gate.accepts(tokens) == gate.starts(tokens) == (needed <= blocks)
