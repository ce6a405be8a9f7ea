"""What vLLM's own scheduler decides on small workloads, step by step, without a GPU and without a model.

It runs vLLM's scheduler and KV-cache manager as they come in the wheel, and writes each decision as JSON into
`benchmarks/recordings/`. A test replays the same workloads through this project's scheduler and compares.

    pip download --no-deps --dest SCRATCH vllm==0.33.0
    python -m zipfile -e SCRATCH/vllm-*.whl SCRATCH/vllm
    pip install --no-deps --target SCRATCH/more msgspec cbor2 cachetools cloudpickle openai fastapi starlette \\
        openai_harmony pybase64 sniffio distro jiter aiohttp multidict yarl propcache aiohappyeyeballs aiosignal \\
        frozenlist
    PYTHONHASHSEED=0 python benchmarks/record_vllm.py SCRATCH/vllm SCRATCH/more

The rest that vLLM imports is in this project's environment (torch, transformers, pydantic, pyzmq, ...), or is stood in
for by empty modules (`STUBS`): nothing of them is called. The synchronous scheduler is recorded, with full attention,
one rank and one cache group. Blocks are counted without vLLM's null block.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.metadata
import json
import os
import random
import sys
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any

OUT = Path(__file__).parent / "recordings"
STUBS = {"xgrammar", "llguidance", "uvloop", "cpuinfo", "opentelemetry", "partial_json_parser"}
MOST_STEPS = 400


def sampled(index: int, output: int) -> int:
    """The token that comes out: number `output` of request number `index`."""
    return 10_000 + 100 * index + output


# ----- workloads --------------------------------------------------------------------------------------------------


def workloads() -> dict[str, dict[str, Any]]:
    """Settings and requests: (prompt, max_tokens, the step before which it comes) each."""

    def own(index: int, length: int) -> list[int]:
        return [1000 * (index + 1) + i for i in range(length)]

    def mixed(seed: int, count: int, prompt: tuple[int, int], output: tuple[int, int], gap: int) -> list[Any]:
        draw = random.Random(seed)
        return [
            (own(i, draw.randint(*prompt)), draw.randint(*output), draw.randint(0, gap) * i // 2) for i in range(count)
        ]

    system = own(90, 24)
    shared = [(system + own(i, 3 + 5 * i), 6 + i, 2 * (i // 2)) for i in range(6)]
    return {
        "plain": {"num_blocks": 64, "requests": mixed(1, 6, (5, 30), (3, 12), 2)},
        "tight": {"num_blocks": 22, "requests": mixed(2, 8, (8, 30), (10, 30), 2)},
        "tight_without_cache": {"num_blocks": 22, "caching": False, "requests": mixed(2, 8, (8, 30), (10, 30), 2)},
        "chunked": {"num_blocks": 64, "token_budget": 16, "requests": mixed(3, 6, (10, 60), (4, 12), 2)},
        "chunked_tight": {"num_blocks": 26, "token_budget": 12, "requests": mixed(4, 7, (10, 50), (8, 24), 2)},
        "long_chunks_limited": {
            "num_blocks": 64, "token_budget": 32, "longest_chunk": 6, "requests": mixed(5, 6, (10, 50), (4, 12), 2),
        },
        "shared_prefixes": {"num_blocks": 40, "requests": shared},
        "shared_tight": {"num_blocks": 18, "requests": shared},
        "watermark": {"num_blocks": 26, "watermark": 0.2, "requests": mixed(6, 8, (8, 30), (10, 30), 2)},
        "full_sequence": {"num_blocks": 24, "token_budget": 16, "requests": mixed(7, 7, (20, 60), (6, 20), 1)},
        "no_full_sequence": {
            "num_blocks": 24, "token_budget": 16, "full_sequence": False, "requests": mixed(7, 7, (20, 60), (6, 20), 1),
        },
        "one_at_a_time": {"num_blocks": 64, "seats": 2, "requests": mixed(8, 6, (5, 30), (3, 12), 1)},
    }  # fmt: skip


DEFAULTS = {
    "block_size": 4,
    "token_budget": 64,
    "seats": 16,
    "longest_chunk": None,
    "watermark": 0.0,
    "full_sequence": True,
    "caching": True,
}


# ----- vLLM -------------------------------------------------------------------------------------------------------


class _AllowsAll(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing

    def __getitem__(cls, key: Any) -> Any:
        return cls

    def __or__(cls, other: Any) -> Any:
        return object

    __ror__ = __or__


class _Nothing(metaclass=_AllowsAll):
    """Can be called, used as a decorator and asked for anything."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        return None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return args[0] if args else self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing()


