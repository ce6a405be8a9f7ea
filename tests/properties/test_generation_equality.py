"""Our greedy text is that of transformers with the same weights, however memory and steps are cut."""

from __future__ import annotations

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_oracle import gguf_root, greedy_oracle, make_checkpoint, near_ties, oracle, real_model_dir

from labkit.cache.block_pool import BlockPool
from labkit.scheduling.config import SchedulerConfig
from labkit.serving import load
from labkit.serving.checkpoint import load_model
from labkit.serving.request import Request

__all__ = ["gguf_root", "real_model_dir"]  # fixtures: pytest finds them here by name

CHECKPOINTS = {
    "llama": ("llama", {}),
    "llama tied": ("llama", {"tie_word_embeddings": True}),
    "llama one kv head": ("llama", {"num_key_value_heads": 1}),
    "llama all kv heads": ("llama", {"num_key_value_heads": 6}),
    "llama with biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama 3.1 rotary": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 4.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
    ),
    "qwen3": ("qwen3", {"head_dim": 24}),
    "qwen3 tied": ("qwen3", {"head_dim": 16, "tie_word_embeddings": True}),
}
PROMPTS = [list(range(5, 5 + n)) for n in (1, 7, 16, 17, 40)]
"""Lengths around the edges of blocks of 4 and 16."""
NEW_TOKENS = 20
FLOAT64_BOUND = 1e-8
"""A lead below which two fp64 programs may disagree about the highest logit."""


@pytest.fixture(scope="module", params=CHECKPOINTS)
def checkpoint(request, tmp_path_factory):
    """A checkpoint in fp64 on both sides, with the oracle's answers to `PROMPTS`."""
    kind, changes = CHECKPOINTS[request.param]
    folder = make_checkpoint(tmp_path_factory.mktemp("checkpoint"), kind, **changes)
    theirs = oracle(folder, torch.float64)
    return load(folder, dtype=torch.float64), theirs, [greedy_oracle(theirs, p, NEW_TOKENS) for p in PROMPTS]


def answers_equal(answers, expected, bound=FLOAT64_BOUND) -> None:
    notes = [
        note
        for answer, (tokens, gaps) in zip(answers, expected, strict=True)
        for note in near_ties(answer.token_ids, tokens, gaps, bound)
    ]
    print(f"{len(notes)} near ties", *notes, sep="\n")
    assert len(notes) <= 1, "near ties are rare; so many of them mean that logits drift"


