"""The engine beside what else there is: how many requests fit in the same memory, and how fast they are served.

All ratios are of one run, and both sides take turns: on a machine that does other things as well, a time of one run
means little beside one of another. Of several times the least is compared, since others can only add to it.
"""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labkit.scheduling.config import SchedulerConfig
from labkit.serving import weights
from labkit.serving.llm_engine import LLMEngine
from labkit.serving.loaded import LoadedModel
from labkit.serving.request import Request
from labkit.simulate.workload import draw

SHORTER = 8
"""The workload has the lengths of Azure's conversations, cut to an eighth: minutes on a processor, not hours."""
MOST_ANSWER = 1000 // SHORTER
"""The longest answer of the workload; the `max_tokens` that everybody gives who does not know how long it will be."""
BATCH = 32
BLOCK = 16


@dataclass(frozen=True)
class Asked:
    """A prompt and the length of its answer."""

    prompt: list[int]
    answer: int


def mixed(count: int, vocab_size: int, most: int, seed: int = 0) -> list[Asked]:
    """The mixed-length workload: lengths of `labkit.simulate.workload`, cut to an eighth, of random tokens.

    Args:
        most: tokens of a prompt at most.
    """
    trace, chance = draw(count, seed), np.random.default_rng(seed)
    inputs, outputs = trace.input_tokens // SHORTER + 1, trace.output_tokens // SHORTER + 1
    return [
        Asked(chance.integers(3, vocab_size, min(int(n), most)).tolist(), int(m))
        for n, m in zip(inputs, outputs, strict=True)
    ]


def engine_for(model: LoadedModel, blocks: int, asked: Sequence[Asked], limit: int | None, **knobs: Any) -> LLMEngine:
    """An engine to which all of a workload has been submitted. Answers end where the workload says.

    Args:
        limit: `max_tokens` of each request, by which the scheduler goes; None for the length of its answer.
    """
    config = SchedulerConfig(**{"token_budget": 512} | knobs)
    engine = model.engine(blocks, BLOCK, config=config, yours=False)
    for i, one in enumerate(asked):
        engine.submit(Request(f"R{i}", one.prompt, one.answer if limit is None else limit))
        engine.growing[f"R{i}"].most = one.answer  # a stop token would come where it likes
    return engine


# ----- memory ------------------------------------------------------------------------------------------------------


