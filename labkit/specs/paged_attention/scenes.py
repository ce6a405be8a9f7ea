"""What only lesson 10 shows: one request, four sequences, and what a gather moves while the model decodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

    from labkit.serving.loaded import LoadedModel


class OneRequest(NamedTuple):
    """One query over a request of 14 tokens: scores [14], values [14, 2], and its block table."""

    scores: Tensor
    values: Tensor
    block_table: list[int]


def one_request() -> OneRequest:
    """A small request whose largest score comes in its third page."""
    import torch

    scores = [0.4, 1.1, -0.6, 0.2, 1.6, 0.9, -1.2, 0.5, 0.3, 2.7, 1.0, -0.4, 0.8, 1.9]
    values = [(-2.0, 1.0), (-1.5, 0.5), (0.0, 1.5), (-1.0, 2.0), (-2.5, 0.0), (-0.5, 1.0), (1.0, 1.0), (0.5, -0.5),
              (1.0, -1.0), (2.5, -2.0), (1.5, -1.5), (0.0, 0.5), (2.0, -0.5), (1.0, -2.5)]  # fmt: skip
    return OneRequest(torch.tensor(scores).double(), torch.tensor(values).double(), [7, 2, 5, 0])


def four_sequences() -> tuple[Tensor, ...]:
    """(q, k_cache, v_cache, block_tables, lengths) of 1, 16, 17 and 100 tokens, with the heads of the model."""
    import random

    import torch

    from labkit.specs.paged_attention.referees import numbers, pages

    lengths = [1, 16, 17, 100]
    k_cache, v_cache, block_tables = pages(lengths, block_size=16, kv_heads=3, head_dim=64)
    return numbers(random.Random(1), 4, 9, 64), k_cache, v_cache, block_tables, torch.tensor(lengths)


class Moved(NamedTuple):
    """Bytes of keys and values for one token that a request generates, in all layers, averaged over its answer."""

    needed: float
    """Of the tokens of the request, each read once."""
    copied: float
    """That the gather has written into its copy."""

    @property
    def moved(self) -> float:
        """The pages are read, the copy is written, and attention reads the copy."""
        return 3 * self.copied


def moved_per_token(model: LoadedModel, prompts: list[list[int]], new: int = 8) -> Moved:
    """Let the model answer prompts together over gathered pages, and count what each decode step moves."""
    from labkit.engine import Parts

    blocks = sum(-(-(len(prompt) + new) // 16) for prompt in prompts)
    cache = model.paged_cache(blocks, 16, parts=Parts(yours=False))
    counts = {"needed": 0, "copied": 0, "tokens": 0}
    read = cache.read

    def counted(layer: int, rectangle: Any) -> tuple[Tensor, Tensor]:
        k, v = read(layer, rectangle)
        if rectangle.num_new == 1:
            one = k[0, 0].numel() * k.element_size()
            counts["needed"] += 2 * int(rectangle.lengths.sum()) * one
            counts["copied"] += 2 * rectangle.num_seqs * rectangle.context * one
            counts["tokens"] += rectangle.num_seqs * (layer == 0)
        return k, v

    cache.read = counted  # type: ignore[method-assign]
    model.generate_many(prompts, max_new_tokens=new, stop=False, cache=cache)
    return Moved(counts["needed"] / counts["tokens"], counts["copied"] / counts["tokens"])