class _Stub(types.ModuleType):
    __path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (_Nothing,), {})


class _Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        known = name.split(".")[0] in STUBS or any(name == stub or name.startswith(f"{stub}.") for stub in STUBS)
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if known else None

    def create_module(self, spec: Any) -> Any:
        return _Stub(spec.name)

    def exec_module(self, module: Any) -> None:
        return None


def make(settings: dict[str, Any]) -> Any:
    """vLLM's scheduler with these settings; with "events" it publishes KV events, with "sample" it watches blocks."""
    import torch
    from vllm.config import CacheConfig, KVEventsConfig, SchedulerConfig
    from vllm.v1.core.sched.scheduler import Scheduler
    from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec

    longest = 4096
    scheduler = SchedulerConfig(
        max_model_len=longest,
        is_encoder_decoder=False,
        max_num_batched_tokens=max(settings["token_budget"], settings["seats"]),
        max_num_scheduled_tokens=settings["token_budget"],
        max_num_seqs=settings["seats"],
        long_prefill_token_threshold=settings["longest_chunk"] or 0,
        scheduler_reserve_full_isl=settings["full_sequence"],
        watermark=settings["watermark"],
    )
    cache = CacheConfig(block_size=settings["block_size"], enable_prefix_caching=settings["caching"])
    cache.num_gpu_blocks = settings["num_blocks"] + 1  # and the null block
    events = KVEventsConfig(enable_kv_cache_events=True, publisher="null") if settings.get("events") else None
    spec = FullAttentionSpec(block_size=settings["block_size"], num_kv_heads=1, head_size=8, dtype=torch.float16)
    nothing = dict.fromkeys(
        ("lora_config", "kv_transfer_config", "ec_transfer_config", "speculative_config", "watermark_config")
    )
    no_tokens = dict.fromkeys(
        ("num_speculative_tokens", "num_lookahead_tokens", "num_prefill_lookahead_tokens", "num_hash_lookahead_tokens"),
        0,
    )
    off = dict.fromkeys(
        ("uses_mrope", "is_encoder_decoder", "is_diffusion", "supports_multimodal_inputs", "return_sampling_mask"),
        False,
    )
    parallel = dict.fromkeys(
        ("data_parallel_size", "pipeline_parallel_size", "decode_context_parallel_size",
         "prefill_context_parallel_size"), 1,
    )  # fmt: skip
    watched = dict.fromkeys(
        ("enable_mfu_metrics", "show_hidden_metrics", "enable_logging_iteration_details",
         "cudagraph_metrics"), False,
    )  # fmt: skip
    config = SimpleNamespace(
        scheduler_config=scheduler, cache_config=cache, kv_events_config=events, is_mm_encoder_only=False,
        use_v2_model_runner=False, max_concurrent_batches=1, max_in_flight_tokens=settings["token_budget"],
        ec_manager_config=SimpleNamespace(get_encoder_cache_manager_obj=lambda *a, **k: None),
        aux_output_config=SimpleNamespace(enabled=False),
        model_config=SimpleNamespace(max_model_len=longest, runner_type="generate", served_model_name="none", **off),
        parallel_config=SimpleNamespace(data_parallel_index=0, **parallel),
        observability_config=SimpleNamespace(
            per_request_spec_decode_metrics="none", custom_histogram_buckets=None,
            kv_cache_metrics="sample" in settings, kv_cache_metrics_sample=settings.get("sample", 0.01), **watched,
        ),
        **nothing, **no_tokens,
    )  # fmt: skip
    return Scheduler(
        vllm_config=config,
        kv_cache_config=KVCacheConfig(
            num_blocks=settings["num_blocks"] + 1,
            kv_cache_tensors=[],
            kv_cache_groups=[KVCacheGroupSpec(["layer.0"], spec)],
        ),
        structured_output_manager=SimpleNamespace(accept_tokens=lambda request, tokens: True),
        block_size=settings["block_size"],
        log_stats=True,
    )


