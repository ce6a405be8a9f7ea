"""Sizes against published configurations, worked by hand, and start-up sizing."""

from __future__ import annotations

import pytest

from labkit.cache.geometry import (
    MODELS,
    GiB,
    ModelShape,
    blocks_that_fit,
    kv_bytes,
    kv_bytes_per_sequence,
    kv_bytes_per_token,
    kv_heads_per_gpu,
    latent_bytes,
    model,
    start_up,
)
from labkit.errors import GeometryError


@pytest.mark.parametrize(
    ("name", "attention", "a_token"),
    [
        ("SmolLM2-135M", "GQA", 2 * 30 * 3 * 64 * 2),
        ("Llama-2-7B", "MHA", 512 * 1024),
        ("Falcon-7B", "MQA", 8 * 1024),
        ("Mistral-7B-v0.1", "GQA", 128 * 1024),
        ("Llama-3.1-8B", "GQA", 128 * 1024),
        ("Qwen3-8B", "GQA", 144 * 1024),
        ("Gemma-2-9B", "GQA", 336 * 1024),
        ("Llama-3.1-70B", "GQA", 320 * 1024),
        ("DeepSeek-V3", "MLA", 70_272),
    ],
)
def test_bytes_per_token_of_real_models(name, attention, a_token):
    shape = MODELS[name]
    assert (shape.attention, kv_bytes_per_token(shape)) == (attention, a_token)
    assert kv_bytes_per_token(shape, bytes_per_value=1) == a_token // 2
    assert shape.source


# (hidden, intermediate, vocabulary, tied embeddings, norms of width hidden a layer, norms of width head_dim a layer)
LLAMA_LIKE = {
    "SmolLM2-135M": (576, 1536, 49_152, True, 2, 0),
    "Llama-2-7B": (4096, 11_008, 32_000, False, 2, 0),
    "Mistral-7B-v0.1": (4096, 14_336, 32_000, False, 2, 0),
    "Llama-3.1-8B": (4096, 14_336, 128_256, False, 2, 0),
    "Qwen3-8B": (4096, 12_288, 151_936, False, 2, 2),
    "Gemma-2-9B": (3584, 14_336, 256_000, True, 4, 0),
    "Llama-3.1-70B": (8192, 28_672, 128_256, False, 2, 0),
}


@pytest.mark.parametrize("name", LLAMA_LIKE)
def test_weights_follow_from_the_configuration(name):
    shape = MODELS[name]
    hidden, intermediate, vocabulary, tied, norms, head_norms = LLAMA_LIKE[name]
    query, kv = shape.num_query_heads * shape.head_dim, shape.num_kv_heads * shape.head_dim
    layer = 2 * hidden * (query + kv) + 3 * hidden * intermediate + norms * hidden + head_norms * shape.head_dim
    parameters = shape.num_layers * layer + hidden + (1 if tied else 2) * vocabulary * hidden
    assert shape.weights_bytes == 2 * parameters


def test_weights_of_falcon_follow_from_its_configuration():
    hidden = 71 * 64
    layer = hidden * (hidden + 2 * 64) + hidden * hidden + 8 * hidden * hidden + 2 * hidden
    assert MODELS["Falcon-7B"].weights_bytes == 2 * (32 * layer + 2 * hidden + 65_024 * hidden)


@pytest.mark.parametrize("bad", [0, -1, 1.5, "8"])
def test_sizes_are_whole_numbers(bad):
    with pytest.raises(GeometryError):
        kv_bytes(32, bad, 128)
    with pytest.raises(GeometryError):
        latent_bytes(61, 576, bad)


def test_tensor_parallel_divides_heads_until_each_gpu_has_one():
    shape = model("llama-3.1-8b")
    assert [kv_heads_per_gpu(shape, gpus) for gpus in (1, 2, 4, 8, 16, 32)] == [8, 4, 2, 1, 1, 1]
    assert kv_bytes_per_token(shape, tensor_parallel=8) == kv_bytes_per_token(shape, tensor_parallel=16)
    assert kv_bytes_per_token(shape, tensor_parallel=8) * 8 == kv_bytes_per_token(shape)


