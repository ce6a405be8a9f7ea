"""What only lesson 11 shows: launches small enough to be drawn, and a real model that decodes through a kernel."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from labkit.kernels.recording import Paged, Recording, Scene, record

if TYPE_CHECKING:
    from labkit.serving.loaded import LoadedModel

HERE = "labkit.specs.first_kernel.scenes"
TABLE, PAGE, LENGTH = (4, 1, 6), 4, 10
"""A request of ten tokens: three pages of four slots, of which the last is half full."""


def ten_numbers() -> Scene:
    """Ten numbers, four per program."""
    import torch

    src = torch.arange(10.0)
    paged = Paged("src", 3, 4, 1, (0, 1, 2), 10, slot="number", block="piece")
    return Scene({"out": torch.zeros(10), "src": src, "n": 10}, {"BLOCK": 4}, (3,), paged)


def _cache(*shape: int) -> Any:
    from labkit.specs.paged_attention.referees import numbers

    return numbers(random.Random(2), 8, PAGE, *shape).float()


def one_request() -> Scene:
    """Ten tokens of eight numbers, in blocks 4, 1 and 6 of eight."""
    import torch

    arguments = {
        "out": torch.zeros(LENGTH, 8), "cache": _cache(8), "block_table": torch.tensor(TABLE, dtype=torch.int32),
        "length": LENGTH,
    }  # fmt: skip
    return Scene(arguments, {"HEAD_DIM": 8, "PAGE": PAGE}, (3,), Paged("cache", 8, PAGE, 8, TABLE, LENGTH))


def four_heads() -> Scene:
    """The same request with two KV heads of three numbers, and four query heads."""
    import torch

    arguments = {
        "out": torch.zeros(4, LENGTH), "q": torch.ones(4, 3), "k_cache": _cache(2, 3),
        "block_table": torch.tensor(TABLE, dtype=torch.int32), "length": LENGTH, "scale": 1.0,
    }  # fmt: skip
    constants = {"GROUP": 2, "KV_HEADS": 2, "HEAD_DIM": 3, "HEAD_PAD": 4, "PAGE": PAGE}
    return Scene(arguments, constants, (4, 3), Paged("k_cache", 8, PAGE, 6, TABLE, LENGTH))


SCENES = {"copy_masked": ten_numbers, "gather_page": one_request, "page_scores": four_heads}


def newest(name: str) -> tuple[Recording, str]:
    """A launch of the kernel called `name` as it stands in this notebook, passed or not, on its scene, and whose it is.

    While it is a stub the reference is launched.
    """
    from IPython import get_ipython

    from labkit import engine

    shell = get_ipython()
    here = shell.user_ns.get(name) if shell else None
    scene = f"{HERE}:{SCENES[name].__name__}"
    if hasattr(here, "fn"):
        recording = record(here, scene)
        if recording.written:
            return recording, "your kernel, as it stands"
    return record(engine.part(name), scene), "yours" if engine.Parts().is_yours(name) else "the reference"


def launch_seconds(kernel: Any, heads: int, times: int = 3) -> float:
    """How long a launch of `page_scores` takes with so many query heads over three pages, where kernels run here."""
    from time import perf_counter

    import torch

    from kvkernels._triton import INTERPRETED

    scene, device = four_heads(), "cpu" if INTERPRETED else "cuda"
    inputs = {name: value.to(device) if hasattr(value, "to") else value for name, value in scene.arguments.items()}
    inputs |= {"out": torch.zeros(heads, LENGTH, device=device), "q": torch.ones(heads, 3, device=device)}
    constants = {**scene.constants, "GROUP": max(1, heads // 2)}
    taken = []
    for _ in range(times + 1):  # the first compiles, where kernels are compiled
        began = perf_counter()
        kernel[(heads, 3)](**inputs, **constants)
        if not INTERPRETED:
            torch.cuda.synchronize()
        taken.append(perf_counter() - began)
    return min(taken[1:])


def decode_with(model: LoadedModel, kernel: Any, prompt: str, tokens: int = 2) -> None:
    """Let the model go on with a prompt, its decode steps attended by `paged_decode` of step 1 with this kernel.

    PyTorch gathers and attends beside it; what each chose is printed, and whether they agree.

    Args:
        kernel: with the parameters of `kvkernels.step1_paged.paged_decode_kernel`; None for that one.
        tokens: that are decoded, after the first, which the prompt's own step gives.
    """
    from time import perf_counter

    from torch.nn.functional import pad

    from kvkernels import paged_decode
    from kvkernels._triton import INTERPRETED
    from labkit.engine import Parts

    device, layers, calls = "cpu" if INTERPRETED else "cuda", model.config.num_hidden_layers, [0]

    def attend(q: Any, k_cache: Any, v_cache: Any, tables: Any, lengths: Any) -> Any:
        if calls[0] % layers == 0:
            print(f"token {calls[0] // layers + 2}, through {layers} layers: ", end="", flush=True)
        calls[0] += 1
        head_dim = q.shape[-1]
        wider = (0, max(0, 16 - head_dim))  # the heads of the tiny stand-in are smaller than a kernel takes
        inputs = [*(pad(t, wider) for t in (q, k_cache, v_cache)), tables.int(), lengths.int()]
        out = paged_decode(*(t.to(device) for t in inputs), scale=head_dim**-0.5, kernel=kernel)[..., :head_dim]
        print("." if calls[0] % layers else ".\n", end="", flush=True)
        return out.to(q.device)

    ids = model.tokenizer.encode_prompt(prompt)
    blocks, chosen = -(-(len(ids) + tokens + 1) // 16), []
    began = perf_counter()
    for decode in (attend, None):
        cache = model.paged_cache(blocks, 16, parts=Parts(yours=False))
        cache._decode_attention = decode
        chosen.append(model.generate_many([ids], max_new_tokens=tokens + 1, stop=False, cache=cache)[0])
        if decode is not None:
            seconds = perf_counter() - began
    print(f"\n{model.name}: {prompt}{chosen[0].text}")
    where = "Triton's interpreter" if INTERPRETED else "the GPU"
    print(f"{seconds:.1f} s in {where}; the same tokens as PyTorch: {chosen[0].token_ids == chosen[1].token_ids}")