def bench_memory(model: LoadedModel, count: int, slots: int, say: Callable[[str], None]) -> dict[str, Any]:
    """The most requests that run at once in the same memory, paged and reserved to two lengths.

    All three are this engine on the same blocks. Who reserves starts only where everybody could grow to the longest:
    to what the model can read, as memory in one piece must for a request that does not say, or to prompt and
    `max_tokens`. No room is lost between reservations, so both are better than memory in one piece is.

    Args:
        slots: tokens that there is memory for.
    """
    limit = model.config.max_position_embeddings
    asked = mixed(count, model.config.vocab_size, limit - MOST_ANSWER - 1)
    ways = {
        "model_maximum": (limit, {"reserve_to_max": True}),
        "prompt_and_max_tokens": (MOST_ANSWER, {"reserve_to_max": True}),
        "paged": (MOST_ANSWER, {}),
    }
    told: dict[str, Any] = {"requests": count, "slots": slots, "ways": {}}
    for way, (most, knobs) in ways.items():
        say(f"memory: {way.replace('_', ' ')}")
        # Who gets a turn only when another one ends need not be waited for: a few rounds show the most.
        served = asked if way != "model_maximum" else asked[: 8 * max(1, slots // limit)]
        engine = engine_for(model, slots // BLOCK, served, most, seats=count, **knobs)
        peak = 0
        while engine.has_work:
            engine.step()
            peak = max(peak, len(engine.scheduler.running))
        told["bytes"] = engine.cache.num_bytes
        told["ways"][way] = {
            "peak_running": peak,
            "served": len(served),
            "preemptions": engine.cache.manager.counters.preemptions,
        }
    paged = told["ways"]["paged"]["peak_running"]
    return told | {f"times_{way}": paged / told["ways"][way]["peak_running"] for way in list(ways)[:2]}


# ----- requests per second -----------------------------------------------------------------------------------------


def bench_speed(model: LoadedModel, theirs: Any, count: int, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Requests per second of the workload, beside `generate` of transformers in batches padded to the longest.

    Args:
        theirs: a model of transformers with the same weights; None leaves it out.
    """
    most = 2048 // SHORTER * 2
    asked = mixed(count, model.config.vocab_size, most, seed=1)
    longest = max(len(one.prompt) + one.answer for one in asked)
    blocks = BATCH * -(-longest // BLOCK)
    ours_s, theirs_s = [], []
    for number in range(rounds):
        say(f"requests per second, round {number + 1} of {rounds}")
        engine = engine_for(model, blocks, asked, None, seats=BATCH)
        began = time.perf_counter()
        for _ in engine.stream():
            pass
        ours_s.append(time.perf_counter() - began)
        if theirs is not None:
            began = time.perf_counter()
            for at in range(0, count, BATCH):
                padded_batch(theirs, asked[at : at + BATCH])
            theirs_s.append(time.perf_counter() - began)
    tokens = sum(one.answer for one in asked)
    told: dict[str, Any] = {
        "requests": count,
        "batch": BATCH,
        "prompt_tokens": sum(len(one.prompt) for one in asked),
        "answer_tokens": tokens,
        "requests_per_s": count / min(ours_s),
        "tokens_per_s": tokens / min(ours_s),
    }
    if theirs_s:
        told |= {"transformers_requests_per_s": count / min(theirs_s), "times": min(theirs_s) / min(ours_s)}
    return told


@torch.inference_mode()
def padded_batch(theirs: Any, asked: Sequence[Asked]) -> Tensor:
    """One batch of `generate`: prompts padded to the longest, steps until the longest answer."""
    width = max(len(one.prompt) for one in asked)
    ids = torch.tensor([[0] * (width - len(one.prompt)) + one.prompt for one in asked])
    seen = torch.tensor([[0] * (width - len(one.prompt)) + [1] * len(one.prompt) for one in asked])
    most = max(one.answer for one in asked)
    how = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0, "min_new_tokens": most}
    return theirs.generate(ids, attention_mask=seen, max_new_tokens=most, **how)


# ----- one step ----------------------------------------------------------------------------------------------------


class Timed:
    """A model that notes the seconds of its calls."""

    def __init__(self, model: Any) -> None:
        self.config, self.device, self.seconds, self._model = model.config, model.device, 0.0, model

    def __call__(self, *args: Any) -> Tensor:
        began = time.perf_counter()
        out: Tensor = self._model(*args)
        self.seconds = time.perf_counter() - began
        return out


def bench_step(model: LoadedModel, theirs: Any, context: int, steps: int, say: Callable[[str], None]) -> dict[str, Any]:
    """A step in which 32 requests decode, beside the same step of transformers; and what of ours is no model.

    Args:
        context: tokens of each prompt.
    """
    say(f"a decode step of {BATCH}")
    chance = np.random.default_rng(2)
    prompts = [chance.integers(3, model.config.vocab_size, context).tolist() for _ in range(BATCH)]
    asked = [Asked(prompt, steps + 10) for prompt in prompts]
    engine = engine_for(model, BATCH * -(-(context + steps + 10) // BLOCK), asked, None)
    while not all(request.decodes for request in engine.scheduler.running) or engine.scheduler.waiting:
        engine.step()
    engine.model = timed = Timed(model.model)  # type: ignore[assignment]
    their_step = None if theirs is None else steps_of(theirs, prompts)
    whole, inside, beside = [], [], []
    for _ in range(steps):
        began = time.perf_counter()
        engine.step()
        whole.append(time.perf_counter() - began)
        inside.append(timed.seconds)
        if their_step is not None:
            began = time.perf_counter()
            their_step()
            beside.append(time.perf_counter() - began)
    ours = statistics.median(all_of_it - in_it for all_of_it, in_it in zip(whole, inside, strict=True))
    told = {
        "batch": BATCH,
        "context": context,
        "step_ms": 1e3 * min(whole),
        "overhead_ms": 1e3 * ours,
        "overhead_share": ours / statistics.median(whole),
    }
    if beside:
        told |= {"transformers_step_ms": 1e3 * min(beside), "times": min(beside) / min(whole)}
    return told


@torch.inference_mode()
def steps_of(theirs: Any, prompts: list[list[int]]) -> Callable[[], None]:
    """The prompts computed; returns what decodes one token of each, greedily."""
    out = theirs(torch.tensor(prompts), use_cache=True)
    state = [out.past_key_values, out.logits[:, -1].argmax(-1, keepdim=True), len(prompts[0])]

    @torch.inference_mode()
    def step() -> None:
        past, token, length = state
        seen = torch.ones(len(prompts), length + 1, dtype=torch.long)
        out = theirs(token, past_key_values=past, attention_mask=seen, use_cache=True)
        state[:] = out.past_key_values, out.logits[:, -1].argmax(-1, keepdim=True), length + 1

    return step


# ----- all of it ---------------------------------------------------------------------------------------------------


def in_transformers(model: LoadedModel, name: str | None) -> tuple[Any, str]:
    """The same weights in transformers, or None and why not.

    Args:
        name: as `labkit.serving.load` was asked for it.
    """
    if model.is_tiny:
        return None, "the tiny model is not known to transformers, so nothing is compared: run `labkit model fetch`"
    try:
        from transformers import AutoModelForCausalLM
    except ImportError:
        return None, "transformers is not installed, so nothing is compared: pip install transformers"
    folder = weights.model_dir() if name is None else name
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=model.model.dtype, attn_implementation="sdpa")
    return theirs.eval(), ""


TARGETS = {
    ("memory", "times_model_maximum"): 2.5,
    ("speed", "times"): 2.0,
    ("step", "times"): 1.0,
}
"""The least that each is to reach."""
MOST_OVERHEAD = 0.1
"""Of a step at a batch of 32."""


def bench_serve(
    model: LoadedModel,
    theirs: Any,
    say: Callable[[str], None],
    *,
    requests: int = 64,
    rounds: int = 2,
    steps: int = 30,
    context: int = 128,
) -> dict[str, Any]:
    """All of it, on this processor.

    Args:
        theirs: a model of transformers with the same weights; None leaves the comparison out.
        requests: of the workload.
        rounds: of each speed, of which the best is taken.
        steps, context: of the single step.
    """
    done: dict[str, Any] = {
        "machine": {"processor": platform.machine(), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
        "load_average": [round(load, 1) for load in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "model": model.name,
        "dtype": str(model.model.dtype).removeprefix("torch."),
        "workload": f"lengths of Azure's conversations of 2023, cut to an eighth, seeds 0 and 1; {requests} requests",
        "step": bench_step(model, theirs, context, steps, say),
        "speed": bench_speed(model, theirs, requests, rounds, say),
        "memory": bench_memory(model, requests, model.config.max_position_embeddings, say),
        "gpu": None,
    }
    met = {"overhead": done["step"]["overhead_share"] < MOST_OVERHEAD}
    for (part, figure), least in TARGETS.items():
        if figure in done[part]:
            met[f"{part}, {figure.replace('_', ' ')}"] = done[part][figure] >= least
    if torch.cuda.is_available():
        from labkit.bench.serve_gpu import OF_FLOOR, bench_gpu

        say("a decode step on the GPU")
        done["gpu"] = bench_gpu(model)
        met["GPU, share of the floor at 1B"] = done["gpu"][-1]["of_floor"] >= OF_FLOOR
    return done | {"targets": met}


def lines(done: dict[str, Any]) -> list[str]:
    """The result as text."""
    memory, speed, step = done["memory"], done["speed"], done["step"]
    ways = memory["ways"]
    said = [
        f"{done['model']}, {done['dtype']}, {done['machine']['threads']} threads; {done['workload']}",
        f"requests at once in {memory['bytes'] / 2**20:,.0f} MiB of KV cache ({memory['slots']:,} slots):",
        f"  paged {ways['paged']['peak_running']}, {ways['paged']['preemptions']} preemptions",
        f"  reserved to the model's maximum {ways['model_maximum']['peak_running']}: paged has "
        f"{memory['times_model_maximum']:.1f} times as many",
        f"  reserved to prompt and max_tokens {ways['prompt_and_max_tokens']['peak_running']}: "
        f"{memory['times_prompt_and_max_tokens']:.2f} times",
        f"requests per second, {speed['batch']} at once: {speed['requests_per_s']:.2f} "
        f"({speed['tokens_per_s']:,.0f} tokens of answers)",
    ]
    if "times" in speed:
        theirs = speed["transformers_requests_per_s"]
        said.append(f"  transformers in padded batches: {theirs:.2f}, ours is {speed['times']:.1f} times as fast")
    said.append(
        f"a decode step of {step['batch']} at {step['context']} tokens: {step['step_ms']:.1f} ms, of which "
        f"{step['overhead_ms']:.1f} ms ({step['overhead_share']:.1%}) are neither model nor attention"
    )
    if "times" in step:
        said.append(f"  transformers: {step['transformers_step_ms']:.1f} ms, {step['times']:.2f} times ours")
    for row in done["gpu"] or ():
        said.append(
            f"on the GPU, {row['model']}: a decode step of {row['batch']} at {row['context']:,} tokens "
            f"{row['step_ms']:.2f} ms; its bytes take {row['floor_ms']:.2f} ms ({row['of_floor']:.0%})"
        )
    if not done["gpu"]:
        said.append("no GPU here: nothing is said of one")
    said += [f"target of {name}: {'reached' if met else 'missed'}" for name, met in done["targets"].items()]
    return said
