"""What is asked of the model, and what comes back token by token."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from labkit.cache.checks import whole_number
from labkit.errors import GenerationError
from labkit.serving.generation import Generation
from labkit.serving.sampling import GREEDY, Sampling

MOST_ANSWERS = 128
"""To one request."""


@dataclass(frozen=True)
class Request:
    """What to generate from.

    Args:
        name: unique among the requests that share a cache.
        prompt_ids: at least one token.
        max_new_tokens: most tokens to generate.
        sampling: how tokens are chosen.
        stop_ids: tokens that end the text.
        stop: strings that end the text, which never holds one of them or a part of it.
        n: answers, each with chances of its own.
        logprobs: note the log-probability of each token, and those of so many of the likeliest; None for neither.
        key: keys the random numbers, together with the seed; the name where it is empty.
    """

    name: str
    prompt_ids: list[int]
    max_new_tokens: int = 64
    sampling: Sampling = GREEDY
    stop_ids: frozenset[int] = frozenset()
    stop: tuple[str, ...] = ()
    n: int = 1
    logprobs: int | None = None
    key: str = ""


@dataclass(frozen=True)
class NewToken:
    """One token of one request, as it is made; `text` is "" in the middle of a character."""

    generation: Generation
    token: int
    text: str


def sample_names(request: Request) -> list[str]:
    """The names of its answers: its own, NAME#2, NAME#3, ..."""
    return [request.name, *(f"{request.name}#{i}" for i in range(2, request.n + 1))]


def check(request: Request, names: Collection[str], vocab_size: int, limit: int) -> None:
    """Refuse a request that makes no sense.

    Args:
        names: those that are taken.
        limit: most tokens that the model can read, prompt and answer together.

    Raises:
        GenerationError: a name that is taken, a prompt that is empty, too long, or no tokens of the model, an empty
            stop string, or numbers that cannot be.
    """
    name, prompt = request.name, request.prompt_ids
    if not isinstance(request.stop, tuple) or not all(isinstance(stop, str) and stop for stop in request.stop):
        raise GenerationError(
            f"stop of request {name} is {request.stop!r:.60}, but must be a tuple of strings, none of them empty."
        )
    if whole_number(request.n, f"n of request {name}", at_least=1, error=GenerationError) > MOST_ANSWERS:
        raise GenerationError(f"Request {name} asks for {request.n:,} answers, but may for {MOST_ANSWERS}: ask again.")
    if request.logprobs is not None:
        whole_number(request.logprobs, f"logprobs of request {name}", error=GenerationError)
    for taken in (each for each in sample_names(request) if each in names):
        raise GenerationError(f"A request named {taken!r} is here already: give each its own name.")
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
