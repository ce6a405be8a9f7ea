"""What a token costs: the size of the KV cache, and how much of it fits beside a model.

For every token of every sequence a model keeps what attention will want to read again: in each layer
one key and one value for each KV head. That is all there is to it:

    bytes per token = 2 (key and value) * layers * KV heads * head dimension * bytes per value

What sets models apart is the number of KV heads. Multi-head attention (MHA) has one for each query
head; grouped-query attention (GQA, Ainslie et al. 2023) lets a group of query heads share one;
multi-query attention (MQA, Shazeer 2019) has one in all. Latent attention (MLA, DeepSeek-V2, 2024)
keeps no heads but one compressed vector per layer from which keys and values are computed again, plus a
small key that carries the position; so there is no factor 2.

The second half of this file does what a serving engine does when it starts: give the memory left over
by the weights and by the largest step to the KV cache, and cut it into blocks (compare
`determine_available_memory` in vLLM's GPU worker).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from labkit.cache.block_table import blocks_needed
from labkit.cache.checks import whole_number
from labkit.errors import GeometryError

GiB = 2**30
"""Bytes. Memory is sold in GB (10**9), and counted by engines in GiB."""

BYTES_PER_VALUE = {"float32": 4, "bfloat16": 2, "float16": 2, "float8": 1, "int8": 1}
"""Bytes of one number in the cache, by dtype."""


def kv_bytes(num_layers: int, num_kv_heads: int, head_dim: int, bytes_per_value: int = 2) -> int:
    """Bytes of keys and values that one token adds to the cache.

    Raises:
        GeometryError: an argument is not a whole number of 1 or more.
    """
    _all_positive(num_layers=num_layers, num_kv_heads=num_kv_heads, head_dim=head_dim, bytes_per_value=bytes_per_value)
    return 2 * num_layers * num_kv_heads * head_dim * bytes_per_value


def latent_bytes(num_layers: int, latent_dim: int, bytes_per_value: int = 2) -> int:
    """Bytes that one token adds to the cache under latent attention.

    Args:
        latent_dim: values per layer: the compressed vector (`kv_lora_rank`) and the positional key
            (`qk_rope_head_dim`).

    Raises:
        GeometryError: an argument is not a whole number of 1 or more.
    """
    _all_positive(num_layers=num_layers, latent_dim=latent_dim, bytes_per_value=bytes_per_value)
    return num_layers * latent_dim * bytes_per_value


def _all_positive(**sizes: int) -> None:
    for name, value in sizes.items():
        whole_number(value, name, at_least=1, error=GeometryError)


@dataclass(frozen=True)
class ModelShape:
    """What the size of a model's KV cache depends on.

    Attributes:
        name: as the checkpoint is called.
        num_layers: all layers, those with a window included.
        num_query_heads, num_kv_heads, head_dim: as in the configuration. Under latent attention `num_kv_heads` counts
            for nothing.
        weights_bytes: all weights, in the dtype they are served in.
        max_context_tokens: longest sequence the configuration allows.
        latent_dim: values per token and layer under latent attention, else None.
        window_tokens, num_window_layers: that many layers look back only so far, and need keep no more.
        source: where these numbers are from.
    """

    name: str
    num_layers: int
    num_query_heads: int
    num_kv_heads: int
    head_dim: int
    weights_bytes: int
    max_context_tokens: int
    latent_dim: int | None = None
    window_tokens: int | None = None
    num_window_layers: int = 0
    source: str = ""

    def __post_init__(self) -> None:
        for name in ("num_layers", "num_query_heads", "num_kv_heads", "head_dim", "max_context_tokens"):
            whole_number(getattr(self, name), f"{name} of {self.name}", at_least=1, error=GeometryError)
        if self.num_query_heads % self.num_kv_heads:
            raise GeometryError(
                f"{self.name} has {self.num_query_heads} query heads over {self.num_kv_heads} KV heads, but every KV "
                "head must serve equally many: check both against the model's configuration."
            )
        windows_known = bool(self.num_window_layers) == bool(self.window_tokens)
        if not windows_known or not 0 <= self.num_window_layers <= self.num_layers:
            raise GeometryError(
                f"{self.name} has {self.num_window_layers} of {self.num_layers} layers with a window of "
                f"{self.window_tokens} tokens, but both must be given or neither: check the model's configuration."
            )

    @property
    def attention(self) -> str:
        """MHA, GQA, MQA or MLA."""
        if self.latent_dim is not None:
            return "MLA"
        if self.num_kv_heads == self.num_query_heads:
            return "MHA"
        return "MQA" if self.num_kv_heads == 1 else "GQA"


def kv_bytes_per_token(shape: ModelShape, bytes_per_value: int = 2, tensor_parallel: int = 1) -> int:
    """Bytes that one token within every window adds to the cache of one GPU.

    Tensor parallelism gives each of its GPUs an equal share of the KV heads. Where there are fewer KV
    heads than GPUs, a head is kept on several (each GPU must have at least one), and from there on more
    GPUs save nothing. A latent vector belongs to all heads, so every GPU keeps the whole of it.

    Raises:
        GeometryError: the heads cannot be divided among `tensor_parallel` GPUs.
    """
    if shape.latent_dim is not None:
        kv_heads_per_gpu(shape, tensor_parallel)  # the query heads must still divide
        return latent_bytes(shape.num_layers, shape.latent_dim, bytes_per_value)
    return kv_bytes(shape.num_layers, kv_heads_per_gpu(shape, tensor_parallel), shape.head_dim, bytes_per_value)


def kv_heads_per_gpu(shape: ModelShape, tensor_parallel: int) -> int:
    """KV heads that each of `tensor_parallel` GPUs keeps: its share, and never less than one.

    Raises:
        GeometryError: the query heads do not divide evenly, or the KV heads neither divide nor multiply evenly.
    """
    gpus = whole_number(tensor_parallel, "tensor_parallel", at_least=1, error=GeometryError)
    heads = shape.num_kv_heads
    if not _can_share(shape, gpus):
        fine = [str(n) for n in gpu_counts(shape, range(1, shape.num_query_heads + 1))]
        raise GeometryError(
            f"{shape.name} has {shape.num_query_heads} query and {heads} KV heads, which {gpus} GPUs cannot share "
            f"evenly: choose {', '.join(fine[:-1])}{' or ' * (len(fine) > 1)}{fine[-1]}."
        )
    return max(heads // gpus, 1)


def _can_share(shape: ModelShape, gpus: int) -> bool:
    """Whether the query heads divide evenly, and the KV heads divide or are copied evenly."""
    return not (shape.num_query_heads % gpus or (shape.num_kv_heads % gpus and gpus % shape.num_kv_heads))


def gpu_counts(shape: ModelShape, offered: Iterable[int]) -> list[int]:
    """Those of the offered numbers of GPUs that can share the heads of a model evenly."""
    return [gpus for gpus in offered if _can_share(shape, gpus)]


def kv_bytes_per_sequence(
    shape: ModelShape, num_tokens: int, bytes_per_value: int = 2, tensor_parallel: int = 1, block_size: int = 1
) -> int:
    """Bytes that a sequence of `num_tokens` holds on one GPU.

    Layers with a window keep at most the window. Sizes are rounded up to whole blocks; an engine that
    frees blocks as they leave the window holds up to one block per layer more, between two frees.
    """
    a_layer = kv_bytes_per_token(shape, bytes_per_value, tensor_parallel) // shape.num_layers

    def kept(tokens: int) -> int:
        return blocks_needed(tokens, block_size) * block_size

    full = (shape.num_layers - shape.num_window_layers) * kept(num_tokens)
    windowed = shape.num_window_layers * kept(min(num_tokens, shape.window_tokens or num_tokens))
    return (full + windowed) * a_layer


# --- Start-up sizing ---


def blocks_that_fit(
    gpu_memory_bytes: int, memory_share: float, weights_bytes: int, activation_peak_bytes: int, block_bytes: int
) -> int:
    """Blocks that a GPU has room for.

    Args:
        gpu_memory_bytes: all of the GPU's memory.
        memory_share: the part of it that the engine may use, above 0 and at most 1; the rest is left to others.
        weights_bytes: the weights on this GPU.
        activation_peak_bytes: what the largest step needs beside them. An engine measures it in a trial run.
        block_bytes: one block with all its layers, on this GPU.

    Returns:
        Whole blocks, 0 if the weights alone are too large.

    Raises:
        GeometryError: a share outside (0, 1], or a size that is negative.
    """
    if not 0 < memory_share <= 1:
        raise GeometryError(f"memory_share is {memory_share!r}, but must be above 0 and at most 1: pass 0.9, say.")
    for name, value in (
        ("gpu_memory_bytes", gpu_memory_bytes),
        ("weights_bytes", weights_bytes),
        ("activation_peak_bytes", activation_peak_bytes),
    ):
        whole_number(value, name, error=GeometryError)
    whole_number(block_bytes, "block_bytes", at_least=1, error=GeometryError)
    left_bytes = int(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes
    return max(left_bytes, 0) // block_bytes


@dataclass(frozen=True)
class StartUp:
    """How one GPU's memory is divided when the engine starts. All bytes are for one GPU."""

    shape: ModelShape
    tensor_parallel: int
    block_size: int
    bytes_per_value: int
    gpu_memory_bytes: int
    usable_bytes: int
    weights_bytes: int
    activation_peak_bytes: int
    block_bytes: int
    num_blocks: int

    @property
    def kv_cache_bytes(self) -> int:
        """Memory of all blocks."""
        return self.num_blocks * self.block_bytes

    @property
    def num_slots(self) -> int:
        """Tokens that fit in all, whoever they belong to."""
        return self.num_blocks * self.block_size

    def max_concurrency(self, context_tokens: int) -> float:
        """Sequences of `context_tokens` each that fit at once; below 1, not even one does.

        An engine prints this number at start-up. It is a promise for the worst case: every sequence at
        full length at the same time. Under windowed layers it counts bytes and takes for granted that
        the layers' shares of memory can be traded, which engines achieve nearly but not quite.
        """
        context_tokens = whole_number(context_tokens, "context_tokens", at_least=1, error=GeometryError)
        each = kv_bytes_per_sequence(
            self.shape, context_tokens, self.bytes_per_value, self.tensor_parallel, self.block_size
        )
        return self.kv_cache_bytes / each


