"""The engine: many requests at once on one model, in steps that a scheduler decides.

    model = load()
    engine = model.engine(num_blocks=512)
    engine.submit(model.request("A", "What is a page table?", max_new_tokens=40))
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
from labkit.cache.tokens import TOKEN_BYTES, salted
from labkit.engine import Parts, ended_by, scheduler
from labkit.engine import engine_step as own_step
from labkit.errors import GenerationError, PartError, RefusedError, SchedulerError
from labkit.observe.events import EventLog
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request as Scheduled
from labkit.scheduling.step import Step
from labkit.serving.decode_graphs import DecodeGraphs
from labkit.serving.engine_step import engine_step
from labkit.serving.generation import Generation
from labkit.serving.growing import Growing, samples
from labkit.serving.host_memory import HostMemory
from labkit.serving.model import LanguageModel
from labkit.serving.request import NewToken, Request, check
from labkit.serving.sampling import logprobs, sample
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
        graphs: whether decode steps are recorded as CUDA graphs, where kernels run on a GPU.
        cache: as for `PagedKVCache`; `prefix_cache` is "hash" unless said otherwise.

    Attributes:
        scheduler: who runs and who waits.
        cache: keys and values; its manager is the scheduler's. host: what of them was swapped out.
        yours: the parts in it that are the learner's, by name, as (lesson key, exercise id).
        answers: what has been submitted, by name; take out (`pop`) what has finished.
        growing: those of them that are under way.

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
        graphs: bool = True,
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
        self.host = HostMemory(self.cache, self.scheduler.config.host_blocks)
        recorded = graphs and self.cache.runs_as_graphs(model.config.num_attention_heads)
        self._graphs = DecodeGraphs(model, self.cache) if recorded else None
        self.answers: dict[str, Generation] = {}
        self.growing: dict[Any, Growing] = {}
        self._new: dict[Any, NewToken] = {}  # of the step that is under way
        self.yours = parts.yours
        self._over: PartError | None = None
        own = own_step(parts=parts)
        self._engine_step = own or engine_step
        self._one_step = ended_by(parts, ["engine_step"], self._tokens) if own else self._tokens

    # ----- who comes and goes ----------------------------------------------------------------------------------

    def submit(self, request: Request, *, priority: int = 0, salt: bytes = b"") -> list[Generation]:
        """A request comes; it is answered by the steps to follow.

        Args:
            priority: the lower, the more urgent, where the scheduler looks at it.
            salt: only requests with the same salt share what is in the prefix cache.

        Returns:
            Its answers, which grow: the first under its name, the others (`request.n`) under NAME#2, NAME#3, ...

        Raises:
            GenerationError: it can never be served: see the message. SchedulerError, CacheError: no priority, no salt.
            RefusedError: too many wait, so that it is worth another try later. Nothing has changed after any of them.
        """
        self._raise_if_over()
        config = self.model.config
        check(request, self.answers, config.vocab_size, config.max_position_embeddings)
        growing = samples(request, self.tokenizer, config.max_position_embeddings)
        if growing[0].most < 1:
            for g in growing:
                g.end("length")
        else:
            self._to_the_door(request, growing[0].most, priority, salt)
            self.growing.update((g.request.name, g) for g in growing)
        self.answers.update((g.request.name, g.answer) for g in growing)
        return [g.answer for g in growing]

    def cancel(self, name: str) -> bool:
        """Nobody waits for a request any more, or for one of its answers: its blocks are free at once.

        Returns:
            False: none of that name is under way.
        """
        gone = [g for g in self.growing.values() if name in (g.of, g.request.name)]
        for g in gone:
            del self.growing[g.request.name]
            g.end("cancelled")
            self.scheduler.cancel(g.request.name)  # of answers that have not begun it knows nothing
        return bool(gone)

    @property
    def has_work(self) -> bool:
        """Whether anybody is unfinished."""
        return bool(self.growing)

    # ----- steps -----------------------------------------------------------------------------------------------

    def step(self) -> list[NewToken]:
        """Compute one step; the tokens that came out of it.

        Raises:
            GenerationError: the model's logits are damaged. All that was under way is cancelled.
        """
        self._raise_if_over()
        waited, began = self.scheduler.waiting.tokens, time.perf_counter()
        self._new = {}
        try:
            new = self._one_step()
        except PartError as error:
            self._over = error  # its parts are not asked for anything any more, their memory back neither
            for growing in self.growing.values():
                growing.end("cancelled")
            self.growing.clear()
            raise
        except BaseException:
            # Also when somebody interrupts it: what is scheduled can be found by others, and has not been computed.
            self._cancel_all()
            self.cache.manager.reset_prefix_cache()
            raise
        if self.scheduler.waiting:
            begun = waited - self.scheduler.waiting.tokens
            self.scheduler.queue_speed.see(begun, time.perf_counter() - began)
        return new

    def stream(self) -> Iterator[NewToken]:
        """Step until nobody is unfinished; closing it early cancels who is."""
        try:
            while self.has_work:
                yield from self.step()
        finally:
            self._cancel_all()

    # ----- what `engine_step` calls ----------------------------------------------------------------------------

    def move(self, step: Step) -> None:
        """Copy what a step needs elsewhere, before anything is computed in it."""
        self.host.out(step.swapped_out)  # their blocks may be among the destinations of what follows
        self.cache.copy(step.copies)
        self.host.back(step.swapped_in)

    def run(self, batch: Sequence[tuple[str, bytes]]) -> Tensor:
        """One pass of the model.

        Args:
            batch: (request, its next tokens as bytes); their slots were taken when the step was scheduled.

        Returns:
            The logits of the last token of each, [len(batch), vocab_size].
        """
        tokens = torch.frombuffer(bytearray().join(data for _, data in batch), dtype=torch.int32).long()
        plan = self.cache.plan([name for name, _ in batch], [len(data) // TOKEN_BYTES for _, data in batch])
        tokens = tokens.to(self.model.device)
        logits = self._graphs.run(tokens, plan) if self._graphs else None
        return self.model(tokens, self.cache, plan) if logits is None else logits

    def sample(self, logits: Tensor, keys: Sequence[tuple[Scheduled, int]]) -> list[int]:
        """Choose a token for each row.

        Args:
            logits: [len(keys), vocab_size].
            keys: (request, position of the token that is chosen), which key its chance together with the seed.
        """
        growing = [self.growing[request.id] for request, _ in keys]
        tokens = self._choose(logits, growing, [position for _, position in keys])
        for row, (request, position) in enumerate(keys):
            if growing[row].others:
                self._fork(request, growing[row], logits[row], position)
        return tokens

    def ends(self, request: Scheduled, token: int) -> bool:
        """Take a token into the text, once each. Whether the text has ended with it."""
        growing = self.growing[request.id]
        growing.tick()
        self._new[request.id] = growing.take(token)
        if growing.answer.finish_reason:
            del self.growing[request.id]
        return bool(growing.answer.finish_reason)

    # ----- inside ----------------------------------------------------------------------------------------------

    def _tokens(self) -> list[NewToken]:
        """One step, as `engine_step` says; answers that begin in it come last."""
        got = [self._new.pop(request.id) for request, _ in self._engine_step(self)]
        return got + list(self._new.values())

    def _choose(self, logits: Tensor, growing: Sequence[Growing], positions: Sequence[int]) -> list[int]:
        """A token for each row, and its log-probability where it was asked for."""
        asked = [g.request for g in growing]
        keys = [(request.key or request.name, position) for request, position in zip(asked, positions, strict=True)]
        tokens = sample(logits, [request.sampling for request in asked], keys)
        told = [row for row, request in enumerate(asked) if request.logprobs is not None]
        if told:
            most = [asked[row].logprobs or 0 for row in told]
            found = logprobs(logits[told], [tokens[row] for row in told], most)
            for row, logprob in zip(told, found, strict=True):
                growing[row].answer.logprobs.append(logprob)
        return tokens

    def _fork(self, one: Scheduled, first: Growing, logits: Tensor, position: int) -> None:
        """The prompt is computed: the other answers to it begin, each with a token of its own from the same logits."""
        others = [g for g in first.others if g.request.name in self.growing]  # the rest has been cancelled
        first.others = []
        tokens = self._choose(logits.expand(len(others), -1), others, [position] * len(others))
        for g, token in zip(others, tokens, strict=True):
            other = Scheduled(
                g.request.name, one.prompt, g.most, arrival=one.arrival, priority=one.priority, salt=one.salt
            )
            self.scheduler.fork(one, other, token, self.ends(other, token))

    def _raise_if_over(self) -> None:
        if self._over:
            raise self._over

    def _cancel_all(self) -> None:
        for g in list(self.growing.values()):
            self.cancel(g.request.name)

    def _to_the_door(self, request: Request, most: int, priority: int, salt: bytes) -> None:
        """Submit a request to the scheduler; raises if that refuses it."""
        scheduler, name = self.scheduler, request.name
        salted(salt)  # raises now what would end a step later
        if not isinstance(priority, int):
            raise SchedulerError(f"The priority of {name} is {priority!r:.60}, but must be a whole number: 0 is usual.")
        made = Scheduled(name, request.prompt_ids, most, arrival=time.monotonic(), priority=priority, salt=salt)
        before = Counter(scheduler.refusals)
        if scheduler.submit(made):
            return
        (reason,) = scheduler.refusals - before
        if reason == "never-fits":
            raise GenerationError(f"Request {name} cannot be served: {made.why}")
        speed = scheduler.queue_speed.tokens_per_s
        wait = min(max(scheduler.waiting.tokens / speed, 1.0), 60.0) if speed else 1.0
        raise RefusedError(f"Request {name} is refused: {made.why}", reason, wait)
