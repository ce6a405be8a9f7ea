"""What is asked of the model, and what comes back token by token."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from labkit.errors import GenerationError
from labkit.serving.generation import Generation
from labkit.serving.sampling import GREEDY, Sampling


@dataclass(frozen=True)
class Request:
    """What to generate from.

    Args:
        name: unique among the requests that share a cache; keys the random numbers, together with the seed.
        prompt_ids: at least one token.
        max_new_tokens: most tokens to generate.
        sampling: how tokens are chosen.
        stop_ids: tokens that end the text.
    """

    name: str
    prompt_ids: list[int]
    max_new_tokens: int = 64
    sampling: Sampling = GREEDY
    stop_ids: frozenset[int] = frozenset()


@dataclass(frozen=True)
class NewToken:
    """One token of one request, as it is made; `text` is "" in the middle of a character."""

    generation: Generation
    token: int
    text: str


def check(request: Request, names: Collection[str], vocab_size: int, limit: int) -> None:
    """Refuse a request that makes no sense.

    Args:
        names: those that are taken.
        limit: most tokens that the model can read, prompt and answer together.

    Raises:
        GenerationError: a name that is taken, or a prompt that is empty, too long, or no tokens of the model.
    """
    name, prompt = request.name, request.prompt_ids
    if name in names:
        raise GenerationError(f"A request named {name!r} is here already: give each its own name.")
    if not prompt:
        raise GenerationError(f"The prompt of request {name} has no tokens: give at least one character.")
    if len(prompt) >= limit:
        raise GenerationError(
            f"The prompt of request {name} has {len(prompt)} tokens, but with its answer it "
            f"must fit into the {limit} that the model can read: shorten it."
        )
    for token in prompt:
        if not 0 <= token < vocab_size:
            raise GenerationError(
                f"The prompt of request {name} holds token {token}, but the model has tokens 0 to "
                f"{vocab_size - 1}: encode it with the model's own tokenizer."
            )