def record(settings: dict[str, Any], requests: list[Any]) -> list[dict[str, Any]]:
    """Every step until all have finished."""
    from vllm.sampling_params import SamplingParams
    from vllm.utils.hashing import sha256_cbor
    from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
    from vllm.v1.outputs import ModelRunnerOutput
    from vllm.v1.request import Request

    init_none_hash(sha256_cbor)
    scheduler = make(settings)
    preempted: list[str] = []
    preempt = scheduler._preempt_request

    def watched(request: Any, *args: Any, **kwargs: Any) -> Any:
        preempted.append(request.request_id)
        return preempt(request, *args, **kwargs)

    scheduler._preempt_request = watched
    known: dict[str, Any] = {}
    steps: list[dict[str, Any]] = []
    while len(steps) < MOST_STEPS:
        for index, (prompt, max_tokens, arrival) in enumerate(requests):
            if arrival == len(steps):
                request = Request(
                    str(index), prompt, SamplingParams(max_tokens=max_tokens, ignore_eos=True), None,
                    arrival_time=float(index),
                    block_hasher=get_request_block_hasher(settings["block_size"], sha256_cbor),
                )  # fmt: skip
                known[str(index)] = request
                scheduler.add_request(request)
        if all(arrival < len(steps) for *_, arrival in requests) and not scheduler.has_unfinished_requests():
            return steps
        preempted.clear()
        out = scheduler.schedule()
        new = {entry.req_id: entry.num_computed_tokens for entry in out.scheduled_new_reqs}
        cached = out.scheduled_cached_reqs
        resumed = {
            id: hit
            for id, hit in zip(cached.req_ids, cached.num_computed_tokens, strict=True)
            if id in cached.resumed_req_ids
        }
        step: dict[str, Any] = {
            "scheduled": [[int(id), n] for id, n in out.num_scheduled_tokens.items()],
            "new": {int(id): hit for id, hit in new.items()},
            "resumed": {int(id): hit for id, hit in resumed.items()},
            "preempted": [int(id) for id in preempted],
            "free": scheduler.kv_cache_manager.block_pool.get_num_free_blocks(),
        }
        ids = list(out.num_scheduled_tokens)
        tokens = [[] if known[id].is_prefill_chunk else [sampled(int(id), known[id].num_output_tokens)] for id in ids]
        scheduler.update_from_output(
            out,
            ModelRunnerOutput(
                req_ids=ids, req_id_to_index={id: i for i, id in enumerate(ids)}, sampled_token_ids=tokens
            ),
        )
        step["finished"] = sorted(int(id) for id in known if known[id].is_finished())
        for id in step["finished"]:
            del known[str(id)]
        steps.append(step)
    raise SystemExit(f"Not done after {MOST_STEPS} steps.")


def main() -> None:
    folders = sys.argv[1:]
    if not folders or os.environ.get("PYTHONHASHSEED") != "0":
        raise SystemExit(__doc__)
    os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
    sys.path.extend(folders)
    sys.meta_path.append(_Stubs())
    version = next(d.version for d in importlib.metadata.distributions(path=[folders[0]]) if d.name == "vllm")
    OUT.mkdir(exist_ok=True)
    for name, load in workloads().items():
        settings = DEFAULTS | {key: value for key, value in load.items() if key != "requests"}
        steps = record(settings, load["requests"])
        requests = [{"prompt": p, "max_tokens": n, "arrival": at} for p, n, at in load["requests"]]
        recording = {"engine": "vllm", "version": version, "settings": settings, "requests": requests, "steps": steps}
        lines = json.dumps(recording, separators=(",", ":")).replace('{"scheduled"', '\n{"scheduled"')
        (OUT / f"{name}.json").write_text(lines.replace('{"prompt"', '\n{"prompt"') + "\n")
        preemptions = sum(len(step["preempted"]) for step in steps)
        print(f"{name}: {len(requests)} requests, {len(steps)} steps, {preemptions} preemptions")


if __name__ == "__main__":
    main()