def start_up(
    shape: ModelShape,
    gpu_memory_bytes: int,
    *,
    activation_peak_bytes: int,
    memory_share: float = 0.9,
    block_size: int = 16,
    bytes_per_value: int = 2,
    tensor_parallel: int = 1,
) -> StartUp:
    """Divide a GPU's memory as a serving engine does when it starts.

    The weights are taken to divide evenly among `tensor_parallel` GPUs, which holds but for a few small
    tensors that every GPU keeps. 0.9 was vLLM's default for years (`--gpu-memory-utilization`; 0.92 in 0.33.0), 16 is
    its default still (`--block-size`).

    Raises:
        GeometryError: see `blocks_that_fit` and `kv_heads_per_gpu`.
    """
    block_size = whole_number(block_size, "block_size", at_least=1, error=GeometryError)
    block_bytes = block_size * kv_bytes_per_token(shape, bytes_per_value, tensor_parallel)
    weights_bytes = -(-shape.weights_bytes // tensor_parallel)
    num_blocks = blocks_that_fit(gpu_memory_bytes, memory_share, weights_bytes, activation_peak_bytes, block_bytes)
    return StartUp(
        shape=shape,
        tensor_parallel=tensor_parallel,
        block_size=block_size,
        bytes_per_value=bytes_per_value,
        gpu_memory_bytes=gpu_memory_bytes,
        usable_bytes=int(gpu_memory_bytes * memory_share),
        weights_bytes=weights_bytes,
        activation_peak_bytes=activation_peak_bytes,
        block_bytes=block_bytes,
        num_blocks=num_blocks,
    )


# --- Real models ---
# Shapes: the `config.json` of the checkpoint named as the source. Weights: the number of
# parameters that follows from the same file, times the bytes of the dtype they are published in.


MODELS: dict[str, ModelShape] = {
    shape.name: shape
    for shape in (
        ModelShape(
            "SmolLM2-135M", 30, 9, 3, 64,
            weights_bytes=2 * 134_515_008, max_context_tokens=8_192,
            source="HuggingFaceTB/SmolLM2-135M-Instruct, config.json",
        ),
        ModelShape(
            "Llama-2-7B", 32, 32, 32, 128,
            weights_bytes=2 * 6_738_415_616, max_context_tokens=4_096,
            source="meta-llama/Llama-2-7b-hf, config.json",
        ),
        ModelShape(
            "Falcon-7B", 32, 71, 1, 64,
            weights_bytes=2 * 6_921_720_704, max_context_tokens=2_048,
            source="tiiuae/falcon-7b, config.json (multi_query)",
        ),
        ModelShape(
            "Mistral-7B-v0.1", 32, 32, 8, 128,
            weights_bytes=2 * 7_241_732_096, max_context_tokens=32_768,
            window_tokens=4_096, num_window_layers=32,
            source="mistralai/Mistral-7B-v0.1, config.json",
        ),
        ModelShape(
            "Llama-3.1-8B", 32, 32, 8, 128,
            weights_bytes=2 * 8_030_261_248, max_context_tokens=131_072,
            source="meta-llama/Llama-3.1-8B, config.json",
        ),
        ModelShape(
            "Qwen3-8B", 36, 32, 8, 128,
            weights_bytes=2 * 8_190_735_360, max_context_tokens=40_960,
            source="Qwen/Qwen3-8B, config.json",
        ),
        ModelShape(
            "Gemma-2-9B", 42, 16, 8, 256,
            weights_bytes=2 * 9_241_705_984, max_context_tokens=8_192,
            window_tokens=4_096, num_window_layers=21,
            source="google/gemma-2-9b, config.json (every other layer has the window)",
        ),
        ModelShape(
            "Llama-3.1-70B", 80, 64, 8, 128,
            weights_bytes=2 * 70_553_706_496, max_context_tokens=131_072,
            source="meta-llama/Llama-3.1-70B, config.json",
        ),
        ModelShape(
            "DeepSeek-V3", 61, 128, 128, 128,
            weights_bytes=671_000_000_000, max_context_tokens=163_840,
            latent_dim=512 + 64,  # kv_lora_rank + qk_rope_head_dim
            source="deepseek-ai/DeepSeek-V3, config.json; weights: 671 billion in 8 bits, as its report gives them",
        ),
    )
}  # fmt: skip
"""Public models by name, smallest first."""


def model(name: str) -> ModelShape:
    """The shape of a model by name, however it is capitalised.

    Raises:
        GeometryError: a model that is not in the table; the message names those that are.
    """
    for known, shape in MODELS.items():
        if known.lower() == str(name).lower():
            return shape
    raise GeometryError(
        f"No model {name!r} is in the table, which has {', '.join(MODELS)}: name one of these or make a ModelShape."
    )
