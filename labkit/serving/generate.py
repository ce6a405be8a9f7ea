"""The loop that makes text: compute the prompt once, then one token per step, through a KV cache.

This is the plain loop, without a scheduler: all its requests start together and nobody waits. Running out of room is
an answer here, not an error: the sequence that finds none ends with what it has, and the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import torch

from labkit.attention.kv_cache import KVCache
from labkit.errors import GenerationError
from labkit.serving.generation import Generation
from labkit.serving.growing import Growing
from labkit.serving.model import LanguageModel
from labkit.serving.request import NewToken, Request, check
from labkit.serving.sampling import sample
from labkit.serving.tokenizer import Tokenizer

__all__ = ["PREFILL_CHUNK", "NewToken", "Request", "run"]

PREFILL_CHUNK = 512
"""Most prompt tokens computed in one step. Attention's score matrix grows with chunk times context: in chunks, a
prompt of 8,000 tokens needs a sixteenth of the memory that it would need at once."""


def run(
    model: LanguageModel,
    tokenizer: Tokenizer,
    requests: Sequence[Request],
    cache: KVCache | None,
    *,
    answers: list[Generation] | None = None,
    prefill_chunk: int = PREFILL_CHUNK,
    release: bool = True,
) -> Iterator[NewToken]:
    """Generate for all `requests` together, yielding every token as it is made.

    Args:
        cache: where keys and values live; None computes everything again in every step.
        answers: if given, receives one `Generation` a request, in their order, before the first token.
        prefill_chunk: most prompt tokens computed in one step.
        release: give the memory of the sequences back at the end. (On an error, or when the iterator is closed
            early, it is given back in any case.)

    Raises:
        GenerationError: a prompt that is empty or longer than the model can read, a name used twice or already in
            the cache (all before anything is computed), or logits that are not finite.
    """
    limit = model.config.max_position_embeddings
    names: set[str] = set()
    for request in requests:
        if cache is not None and cache.length(request.name):
            names.add(request.name)
        check(request, names, model.config.vocab_size, limit)
        if request.n > 1 or request.logprobs is not None:
            raise GenerationError(
                f"Request {request.name} asks for several answers or for log-probabilities, which the plain loop does "
                "not give: submit it to an engine (`LoadedModel.engine`)."
            )
        names.add(request.name)
    growing = [Growing(request, tokenizer, limit) for request in requests]
    if answers is not None:
        answers.extend(g.answer for g in growing)
    finished = False
    given_back = cache if release else None
    try:
        active: list[Growing] = []
        for g in growing:
            token = _first(model, cache, g, prefill_chunk)
            if token is not None:
                yield g.take(token)
            if _goes_on(g, given_back):
                active.append(g)

        while active:
            started = time.perf_counter()
            for g in active:
                if not _make_room(cache, g, tokenizer):
                    g.end("no_room")
                    _goes_on(g, given_back)  # its memory may be the room of the next
            active = [g for g in active if not g.answer.finish_reason]
            if not active:
                break
            tokens = _choose(_decode(model, cache, active), active)
            seconds = time.perf_counter() - started
            for g, token in zip(active, tokens, strict=True):
                g.answer.step_s.append(seconds)
                yield g.take(token)
                _goes_on(g, given_back)
            active = [g for g in active if not g.answer.finish_reason]
        finished = True
    finally:
        if cache is not None and (release or not finished):
            for request in requests:
                cache.drop(request.name)


def _goes_on(g: Growing, cache: KVCache | None) -> bool:
    """Whether the text has not ended; if it has, its memory goes back to `cache`."""
    if g.answer.finish_reason and cache is not None:
        cache.drop(g.request.name)
    return not g.answer.finish_reason


def _first(model: LanguageModel, cache: KVCache | None, g: Growing, chunk: int) -> int | None:
    """Compute the prompt and choose the first token; None, and the text ended, where none is wanted or nothing fits."""
    if g.request.max_new_tokens < 1:
        g.end("length")
        return None
    started = time.perf_counter()
    logits = _prefill(model, cache, g.request, chunk)
    if logits is None:
        g.end("no_room")
        if cache is not None:
            cache.drop(g.request.name)  # the chunks that did find room
        return None
    token = _choose(logits, [g])[0]
    g.answer.prefill_s = time.perf_counter() - started
    return token


def _prefill(model: LanguageModel, cache: KVCache | None, request: Request, chunk: int) -> torch.Tensor | None:
    """Compute the prompt; logits [1, vocab_size] of its last token, or None if the cache has no room for it."""
    tokens = torch.tensor(request.prompt_ids, device=model.device)
    if cache is None:
        return model(tokens)
    logits, done, computed = None, 0, cache.lookup(request.prompt_ids)
    while computed < len(tokens):
        part = tokens[computed : computed + chunk]
        stop = computed + len(part)
        if not cache.extend(request.name, request.prompt_ids[done:stop]):
            return None
        logits = model(part, cache, cache.plan([request.name], [len(part)]))
        done = computed = stop
    return logits


def _make_room(cache: KVCache | None, g: Growing, tokenizer: Tokenizer) -> bool:
    """Room for the token chosen last: its key and value are computed in the step that is about to run."""
    if cache is None:
        return True
    room = cache.extend(g.request.name, g.answer.token_ids[-1:])
    log = getattr(cache, "log", None)
    if log is not None and log.labels:
        log.relabel(f"{tokenizer.piece(g.answer.token_ids[-1])!r}: {log.labels[-1]}")
    return room


def _decode(model: LanguageModel, cache: KVCache | None, active: Sequence[Growing]) -> torch.Tensor:
    """One step of all `active` sequences: logits [seqs, vocab_size]."""
    if cache is None:
        texts = [torch.tensor(g.answer.prompt_ids + g.answer.token_ids, device=model.device) for g in active]
        return torch.cat([model(text) for text in texts])
    tokens = torch.tensor([g.answer.token_ids[-1] for g in active], device=model.device)
    return model(tokens, cache, cache.plan([g.request.name for g in active], [1] * len(active)))


def _choose(logits: torch.Tensor, active: Sequence[Growing]) -> list[int]:
    keys = [(g.request.key or g.request.name, g.answer.num_tokens) for g in active]
    return sample(logits, [g.request.sampling for g in active], keys)