def test_a_latent_vector_is_kept_whole_on_every_gpu():
    shape = model("DeepSeek-V3")
    assert kv_bytes_per_token(shape, tensor_parallel=8) == kv_bytes_per_token(shape)


@pytest.mark.parametrize(
    ("name", "gpus"), [("Llama-3.1-8B", 3), ("Falcon-7B", 2), ("Llama-3.1-8B", 0), ("DeepSeek-V3", 3)]
)
def test_heads_that_do_not_divide_are_an_error(name, gpus):
    with pytest.raises(GeometryError):
        kv_bytes_per_token(model(name), tensor_parallel=gpus)


def test_kv_heads_that_neither_divide_nor_are_divided_are_an_error():
    shape = ModelShape("odd", 1, 12, 3, 64, weights_bytes=0, max_context_tokens=1)
    assert kv_heads_per_gpu(shape, 6) == 1
    with pytest.raises(GeometryError, match="evenly"):
        kv_heads_per_gpu(shape, 4)


def test_windows_bound_what_a_sequence_holds():
    mistral = model("Mistral-7B-v0.1")
    a_token = kv_bytes_per_token(mistral)
    assert kv_bytes_per_sequence(mistral, 1000) == 1000 * a_token
    assert kv_bytes_per_sequence(mistral, 32_768) == 4096 * a_token
    gemma = model("Gemma-2-9B")
    assert kv_bytes_per_sequence(gemma, 8192) == (8192 + 4096) // 2 * kv_bytes_per_token(gemma)


def test_a_sequence_holds_whole_blocks():
    shape = model("Llama-3.1-8B")
    assert kv_bytes_per_sequence(shape, 17, block_size=16) == 32 * kv_bytes_per_token(shape)


def test_blocks_that_fit():
    assert blocks_that_fit(1000, 0.9, 300, 100, 50) == 10
    assert blocks_that_fit(1000, 0.9, 300, 101, 50) == 9
    assert blocks_that_fit(1000, 0.9, 900, 0, 50) == 0
    assert blocks_that_fit(1000, 0.9, 2000, 0, 50) == 0
    for bad in ((1000, 0, 1, 1, 1), (1000, 1.1, 1, 1, 1), (1000, 0.9, -1, 1, 1), (1000, 0.9, 1, 1, 0)):
        with pytest.raises(GeometryError):
            blocks_that_fit(*bad)


def test_start_up_of_an_8b_model_on_80_gib():
    plan = start_up(model("Llama-3.1-8B"), 80 * GiB, activation_peak_bytes=2 * GiB)
    assert plan.block_bytes == 16 * 128 * 1024 == 2 * 2**20
    left = int(80 * GiB * 0.9) - 2 * 8_030_261_248 - 2 * GiB
    assert plan.num_blocks == left // plan.block_bytes
    assert plan.num_slots == plan.num_blocks * 16
    assert plan.kv_cache_bytes <= left < plan.kv_cache_bytes + plan.block_bytes
    assert plan.max_concurrency(8192) == pytest.approx(plan.num_slots / 8192)
    assert plan.max_concurrency(8192) == pytest.approx(2 * plan.max_concurrency(16_384))


def test_two_gpus_hold_more_than_twice_as_much():
    one, two = (
        start_up(model("Llama-3.1-8B"), 24 * GiB, activation_peak_bytes=GiB, tensor_parallel=gpus) for gpus in (1, 2)
    )
    assert two.num_slots > 2 * one.num_slots  # each also has half the weights


def test_a_model_too_large_for_the_gpu_has_no_blocks():
    plan = start_up(model("Llama-3.1-70B"), 80 * GiB, activation_peak_bytes=GiB)
    assert (plan.num_blocks, plan.max_concurrency(1024)) == (0, 0)


def test_unknown_models_and_impossible_shapes_are_errors():
    with pytest.raises(GeometryError, match="Mistral"):
        model("Llama-9")
    with pytest.raises(GeometryError, match="equally many"):
        ModelShape("odd", 1, 10, 4, 64, weights_bytes=0, max_context_tokens=1)
    with pytest.raises(GeometryError, match="window"):
        ModelShape("odd", 2, 4, 4, 64, weights_bytes=0, max_context_tokens=1, num_window_layers=1)
