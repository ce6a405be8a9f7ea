"""What only lesson 15 shows: heads of the model, what 8 bits do to them and to its answers, and right blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

    from labkit.serving.loaded import LoadedModel

Quantize = Callable[..., Any]
"""`quantize_heads`: yours, or the reference."""

TEXT = (
    "A page table maps the pages of a program to frames of memory. The operating system fills it, and the processor "
    "reads it at every access. When a page is not in memory, the program is stopped, the page is fetched, and the "
    "access is made again. A translation buffer keeps the entries that were used last, so that most accesses need no "
    "second one."
)


class Heads(NamedTuple):
    """Two heads of a model over `TEXT`: the layer, the head, and the keys of the layer [tokens, kv_heads, head_dim]."""

    calm: tuple[int, int, Tensor]
    wild: tuple[int, int, Tensor]


def two_heads(model: LoadedModel) -> Heads:
    """The heads whose largest key stands out least and most from their median one; the first token is left out."""
    from labkit.engine import Parts

    ids = model.prompt_ids(TEXT)
    cache = model.paged_cache(-(-(len(ids) + 1) // 16), 16, parts=Parts(yours=False))
    cache.drop = lambda seq: None  # type: ignore[method-assign]
    model.generate_many([ids], max_new_tokens=1, stop=False, cache=cache)
    slots = cache.manager.slots("A", 1, len(ids))
    keys = cache.k.flatten(1, 2)[:, slots]  # layers, tokens, heads, numbers
    each = keys.abs().transpose(1, 2).flatten(2)
    out = (each.amax(dim=2) / each.median(dim=2).values).flatten()
    heads = keys.shape[2]
    found = [divmod(int(place), heads) for place in (out.argmin(), out.argmax())]
    return Heads(*((layer, head, keys[layer]) for layer, head in found))


def formats(quantize: Quantize) -> dict[str, tuple[float, Callable[[Tensor], Tensor]]]:
    """Ways to keep keys or values: bytes per number, and what is read back of x [tokens, kv_heads, head_dim]."""
    import torch

    def read(x: Tensor, dtype: torch.dtype, scale: Tensor | None = None) -> Tensor:
        pages, scale = quantize(x, dtype, scale)
        return pages.float() * scale[:, None]

    def tops(x: Tensor) -> Tensor:
        return x.abs().amax(dim=(0, 2)).clamp_min(1e-12)

    return {
        "bf16": (2, lambda x: x.bfloat16().float()),
        "int8": (1, lambda x: read(x, torch.int8)),
        "int8, one scale for all heads": (1, lambda x: read(x, torch.int8, tops(x).max().expand(x.shape[1]) / 127)),
        "e4m3": (1, lambda x: read(x, torch.float8_e4m3fn)),
        "4 bits": (0.5, lambda x: read(x, torch.int8, tops(x) / 7)),
    }


def error_against_bytes(model: LoadedModel, quantize: Quantize) -> Figure:
    """Root mean square error of two heads' keys, as a share of the keys' own, by the bytes of a number."""
    import matplotlib.pyplot as plt

    from labkit import theme

    theme.use_mpl()
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.3), sharey=True)
    panels = zip(axes, ("smallest outliers", "largest outliers"), two_heads(model), strict=True)
    for axis, name, (layer, head, x) in panels:
        own = x[:, head]
        ratio = float(own.abs().max() / own.abs().median())
        axis.set(title=f"{name}: layer {layer}, head {head}", xlabel="bytes per number", xscale="log", yscale="log",
                 xticks=[0.5, 1, 2], xticklabels=["0.5", "1", "2"], xlim=(0.42, 3.2))  # fmt: skip
        axis.minorticks_off()
        axis.text(0.98, 0.97, f"largest {ratio:.0f} times the median", transform=axis.transAxes, fontsize=9, ha="right",
                  va="top", color=theme.LIGHT["dim"])  # fmt: skip
        for (kind, (size, read)), letter, mark in zip(formats(quantize).items(), "ABCDE", "os^Dv", strict=True):
            error = float((read(x)[:, head] - own).pow(2).mean().sqrt() / own.pow(2).mean().sqrt())
            beside = {"int8": 0.93, "e4m3": 1.07}.get(kind, 1)  # three have one byte, and would hide each other
            axis.plot(size * beside, error, mark, color=theme.sequence_color(letter), markersize=7, label=kind)
    axes[0].set_ylabel("error, of the keys' own size")
    axes[0].set_yticks([0.001, 0.01, 0.1], ["0.1%", "1%", "10%"])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5)
    plt.close(figure)
    return figure


def answers(model: LoadedModel, prompt: str, quantize: Quantize, tokens: int = 24) -> Iterator[tuple[str, int, str]]:
    """The greedy answer with each kind of page: (kind, tokens before it differs from that with exact pages, text).

    What is written into the cache is what would be read back of each kind, in 32 bits. Scales are measured on the
    prompt, layer by layer, and kept for the answer.
    """
    from labkit.engine import Parts

    ids = model.prompt_ids(prompt)
    exact: list[int] = []
    for kind in ("exact", *KEPT):
        cache = model.paged_cache(-(-(len(ids) + tokens) // 16), 16, parts=Parts(yours=False))
        if kind != "exact":
            _write_through(cache, quantize, *KEPT[kind])
        (answer,) = model.generate_many([ids], max_new_tokens=tokens, stop=False, cache=cache)
        exact = exact or answer.token_ids
        pairs = enumerate(zip(exact, answer.token_ids, strict=False))
        yield kind, next((i for i, (a, b) in pairs if a != b), len(exact)), answer.text


KEPT: dict[str, tuple[str, float, bool]] = {
    "int8": ("int8", 127, True),
    "e4m3": ("float8_e4m3fn", 448, True),
    "int8, one scale for all heads": ("int8", 127, False),
    "4 bits": ("int8", 7, True),
}
"""Kinds of page: dtype, the largest number that is used of it, and whether each head has a scale."""


def _write_through(cache: Any, quantize: Quantize, dtype: str, largest: float, per_head: bool) -> None:
    """Have a paged cache write what would be read back of 8 bits."""
    import torch

    scales: dict[tuple[int, str], Any] = {}
    write = cache.write

    def rounded(key: tuple[int, str], x: Tensor) -> Tensor:
        if key not in scales:
            tops = x.abs().amax(dim=(0, 2)).clamp_min(1e-12)
            scales[key] = (tops if per_head else tops.max().expand_as(tops)) / largest
        reach = scales[key][:, None] * largest
        pages, scale = quantize(torch.maximum(torch.minimum(x, reach), -reach), getattr(torch, dtype), scales[key])
        return (pages.float() * scale[:, None]).to(x.dtype)

    cache.write = lambda layer, plan, k, v: write(layer, plan, rounded((layer, "k"), k), rounded((layer, "v"), v))


class Scores(NamedTuple):
    """What `through_the_kernel` gives."""

    off: Tensor
    """By how much each score is off, [q_heads, tokens]."""
    bytes_read: dict[str, int]


def through_the_kernel(quantize: Quantize, kind: str, tokens: int = 20) -> Scores | None:
    """Keys of random numbers in pages of 16, and a kernel's scores over them with the bytes that it asked for.

    None, and a sentence, where there is no Triton.
    """
    import torch

    try:
        from kvkernels._triton import INTERPRETED
        from labkit.mine import quantized_scores
    except ImportError as error:
        print(error)
        return None
    from labkit.kernels.ledger import ledger

    device = "cpu" if INTERPRETED else "cuda"
    draw = torch.Generator().manual_seed(0)
    heads, kv_heads, dim, page = 4, 2, 64, 16
    q = torch.randn(heads, dim, generator=draw)
    keys = torch.randn(tokens, kv_heads, dim, generator=draw)
    table = torch.tensor([2, 0], dtype=torch.int32)
    pages, k_scale = quantize(keys, getattr(torch, kind))
    cache = torch.zeros(3, page, kv_heads, dim, dtype=pages.dtype)
    at = torch.arange(tokens)
    cache[table[at // page].long(), at % page] = pages
    out = torch.zeros(heads, tokens)
    given = [t.to(device) for t in (out, q, cache, k_scale, table)]
    sizes = {"Q_HEADS": heads, "KV_HEADS": kv_heads, "HEAD_DIM": dim, "PAGE": page}
    read = {}
    if INTERPRETED:
        with ledger() as book:
            quantized_scores[(2, heads)](*given, tokens, dim**-0.5, **sizes)
        read = {name: book.of(name).read for name in ("k_cache", "k_scale")}
    else:
        quantized_scores[(2, heads)](*given, tokens, dim**-0.5, **sizes)
    exact = torch.einsum("hd,thd->ht", q, keys[:, [0, 0, 1, 1]]) * dim**-0.5
    return Scores(given[0].cpu() - exact, read)


class Int8Blocks:
    """Blocks of int8 for one head, each with the scale of what was written last; what the break-it is compared with."""

    def __init__(self) -> None:
        self.pages: dict[int, Tensor] = {}
        self.scales: dict[int, Tensor] = {}

    def write(self, block: int, x: Tensor) -> None:
        """Fill a block."""
        import torch

        self.scales[block] = x.abs().max() / 127
        self.pages[block] = (x / self.scales[block]).round().to(torch.int8)

    def read(self, block: int) -> Tensor:
        """What stands in a block."""
        return self.pages[block] * self.scales[block]
