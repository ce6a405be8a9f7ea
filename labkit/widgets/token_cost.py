"""TokenCost: a sentence whose numbers can be dragged, from the bytes of one token to the requests that fit on a GPU."""

from __future__ import annotations

from typing import Any, ClassVar

import traitlets

from labkit.cache.geometry import (
    MODELS,
    GiB,
    gpu_counts,
    kv_bytes_per_sequence,
    kv_bytes_per_token,
    kv_heads_per_gpu,
    model,
    start_up,
)
from labkit.errors import GeometryError
from labkit.widgets.base import LabWidget

KiB, MiB = 2**10, 2**20
BLOCK_SIZE = 16
MOST_SEAMS = 150
"""Requests that are drawn one by one; the seams of more would be a grey blur."""
PEAK_GIB = 2
"""What the largest step is taken to need beside the weights. An engine measures it; this is a round number."""

CHOICES: dict[str, list[Any]] = {
    "model": list(MODELS),
    "bytes_per_value": [1, 2],
    "gpus": [1, 2, 4, 8, 16],
    "gpu_gib": [16, 24, 40, 48, 80, 96, 141, 192],
    "share": [0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.92, 0.95],
    "context": [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072],
}
"""What each number in the sentence can be."""


class TokenCost(LabWidget):
    """A calculator in a sentence: choose model, number format, GPUs, share and context; bytes, blocks, requests follow.

    The arithmetic is `labkit.cache.geometry`, run here in Python: the page only shows it.

    Args:
        model, bytes_per_value, gpus, gpu_gib, share, context: what the sentence says at first; values of `CHOICES`.
    """

    _name: ClassVar[str] = "token_cost"

    choices = traitlets.Dict().tag(sync=True)
    choice = traitlets.Dict().tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        model: str = "Llama-3.1-8B",
        bytes_per_value: int = 2,
        gpus: int = 1,
        gpu_gib: int = 80,
        share: float = 0.9,
        context: int = 8192,
    ) -> None:
        choice = {
            "model": model,
            "bytes_per_value": bytes_per_value,
            "gpus": gpus,
            "gpu_gib": gpu_gib,
            "share": share,
            "context": context,
        }
        for name, value in choice.items():
            if value not in CHOICES[name]:
                raise GeometryError(f"{name} is {value!r}; choose one of {', '.join(map(str, CHOICES[name]))}.")
        super().__init__(choices=CHOICES, choice=choice, answer=answer_for(choice))

    @traitlets.observe("choice")
    def _changed(self, change: dict[str, Any]) -> None:
        self.answer = answer_for(change["new"])

    def summary(self) -> str:
        a, c = self.answer, self.choice
        start = f"TokenCost({c['model']}, {c['gpus']} x {c['gpu_gib']} GiB, {c['context']:,} tokens: "
        return start + (a["problem"] if a["problem"] else f"{a['token']} per token, {a['requests']} requests") + ")"


