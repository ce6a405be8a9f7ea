"""Serving a real language model: weights, tokenizer, model, sampling and the generation loop.

Nothing is imported until it is asked for: `import labkit.serving` pulls in no torch, so that `labkit model info`
answers at once and on a machine where torch is broken.

    from labkit.serving import load

    model = load()
    for piece in model.stream("Why does paging help?", max_new_tokens=60):
        print(piece, end="")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labkit.serving.chat import chat_ids
    from labkit.serving.checkpoint import load_model
    from labkit.serving.config import ModelConfig
    from labkit.serving.generation import Generation
    from labkit.serving.loaded import LoadedModel, load
    from labkit.serving.sampling import GREEDY, Sampling
    from labkit.serving.tokenizer import Tokenizer

_HOME = {
    "GREEDY": "sampling",
    "Generation": "generation",
    "LoadedModel": "loaded",
    "ModelConfig": "config",
    "Request": "request",
    "Sampling": "sampling",
    "Tokenizer": "tokenizer",
    "chat_ids": "chat",
    "load": "loaded",
    "load_model": "checkpoint",
}

__all__ = [
    "GREEDY",
    "Generation",
    "LoadedModel",
    "ModelConfig",
    "Request",
    "Sampling",
    "Tokenizer",
    "chat_ids",
    "load",
    "load_model",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f"labkit.serving.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
