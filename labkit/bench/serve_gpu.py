"""A decode step on a GPU, beside the time that reading its bytes takes: the weights once, and keys and values once.

No figures of a GPU are recorded yet.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from labkit.scheduling.config import SchedulerConfig
from labkit.serving.config import ModelConfig
from labkit.serving.llm_engine import LLMEngine
from labkit.serving.loaded import LoadedModel
from labkit.serving.model import LanguageModel
from labkit.serving.request import Request
from labkit.serving.tiny import tiny_tokenizer

OF_FLOOR = 0.6
"""The least share of a step that the floor is to be, for a model of 1B parameters at batch 64 and 2K context."""

LLAMA_1B = ModelConfig(
    model_type="llama",
    vocab_size=128256,
    hidden_size=2048,
    intermediate_size=8192,
    num_hidden_layers=16,
    num_attention_heads=32,
    num_key_value_heads=8,
    head_dim=64,
    max_position_embeddings=8192,
    rms_norm_eps=1e-5,
    rope_theta=500000.0,
    tie_word_embeddings=True,
    eos_token_ids=(),
)
"""The shape of Llama 3.2 1B (config.json of meta-llama/Llama-3.2-1B): how fast it is does not depend on its weights."""


def random_model(config: ModelConfig, device: str, dtype: torch.dtype) -> LoadedModel:
    """A model of that shape with random weights."""
    with torch.device(device):
        model = LanguageModel(config)
    for parameter in model.parameters():
        values = torch.randn(parameter.shape, device=device, dtype=dtype)
        parameter.data = values * 0.02 if parameter.dim() > 1 else torch.ones_like(values)
    made = model.eval().requires_grad_(False)
    return LoadedModel(made, tiny_tokenizer(), name="random weights, 1B", source="a shape")


def bytes_of_step(model: LoadedModel, batch: int, context: int) -> int:
    """What a decode step cannot do without reading: the weights, without an embedding table of which it reads rows, and
    keys and values of everybody.
    """
    config, network = model.config, model.model
    weights = sum(p.numel() * p.element_size() for p in network.parameters())
    table = network.embed_tokens.weight
    weights -= 0 if config.tie_word_embeddings else table.numel() * table.element_size()
    a_token = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * table.element_size()
    return int(weights + batch * context * a_token)


def bench_decode(
    model: LoadedModel, bytes_per_s: float | None, *, batch: int = 64, context: int = 2048, steps: int = 50
) -> dict[str, Any]:
    """The median of whole steps of the engine, and the floor.

    Args:
        bytes_per_s: what reading memory reaches; None, and there is no floor.
        batch: requests that decode.
        context: tokens of each, in the middle of the steps that are timed.
    """
    length = context - steps // 2
    blocks = batch * -(-(length + steps + 8) // 16)
    config = SchedulerConfig(token_budget=8192, seats=batch)
    engine = LLMEngine(model.model, model.tokenizer, num_blocks=blocks, config=config, yours=False, prefix_cache=None)
    chance = torch.Generator().manual_seed(0)
    for i in range(batch):
        prompt = torch.randint(0, model.config.vocab_size, (length,), generator=chance).tolist()
        engine.submit(Request(f"R{i}", prompt, steps + 8))
    while not all(request.decodes for request in engine.scheduler.running) or engine.scheduler.waiting:
        engine.step()
    engine.step()  # records what it needs
    took = []
    for _ in range(steps):
        began = time.perf_counter()
        engine.step()  # its tokens come to the host, so that all of it is over then
        took.append(time.perf_counter() - began)
    step_s, size = statistics.median(took), bytes_of_step(model, batch, context)
    told: dict[str, Any] = {"model": model.name, "batch": batch, "context": context, "step_ms": 1e3 * step_s}
    told |= {"tokens_per_s": batch / step_s, "floor_bytes": size}
    if bytes_per_s:
        told |= {"floor_ms": 1e3 * size / bytes_per_s, "of_floor": size / bytes_per_s / step_s}
    return told


def bench_gpu(model: LoadedModel) -> list[dict[str, Any]]:
    """The course's model, which is bound by launches and host, and one of 1B, on this GPU."""
    from labkit.bench.kernel_timing import Clock, gpu, read_ceiling

    top = read_ceiling(Clock(gpu(), 10))["bytes_per_s"]
    small = LoadedModel(model.model.to("cuda", torch.bfloat16), model.tokenizer, name=model.name, source=model.source)
    return [bench_decode(one, top) for one in (small, random_model(LLAMA_1B, "cuda", torch.bfloat16))]
