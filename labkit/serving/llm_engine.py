"""The engine: many requests at once on one model, in steps that a scheduler decides.

    engine = load().engine(num_blocks=512)
    engine.submit(Request("A", prompt_ids, max_new_tokens=40))
    for token in engine.stream():
        print(token.text, end="")

One step computes a ragged batch in one pass of the model: the next token of each request that generates, and pieces of
prompts. Who takes part is decided by the scheduler (lessons 16 to 18), in blocks that the KV-cache manager hands out
(04 to 09), and attention reads them through block tables (10 to 14). The loop itself is `engine_step` (21). Each of
these is yours where it has passed (`labkit.engine`).

Compare vLLM's `LLMEngine` (Kwon et al., SOSP 2023); the order of a step is nano-vllm's.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from labkit.attention.paged_kv_cache import PagedKVCache
from labkit.cache.tokens import TOKEN_BYTES
from labkit.engine import Parts, scheduler
from labkit.errors import GenerationError, PartError, RefusedError
from labkit.observe.events import EventLog
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request as Scheduled
from labkit.scheduling.step import Step
from labkit.serving.engine_step import engine_step
from labkit.serving.generation import Generation
from labkit.serving.growing import Growing
from labkit.serving.model import LanguageModel
from labkit.serving.request import NewToken, Request, check
from labkit.serving.sampling import sample
from labkit.serving.tokenizer import Tokenizer

DEFAULTS = SchedulerConfig(token_budget=512)
"""On a processor a step of 2,048 tokens, vLLM's default, takes seconds, and everybody's next token waits for it."""


class LLMEngine:
    """Continuous batching over a paged KV cache.

    Args:
        model, tokenizer: what it serves.
        num_blocks, block_size: of the KV cache.
        config: the scheduler's knobs; `DEFAULTS` without.
        log: if given, everything that the KV-cache manager does is recorded there.
        yours: False for the references alone.
        cache: as for `PagedKVCache`; `prefix_cache` is "hash" unless said otherwise.

    Attributes:
        scheduler: who runs and who waits.
        cache: keys and values; its manager is the scheduler's.
        answers: what has been submitted, by name; take out (`pop`) what has finished.

    Raises:
        CacheError, SchedulerError, PolicyError: parts that make no sense together.
        PartError: in any call, if a part of yours breaks its law; the run is over then.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        *,
        num_blocks: int,
        block_size: int = 16,
        config: SchedulerConfig | None = None,
        log: EventLog | None = None,
        yours: bool = True,
        **cache: Any,
    ) -> None:
        parts = cache.pop("parts", None) or Parts(yours)
        self.model, self.tokenizer = model, tokenizer
        self.cache = PagedKVCache(
            layers=model.config.num_hidden_layers,
            kv_heads=model.config.num_key_value_heads,
            head_dim=model.config.head_dim,
            num_blocks=num_blocks,
            block_size=block_size,
            dtype=model.dtype,
            device=model.device,
            log=log,
            parts=parts,
            **{"prefix_cache": "hash"} | cache,
        )
        self.scheduler = scheduler(self.cache.manager, config or DEFAULTS, parts=parts)
        self.answers: dict[str, Generation] = {}
        self._growing: dict[str, Growing] = {}
        self._new: dict[str, NewToken] = {}  # of the step that is under way
        self._step = engine_step

    # ----- who comes and goes ----------------------------------------------------------------------------------

    def submit(self, request: Request, *, priority: int = 0, salt: bytes = b"") -> list[Generation]:
        """A request comes; it is answered by the steps to follow.

        Args:
            priority: the lower, the more urgent, where the scheduler looks at it.
            salt: only requests with the same salt share what is in the prefix cache.

        Returns:
            The answer, which grows.

        Raises:
            GenerationError: it can never be served: see the message.
            RefusedError: too many wait; nothing has changed.
        """
        config = self.model.config
        limit = config.max_position_embeddings
        check(request, self.answers, config.vocab_size, limit)
        growing = Growing(request, self.tokenizer, limit)
        if growing.most < 1:
            growing.end("length")
        else:
            self._to_the_door(
                Scheduled(
                    request.name,
                    request.prompt_ids,
                    growing.most,
                    arrival=time.monotonic(),
                    priority=priority,
                    salt=salt,
                )
            )
            self._growing[request.name] = growing
        self.answers[request.name] = growing.answer
        return [growing.answer]

    def cancel(self, name: str) -> bool:
        """Nobody waits for an answer any more: its blocks are free at once. False: it is not under way."""
        growing = self._growing.pop(name, None)
        if growing is None:
            return False
        growing.end("cancelled")
        return self.scheduler.cancel(name)

    @property
    def has_work(self) -> bool:
        """Whether anybody is unfinished."""
        return bool(self._growing)

    # ----- steps -----------------------------------------------------------------------------------------------

    def step(self) -> list[NewToken]:
        """Compute one step; the tokens that came out of it.

        Raises:
            GenerationError: the model's logits are damaged. All that was under way is cancelled.
        """
        self._new = {}
        try:
            return [self._new[request.id] for request, _ in self._step(self)]
        except PartError:
            raise  # the run is over: whatever is asked of its parts from now on says so
        except Exception:
            # What was scheduled may be findable and is not computed.
            for name in list(self._growing):
                self.cancel(name)
            self.cache.manager.reset_prefix_cache()
            raise

    def stream(self) -> Iterator[NewToken]:
        """Step until nobody is unfinished; closing it early cancels who is."""
        try:
            while self.has_work:
                yield from self.step()
        finally:
            for name in list(self._growing):
                self.cancel(name)

    # ----- what `engine_step` calls ----------------------------------------------------------------------------

    def move(self, step: Step) -> None:
        """Copy what a step needs elsewhere, before anything is computed in it."""
        self.cache.copy(step.copies)

    def run(self, batch: Sequence[tuple[str, bytes]]) -> Tensor:
        """One pass of the model.

        Args:
            batch: (request, its next tokens as bytes); their slots were taken when the step was scheduled.

        Returns:
            The logits of the last token of each, [len(batch), vocab_size].
        """
        tokens = torch.frombuffer(bytearray().join(data for _, data in batch), dtype=torch.int32).long()
        plan = self.cache.plan([name for name, _ in batch], [len(data) // TOKEN_BYTES for _, data in batch])
        return self.model(tokens.to(self.model.device), self.cache, plan)

    def sample(self, logits: Tensor, keys: Sequence[tuple[Scheduled, int]]) -> list[int]:
        """Choose a token for each row.

        Args:
            logits: [len(keys), vocab_size].
            keys: (request, position of the token that is chosen), which key its chance together with the seed.
        """
        asked = [self._growing[request.id].request for request, _ in keys]
        return sample(
            logits,
            [request.sampling for request in asked],
            [(request.name, position) for request, (_, position) in zip(asked, keys, strict=True)],
        )

    def ends(self, request: Scheduled, token: int) -> bool:
        """Take a token into the text, once each. Whether the text has ended with it."""
        growing = self._growing[request.id]
        growing.tick()
        self._new[request.id] = growing.take(token)
        if growing.answer.finish_reason:
            del self._growing[request.id]
        return bool(growing.answer.finish_reason)

    # ----- inside ----------------------------------------------------------------------------------------------

    def _to_the_door(self, request: Scheduled) -> None:
        """Submit, and say why not."""
        before = Counter(self.scheduler.refusals)
        if self.scheduler.submit(request):
            return
        (reason,) = self.scheduler.refusals - before
        if reason == "never-fits":
            raise GenerationError(f"Request {request.id} cannot be served: {request.why}")
        raise RefusedError(f"Request {request.id} is refused: {request.why}", reason, 1.0)
