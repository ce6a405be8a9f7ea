"""A model ready to use: weights, tokenizer, and one obvious way to make text.

    from labkit.serving import load

    model = load()                       # SmolLM2 if it was fetched, else a tiny model, and it says which
    print(model.generate("What is a page table?", max_new_tokens=40).text)

`generate` gives the whole answer, `stream` its pieces as they come, `generate_many` answers several prompts at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from labkit.attention.contiguous_kv_cache import ContiguousKVCache
from labkit.attention.kv_cache import KVCache
from labkit.attention.paged_kv_cache import PagedKVCache
from labkit.cache.block_table import blocks_needed
from labkit.observe.events import EventLog
from labkit.serving import weights
from labkit.serving.chat import Message, chat_ids
from labkit.serving.checkpoint import load_model
from labkit.serving.config import ModelConfig
from labkit.serving.generate import PREFILL_CHUNK, run
from labkit.serving.generation import Generation
from labkit.serving.model import LanguageModel
from labkit.serving.request import NewToken, Request
from labkit.serving.sampling import GREEDY, Sampling
from labkit.serving.tiny import tiny_model
from labkit.serving.tokenizer import Tokenizer

if TYPE_CHECKING:
    from labkit.cache.geometry import ModelShape
    from labkit.serving.llm_engine import LLMEngine

Prompt = str | Sequence[Message] | Sequence[int]
"""A string (one user turn, for the course's model), messages, or token ids."""

CacheChoice = Literal["paged", "contiguous", "none"] | KVCache


class LoadedModel:
    """A language model with its tokenizer.

    Attributes:
        name: as people call it, e.g. "SmolLM2-135M-Instruct".
        source: where the weights came from, in a few words.
        is_tiny: True for the seeded stand-in, whose text means nothing.
        chat: whether a string is one turn of a conversation unless somebody says otherwise: of the course's model and
            its stand-in it is, of any other checkpoint it is a text, as in transformers.
        model, tokenizer: what does the work.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        *,
        name: str,
        source: str,
        is_tiny: bool = False,
        chat: bool = False,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.name = name
        self.source = source
        self.is_tiny = is_tiny
        self.chat = chat

    def __repr__(self) -> str:
        return f"LoadedModel({self.name}, {str(self.model.dtype).removeprefix('torch.')})"

    @property
    def config(self) -> ModelConfig:
        """The numbers that shape the model."""
        return self.model.config

    @property
    def shape(self) -> ModelShape:
        """What the size of its KV cache depends on, for the formulas in `labkit.cache.geometry`."""
        weights_bytes = sum(p.numel() * p.element_size() for p in self.model.parameters())
        return self.config.shape(self.name, weights_bytes, self.source)

    def prompt_ids(self, prompt: Prompt, *, chat: bool | None = None) -> list[int]:
        """Token ids of a prompt.

        Args:
            prompt: a string, messages, or token ids, which are taken as they are.
            chat: whether a string is wrapped as one user turn; by default as `chat` of the model says.

        Raises:
            CheckpointError: a conversation, and the checkpoint has no chat template that works.
            GenerationError: a conversation that the template refuses.
        """
        if isinstance(prompt, str):
            if self.chat if chat is None else chat:
                return chat_ids(self.tokenizer, [{"role": "user", "content": prompt}])
            return self.tokenizer.encode_prompt(prompt)
        if not prompt or isinstance(prompt[0], int):
            return list(prompt)  # type: ignore[arg-type]
        return chat_ids(self.tokenizer, prompt)  # type: ignore[arg-type]

    def paged_cache(
        self, num_blocks: int, block_size: int = 16, *, log: EventLog | None = None, **parts: Any
    ) -> PagedKVCache:
        """An empty paged cache that fits this model; `parts` as for `PagedKVCache`."""
        return PagedKVCache(
            layers=self.config.num_hidden_layers,
            kv_heads=self.config.num_key_value_heads,
            head_dim=self.config.head_dim,
            num_blocks=num_blocks,
            block_size=block_size,
            dtype=self.model.dtype,
            device=self.model.device,
            log=log,
            **parts,
        )

    def contiguous_cache(self, max_seqs: int, max_tokens: int, *, log: EventLog | None = None) -> ContiguousKVCache:
        """An empty contiguous cache that fits this model."""
        return ContiguousKVCache(
            layers=self.config.num_hidden_layers,
            kv_heads=self.config.num_key_value_heads,
            head_dim=self.config.head_dim,
            max_seqs=max_seqs,
            max_tokens=max_tokens,
            dtype=self.model.dtype,
            device=self.model.device,
            log=log,
        )

    def request(
        self, name: str, prompt: Prompt, *, chat: bool | None = None, stop_tokens: bool = True, **options: Any
    ) -> Request:
        """A prompt as a request, for an engine or the plain loop.

        Args:
            chat: as for `prompt_ids`.
            stop_tokens: end where the model says so.
            options: as for `Request`.
        """
        ends = frozenset(self.config.eos_token_ids) if stop_tokens else frozenset()
        return Request(name, self.prompt_ids(prompt, chat=chat), stop_ids=ends, **options)

    def engine(self, num_blocks: int | None = None, block_size: int = 16, **options: Any) -> LLMEngine:
        """An engine that serves this model; options as for `LLMEngine`.

        Args:
            num_blocks: of its KV cache; without, room for 16,384 tokens.
        """
        from labkit.serving.llm_engine import LLMEngine

        blocks = blocks_needed(16384, block_size) if num_blocks is None else num_blocks
        return LLMEngine(self.model, self.tokenizer, num_blocks=blocks, block_size=block_size, **options)

    def generate(self, prompt: Prompt, *, on_text: Callable[[str], None] | None = None, **options: Any) -> Generation:
        """Answer one prompt.

        Args:
            prompt: a string, messages, or token ids.
            on_text: called with each new piece of text.
            **options: as for `stream`.

        Returns:
            The `Generation`; its `finish_reason` is "stop", "length", or "no_room" if the cache was full.
        """
        stream = self.stream(prompt, **options)
        for piece in stream:
            if on_text is not None:
                on_text(piece)
        return stream.result

    def stream(
        self,
        prompt: Prompt,
        *,
        max_new_tokens: int = 64,
        sampling: Sampling = GREEDY,
        cache: CacheChoice = "paged",
        block_size: int = 16,
        num_blocks: int | None = None,
        log: EventLog | None = None,
        chat: bool | None = None,
        stop: bool = True,
        request: str = "A",
        prefill_chunk: int = PREFILL_CHUNK,
        release: bool = True,
    ) -> TextStream:
        """Answer one prompt piece by piece: iterate over the result, then look at its `.result`.

        Args:
            max_new_tokens: most tokens to generate.
            sampling: how tokens are chosen; greedy unless said otherwise.
            cache: "paged", "contiguous", "none" (compute everything again for each token), or a cache of yours.
            block_size, num_blocks: of the paged cache; by default as many blocks as the longest answer needs.
            log: records what happens to blocks. A cache of your own brings its own log.
            chat: whether a string is wrapped as a user turn; by default as `chat` of the model says.
            stop: end where the model says so; False goes on to `max_new_tokens`, for measuring.
            request: name of the sequence, in the cache, in the log and as key of its random numbers.
            prefill_chunk: most prompt tokens computed in one step.
            release: give the sequence's memory back at the end.
        """
        how: dict[str, Any] = {"max_new_tokens": max_new_tokens, "sampling": sampling}
        made = self.request(request, prompt, chat=chat, stop_tokens=stop, **how)
        memory = self._cache(cache, [made], block_size, num_blocks, log)
        answers: list[Generation] = []
        tokens = run(
            self.model, self.tokenizer, [made], memory, answers=answers, prefill_chunk=prefill_chunk, release=release
        )
        return TextStream(tokens, answers)

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        max_new_tokens: int = 64,
        sampling: Sampling = GREEDY,
        cache: CacheChoice = "paged",
        block_size: int = 16,
        num_blocks: int | None = None,
        log: EventLog | None = None,
        chat: bool | None = None,
        stop: bool = True,
        requests: Sequence[str] | None = None,
        prefill_chunk: int = PREFILL_CHUNK,
        release: bool = True,
        on_token: Callable[[NewToken], None] | None = None,
    ) -> list[Generation]:
        """Answer several prompts together, one step of the model for all of them; options as for `stream`.

        Args:
            requests: names of the sequences; A, B, C, ... if not given.
            on_token: called with each new token, whosever it is.
        """
        names = list(requests) if requests is not None else [sequence_name(i) for i in range(len(prompts))]
        how: dict[str, Any] = {"max_new_tokens": max_new_tokens, "sampling": sampling}
        made = [
            self.request(name, prompt, chat=chat, stop_tokens=stop, **how)
            for name, prompt in zip(names, prompts, strict=True)
        ]
        memory = self._cache(cache, made, block_size, num_blocks, log)
        answers: list[Generation] = []
        for token in run(
            self.model, self.tokenizer, made, memory, answers=answers, prefill_chunk=prefill_chunk, release=release
        ):
            if on_token is not None:
                on_token(token)
        return answers

    def _cache(
        self,
        choice: CacheChoice,
        requests: Sequence[Request],
        block_size: int,
        num_blocks: int | None,
        log: EventLog | None,
    ) -> KVCache | None:
        if not isinstance(choice, str):
            return choice
        limit = self.config.max_position_embeddings
        longest = [min(len(r.prompt_ids) + r.max_new_tokens, limit) for r in requests]
        if choice == "paged":
            if num_blocks is None:
                num_blocks = sum(blocks_needed(n, block_size) for n in longest)
            return self.paged_cache(num_blocks, block_size, log=log)
        if choice == "contiguous":
            return self.contiguous_cache(len(requests), max(longest, default=1), log=log)
        if choice == "none":
            return None
        raise ValueError(f'cache is {choice!r}, but must be "paged", "contiguous", "none" or a KV cache object.')


class TextStream:
    """The pieces of an answer, as they come; `result` is the whole of it so far."""

    def __init__(self, tokens: Iterator[NewToken], answers: list[Generation]) -> None:
        self._tokens = tokens
        self._answers = answers

    def __iter__(self) -> Iterator[str]:
        for token in self._tokens:
            if token.text:
                yield token.text

    @property
    def result(self) -> Generation:
        """The `Generation`, complete once the stream has been read to its end."""
        if not self._answers:
            raise RuntimeError("The stream has not been read yet: iterate over it first.")
        return self._answers[0]

    def close(self) -> None:
        """Stop early; the sequence's memory goes back."""
        self._tokens.close()  # type: ignore[attr-defined]


def load(name: str | Path | None = None, *, dtype: torch.dtype | None = None, quiet: bool = False) -> LoadedModel:
    """Load a model.

    Args:
        name: nothing for the course's own model, "tiny" for the seeded stand-in, or a checkpoint folder in Hugging
            Face layout (Llama or Qwen3).
        dtype: of weights, KV cache and computation; by default what is fastest on this CPU (see `fast_dtype`).
        quiet: do not say so where the tiny model stands in.

    Raises:
        CheckpointError: the folder cannot be loaded. A model that was never fetched is no error: the tiny one stands
            in and says so.
    """
    if name is not None and str(name) != "tiny":
        folder = Path(name)
        source = weights.source_of(folder)
        return LoadedModel(
            load_model(folder, dtype or fast_dtype()), Tokenizer.read(folder), name=folder.name, source=source
        )
    if name is None:
        folder = weights.model_dir()
        if weights.is_present(folder):
            model = load(folder, dtype=dtype)
            model.chat = True
            return model
        if not quiet:
            print(
                "The course's model is not on this machine, so a tiny seeded model stands in: everything runs, but "
                "its text means nothing. `labkit model fetch` brings the real one."
            )
    tiny, tokenizer = tiny_model(dtype=dtype or torch.float32)
    source = "random weights from a fixed seed"
    return LoadedModel(tiny, tokenizer, name="tiny", source=source, is_tiny=True, chat=True)


def fast_dtype() -> torch.dtype:
    """bf16 where the CPU multiplies it in hardware, else fp32.

    Decoding waits for memory, so half the bytes is nearly twice the speed; but a CPU without bf16 instructions
    converts every number on the way, and is faster in fp32.
    """
    try:
        supported = bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # a build of PyTorch without the library that knows
        supported = False
    return torch.bfloat16 if supported else torch.float32


def sequence_name(index: int) -> str:
    """A, B, ..., Z, AA, AB, ...: the name of sequence number `index`, from 0."""
    name = ""
    index += 1
    while index:
        index, letter = divmod(index - 1, 26)
        name = chr(ord("A") + letter) + name
    return name