def memory(model, which: str, block_size: int, tokens: int, sequences: int):
    """A cache for `sequences` of at most `tokens` tokens, with the reference pool and table."""
    if which == "contiguous":
        return model.contiguous_cache(sequences, tokens)
    if which == "none":
        return "none"
    blocks = sequences * -(-tokens // block_size)
    cache = model.paged_cache(blocks, block_size, pool=BlockPool(blocks))
    # What a slot holds before its first token must never matter.
    cache.k.fill_(float("nan"))
    cache.v.fill_(float("nan"))
    return cache


@pytest.mark.parametrize(
    ("which", "block_size", "prefill_chunk"),
    [
        ("paged", 1, 512),
        ("paged", 4, 512),
        ("paged", 16, 512),
        ("paged", 4, 1),
        ("paged", 4, 3),
        ("paged", 16, 16),
        ("contiguous", 0, 512),
        ("contiguous", 0, 5),
        ("none", 0, 512),
    ],
)
def test_a_batch_equals_transformers(checkpoint, which, block_size, prefill_chunk):
    model, _, expected = checkpoint
    cache = memory(model, which, block_size, 60, len(PROMPTS))
    answers = model.generate_many(
        PROMPTS, cache=cache, max_new_tokens=NEW_TOKENS, stop=False, prefill_chunk=prefill_chunk
    )
    answers_equal(answers, expected)


def test_one_at_a_time_equals_transformers(checkpoint):
    model, _, expected = checkpoint
    cache = memory(model, "paged", 4, 60, 1)
    answers = [model.generate(prompt, cache=cache, max_new_tokens=NEW_TOKENS, stop=False) for prompt in PROMPTS]
    answers_equal(answers, expected)
    assert cache.manager.num_free == cache.num_blocks


def test_logits_equal_transformers(checkpoint):
    model, theirs, _ = checkpoint
    tokens = torch.randint(0, model.config.vocab_size, (90,), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = theirs(tokens[None]).logits[0]
    seen = model.model(tokens, last_only=False)
    assert seen.std() > 0.1, "logits that are all alike would be equal to anything"
    torch.testing.assert_close(seen, expected, rtol=1e-8, atol=1e-8)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_cutting_changes_nothing(checkpoint, data):
    """Any cut of several texts into steps, through any block size, gives the logits of one pass without a cache."""
    model = checkpoint[0].model
    vocabulary = st.integers(0, model.config.vocab_size - 1)
    texts = data.draw(st.lists(st.lists(vocabulary, min_size=1, max_size=40), min_size=1, max_size=4), "texts")
    block_size = data.draw(st.sampled_from([1, 2, 3, 5, 8, 16]), "block size")
    kind = data.draw(st.sampled_from(["paged", "contiguous"]), "cache")
    cache = memory(checkpoint[0], kind, block_size, 40, len(texts))
    names = [chr(ord("A") + i) for i in range(len(texts))]
    done = [0] * len(texts)
    seen: dict[str, torch.Tensor] = {}
    while any(d < len(t) for d, t in zip(done, texts, strict=True)):
        left = [i for i, t in enumerate(texts) if done[i] < len(t)]
        order = data.draw(st.permutations(left), "order")
        cuts = [data.draw(st.integers(1, len(texts[i]) - done[i]), "new tokens") for i in order]
        tokens = []
        for i, n in zip(order, cuts, strict=True):
            assert cache.extend(names[i], texts[i][done[i] : done[i] + n])
            tokens += texts[i][done[i] : done[i] + n]
            done[i] += n
        logits = model(torch.tensor(tokens), cache, cache.plan([names[i] for i in order], cuts))
        seen |= {names[i]: row for i, row in zip(order, logits, strict=True)}
    for name, text in zip(names, texts, strict=True):
        torch.testing.assert_close(seen[name], model(torch.tensor(text))[0], rtol=1e-9, atol=1e-9)


def test_sharded_checkpoints_load(tmp_path):
    whole = make_checkpoint(tmp_path / "whole", "qwen3", seed=3)
    shards = make_checkpoint(tmp_path / "shards", "qwen3", seed=3, shard="60KB")
    assert len(list(shards.glob("*.safetensors"))) > 1
    tokens = torch.tensor(PROMPTS[3])
    assert torch.equal(load_model(whole, torch.float64)(tokens), load_model(shards, torch.float64)(tokens))


SMOL_PROMPTS = [
    "What is the capital of France?",
    "Explain in two sentences why operating systems use pages.",
    "Write a Python function that adds two numbers.",
    "List three fruits.",
]
SMOL_BOUND = 2e-3
"""fp32 on both sides. Logits reach 30, and thirty layers of sums in another order move them by some 1e-4."""


@pytest.fixture(scope="module")
def smollm2(real_model_dir):
    """The real model in fp32, prompts, and what transformers answers to them."""
    model = load(real_model_dir, dtype=torch.float32)
    theirs = oracle(real_model_dir, torch.float32)
    prompts = [model.prompt_ids(prompt) for prompt in SMOL_PROMPTS]
    return model, prompts, [greedy_oracle(theirs, prompt, 16) for prompt in prompts]


def test_smollm2_equals_transformers(smollm2):
    model, prompts, expected = smollm2
    for which in ("paged", "contiguous"):
        cache = memory(model, which, 16, 96, len(prompts))
        answers = model.generate_many(prompts, cache=cache, max_new_tokens=16, stop=False)
        answers_equal(answers, expected, SMOL_BOUND)
    assert "Paris" in answers[0].text


@pytest.mark.parametrize("way", ["recompute", "swap"])
def test_the_engine_says_what_transformers_says_of_smollm2(smollm2, way):
    """A small mix on too little memory: chunks, a prompt that is found, a preemption."""
    model, prompts, expected = smollm2
    knobs = {"token_budget": 24, "longest_chunk": 5, "preemption": way, "host_blocks": 18 * (way == "swap")}
    engine = model.engine(18, 4, config=SchedulerConfig(**knobs))
    for i, prompt in enumerate(prompts + prompts[:2]):
        engine.submit(Request(f"R{i}", prompt, 16))
    for _ in engine.stream():
        pass
    answers_equal(engine.answers.values(), expected + expected[:2], SMOL_BOUND)
    counters = engine.cache.manager.counters
    assert counters.preemptions and counters.hit_tokens and engine.cache.manager.num_held == 0


def test_smollm2_in_bf16_stays_close(real_model_dir):
    """Teacher-forced: on the same text, bf16 logits stay within a bound of fp32 ones, and mostly agree on the best."""
    wide, narrow = load(real_model_dir, dtype=torch.float32), load(real_model_dir, dtype=torch.bfloat16)
    tokens = torch.tensor(wide.prompt_ids(SMOL_PROMPTS[1]))
    a = wide.model(tokens, last_only=False)
    b = narrow.model(tokens, last_only=False).float()
    a, b = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    error = (a - b).square().mean().sqrt() / a.square().mean().sqrt()
    assert error < 0.05, f"bf16 logits are off by {error:.1%} of their size"
    assert (a.argmax(-1) == b.argmax(-1)).float().mean() > 0.85