def answer_for(choice: dict[str, Any]) -> dict[str, Any]:
    """What follows from a choice, as texts and shares ready to be shown. `for` repeats the choice it answers."""
    shape = model(choice["model"])
    per_value, gpus, context = int(choice["bytes_per_value"]), int(choice["gpus"]), int(choice["context"])
    gpu_bytes = int(choice["gpu_gib"]) * GiB
    out: dict[str, Any] = {
        "for": dict(choice), "problem": "", "token": "", "blocks": "", "tokens": "", "each": "", "requests": "",
        "each_share": 1.0, "crowd": "", "cache": "", "weights": "", "peak": f"{PEAK_GIB} GiB", "parts": [],
    }  # fmt: skip
    if shape.latent_dim:
        kept = f"one latent vector of {shape.latent_dim} numbers per layer"
    else:
        kept = f"{shape.num_kv_heads} KV {'head' if shape.num_kv_heads == 1 else 'heads'} of {shape.head_dim}"
    out["shape"] = f"{shape.num_layers} layers, {shape.num_query_heads} query heads, {kept} ({shape.attention})"
    if shape.window_tokens:
        out["shape"] += f", {shape.num_window_layers} layers keep {shape.window_tokens:,} tokens at most"
    possible = gpu_counts(shape, CHOICES["gpus"])
    if gpus not in possible:
        kv_heads = f"{shape.num_kv_heads} KV head{'s' * (shape.num_kv_heads != 1)}"
        out["problem"] = (
            f"{shape.name} has {shape.num_query_heads} query heads and {kv_heads}, which {gpus} GPUs cannot share "
            f"evenly. Of the numbers offered here, {_listed(possible)}."
        )
        return out
    try:
        heads_each = kv_heads_per_gpu(shape, gpus)
        plan = start_up(shape, gpu_bytes, activation_peak_bytes=PEAK_GIB * GiB, memory_share=float(choice["share"]),
                        block_size=BLOCK_SIZE, bytes_per_value=per_value, tensor_parallel=gpus)  # fmt: skip
    except GeometryError as error:
        out["problem"] = str(error)
        return out
    token = kv_bytes_per_token(shape, per_value, gpus)
    each = kv_bytes_per_sequence(shape, context, per_value, gpus, BLOCK_SIZE)
    if gpus > 1 and shape.latent_dim:
        out["shape"] += "; every GPU keeps the whole vector"
    elif gpus > 1:
        copies = gpus * heads_each // shape.num_kv_heads
        out["shape"] += f"; {heads_each} on each GPU" + (f", each head kept {copies} times" if copies > 1 else "")
    out.update(token=size_text(token), weights=size_text(plan.weights_bytes), each=size_text(each))
    if plan.weights_bytes + plan.activation_peak_bytes > plan.usable_bytes:
        needed = size_text(plan.weights_bytes + plan.activation_peak_bytes)
        out["problem"] = (
            f"Weights and largest step need {needed} of each GPU, which is more than the "
            f"{size_text(plan.usable_bytes)} that may be used."
        )
        return out
    requests = plan.max_concurrency(context)
    out.update(
        blocks=f"{plan.num_blocks:,}", tokens=f"{plan.num_slots:,}", cache=size_text(plan.kv_cache_bytes),
        requests=f"{requests:,.1f}" if requests < 100 else f"{requests:,.0f}", each_share=each / gpu_bytes,
    )  # fmt: skip
    if requests > MOST_SEAMS:
        out["crowd"] = "too many requests to draw one by one"
    if context > shape.max_context_tokens:
        out["note"] = f"{shape.name} was made for {shape.max_context_tokens:,} tokens at most."
    rest = gpu_bytes - plan.weights_bytes - plan.activation_peak_bytes - plan.kv_cache_bytes
    out["parts"] = [
        {"kind": kind, "size": size_text(size), "share": size / gpu_bytes, "words": words}
        for kind, size, words in (
            ("weights", plan.weights_bytes, "weights"),
            ("peak", plan.activation_peak_bytes, "kept free for the largest step"),
            (
                "cache",
                plan.kv_cache_bytes,
                f"keys and values; one request of {context:,} tokens takes {size_text(each)}"
                + (f" ({out['crowd']})" if out["crowd"] else ""),
            ),
            ("rest", rest, "left to others"),
        )
    ]
    return out


def _listed(counts: list[int]) -> str:
    if len(counts) == 1:
        return f"only {counts[0]} can"
    return f"{', '.join(map(str, counts[:-1]))} and {counts[-1]} can"


def size_text(size: int) -> str:
    """Bytes in the unit that leaves a number people can read."""
    for unit, word in ((GiB, "GiB"), (MiB, "MiB"), (KiB, "KiB")):
        if size >= unit:
            value = size / unit
            return f"{value:,.0f} {word}" if value == int(value) or value >= 1000 else f"{value:,.1f} {word}"
    return f"{size} B"
