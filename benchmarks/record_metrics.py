"""What the metric loggers of vLLM and SGLang export, as the text of `/metrics`, without a GPU and without a model.

The loggers are those of the wheels. vLLM's are fed by its own scheduler and output processor on a small workload that
preempts; the time of a step and the FLOPs of a token are made up. So the counters are what a server would have shown,
and `truth` in the index says what happened. The same run gives vLLM's KV events in its own encoding. SGLang's
collectors are fed by hand: names, labels, types and buckets are real, the story is not.

    pip download --no-deps --dest SCRATCH vllm==0.33.0 sglang==0.5.23
    python -m zipfile -e SCRATCH/vllm-*.whl SCRATCH/vllm
    python -m zipfile -e SCRATCH/sglang-*.whl SCRATCH/sglang
    (and SCRATCH/more as in record_vllm.py)
    PYTHONHASHSEED=0 python benchmarks/record_metrics.py vllm SCRATCH/vllm SCRATCH/more
    PYTHONHASHSEED=0 python benchmarks/record_metrics.py sglang SCRATCH/sglang SCRATCH/more

Written without the families of the Python process and without creation times (PROMETHEUS_DISABLE_CREATED_SERIES), which
differ between runs.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import struct
import sys
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import record_vllm

OUT = Path(__file__).parent / "recordings" / "metrics"
SCRAPES = 4
FLOPS_A_TOKEN = 2 * 134_515_008  # twice the parameters of SmolLM2-135M: made up, as if every token cost the same


class Clock:
    """The `time` of the modules that are recorded."""

    now = 1_000.0

    def time(self) -> float:
        return self.now

    monotonic = perf_counter = time

    def monotonic_ns(self) -> int:
        return int(self.now * 1e9)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def exported(prefix: str) -> str:
    """The exposition of the process, without the families of other prefixes."""
    from prometheus_client import REGISTRY, generate_latest

    families = re.split(r"(?m)^(?=# HELP )", generate_latest(REGISTRY).decode())
    return "".join(family for family in families if family.startswith(f"# HELP {prefix}"))


def save(name: str, texts: list[tuple[float, str]], **facts: Any) -> None:
    """Write the texts, and what they are, under a name."""
    OUT.mkdir(parents=True, exist_ok=True)
    files = []
    for number, (at_s, text) in enumerate(texts):
        files.append({"file": f"{name}_{number}.txt", "at_s": round(at_s, 6)})
        (OUT / files[-1]["file"]).write_text(text)
    (OUT / f"{name}.json").write_text(json.dumps({**facts, "scrapes": files}, indent=1) + "\n")
    print(f"{name}: {len(texts)} texts, {sum(len(text) for _, text in texts):,} bytes")


# ----- vLLM -------------------------------------------------------------------------------------------------------


def vllm(version: str) -> None:
    """Serve the workload `tight` of `record_vllm`, export a few times, and keep the KV events."""
    import vllm.v1.core.kv_cache_metrics as kv_metrics
    import vllm.v1.core.sched.scheduler as sched
    import vllm.v1.engine as engine
    import vllm.v1.metrics.stats as stats
    import vllm.v1.request as request_module

    clock = Clock()
    for module in (kv_metrics, sched, engine, stats, request_module):
        module.time = clock
    load = record_vllm.workloads()["tight"]
    given = {"events": True, "sample": 1.0}
    settings = record_vllm.DEFAULTS | {"num_blocks": load["num_blocks"]}
    texts, truth, batches = serve(settings | given, load["requests"], clock)
    save("vllm", texts, engine="vllm", version=version, settings=settings | given, truth=truth)
    # Each batch as it goes over the wire, behind its length in four bytes.
    (OUT / "vllm_kv_events.bin").write_bytes(b"".join(struct.pack("<I", len(batch)) + batch for batch in batches))


def serve(settings: dict[str, Any], requests: list[Any], clock: Clock) -> tuple[list[Any], list[Any], list[bytes]]:
    """The texts with their times, what had happened by then, and the batches of KV events."""
    import msgspec
    from vllm.sampling_params import SamplingParams
    from vllm.utils.hashing import sha256_cbor
    from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
    from vllm.v1.engine import EngineCoreRequest
    from vllm.v1.engine.output_processor import OutputProcessor
    from vllm.v1.metrics.loggers import PrometheusStatLogger
    from vllm.v1.metrics.perf import PerfStats
    from vllm.v1.metrics.stats import IterationStats
    from vllm.v1.outputs import ModelRunnerOutput
    from vllm.v1.request import Request

    init_none_hash(sha256_cbor)
    scheduler = record_vllm.make(settings)
    batches: list[bytes] = []
    encoder = msgspec.msgpack.Encoder()
    scheduler.kv_event_publisher = SimpleNamespace(publish=lambda batch: batches.append(encoder.encode(batch)))
    config = scheduler.vllm_config
    logger = PrometheusStatLogger(config, [0])
    logger.log_engine_initialized()
    outputs = OutputProcessor(tokenizer=None, log_stats=True)
    hasher = get_request_block_hasher(settings["block_size"], sha256_cbor)
    truth = {"delivered": 0, "computed": 0, "recomputed": 0, "preempted": 0, "evicted": 0, "finished": 0}
    most: dict[str, int] = {}
    preempt, evict = scheduler._preempt_request, scheduler.kv_cache_manager.block_pool._maybe_evict_cached_block

    def preempted(*args: Any, **kwargs: Any) -> Any:
        truth["preempted"] += 1
        return preempt(*args, **kwargs)

    def evicted(block: Any) -> bool:
        gone = evict(block)
        truth["evicted"] += gone
        return gone

    scheduler._preempt_request = preempted
    scheduler.kv_cache_manager.block_pool._maybe_evict_cached_block = evicted
    known: dict[str, Any] = {}
    texts, truths = [(clock.now, exported("vllm:"))], [dict(truth)]
    began, step, shown = clock.now, 0, 0
    while True:
        for index, (prompt, max_tokens, arrival) in enumerate(requests):
            if arrival == step:
                params = SamplingParams(max_tokens=max_tokens, ignore_eos=True, detokenize=False)
                name = str(index)
                core = EngineCoreRequest(
                    name, prompt, None, params, None, clock.now, None, None, None, external_req_id=name
                )
                outputs.add_request(core, None)
                known[name] = Request(name, prompt, params, None, arrival_time=clock.now, block_hasher=hasher)
                scheduler.add_request(known[name])
        if all(arrival < step for *_, arrival in requests) and not scheduler.has_unfinished_requests():
            break
        out = scheduler.schedule()
        ids = list(out.num_scheduled_tokens)
        for id, n in out.num_scheduled_tokens.items():
            start = known[id].num_computed_tokens - n  # `schedule` has moved it on
            truth["computed"] += n
            truth["recomputed"] += max(0, min(most.get(id, 0) - start, n))
            most[id] = max(most.get(id, 0), start + n)
        total = sum(out.num_scheduled_tokens.values())
        clock.now += 0.02 + 0.001 * total
        tokens = [
            [] if known[id].is_prefill_chunk else [record_vllm.sampled(int(id), known[id].num_output_tokens)]
            for id in ids
        ]
        truth["delivered"] += sum(map(len, tokens))
        told = scheduler.update_from_output(
            out,
            ModelRunnerOutput(
                req_ids=ids, req_id_to_index={id: i for i, id in enumerate(ids)}, sampled_token_ids=tokens
            ),
        )
        for answer in told.values():
            iteration = IterationStats()
            outputs.process_outputs(answer.outputs, clock.now, iteration)
            if answer.scheduler_stats is not None:
                answer.scheduler_stats.perf_stats = PerfStats(num_flops_per_gpu=FLOPS_A_TOKEN * total)
            logger.record(answer.scheduler_stats, iteration)
        truth["finished"] = sum(request.is_finished() for request in known.values())
        step += 1
        shown += iteration.num_preempted_reqs
        # The first after ten steps, and one while a victim waits: vLLM counts it when it has come back.
        if (step == 10 or shown < truth["preempted"]) and len(texts) < SCRAPES - 1:
            texts.append((clock.now, exported("vllm:")))
            truths.append(dict(truth))
        if step > record_vllm.MOST_STEPS:
            raise SystemExit(f"Not done after {step} steps.")
    logger.record_admission_rejection("max_num_queued_reqs")
    texts.append((clock.now, exported("vllm:")))
    return [(at - began, text) for at, text in texts], [*truths, truth], batches


# ----- SGLang -----------------------------------------------------------------------------------------------------


STATES = [
    # (running, waiting, tokens used, evictable, free), what has grown since the last: prompts computed, new in them,
    # hit on the device; decoded; retracted requests with their inputs and outputs; evicted; finished requests
    ((0, 0, 0, 0, 4096), (0, 0, 0), 0, (0, 0, 0), 0, 0),
    ((12, 3, 2900, 700, 496), (3600, 3600, 400), 900, (0, 0, 0), 0, 4),
    ((16, 9, 3800, 250, 46), (4300, 3500, 300), 1100, (2, 700, 100), 1600, 6),
    ((10, 16, 3900, 150, 46), (4800, 1900, 100), 500, (5, 2400, 500), 2300, 2),
]


def sglang(version: str) -> None:
    """Take SGLang's collectors through four states, made up, two seconds apart."""
    folder = Path(sys.argv[2]) / "sglang"
    # Only the collectors are run. What they import of the server stands in: names for annotations, and two settings.
    for name in ("sglang", "sglang.srt", "sglang.srt.observability", "sglang.srt.utils"):
        module = types.ModuleType(name)
        module.__path__ = [str(folder.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = module
    sys.modules["sglang.srt.utils"].get_bool_env_var = lambda name, default="false": False
    record_vllm.STUBS.update(
        f"sglang.srt.{name}"
        for name in ("disaggregation", "model_executor", "runtime_context", "server_args", "utils.nvtx_utils")
    )
    sys.meta_path.insert(0, record_vllm._Stubs())
    import sglang.srt.observability.metrics_collector as collectors

    unset = dict.fromkeys(("prefill_delayer_forward_passes_buckets", "prefill_delayer_wait_seconds_buckets"))
    collectors.get_schedule = lambda: SimpleNamespace(prefill_delayer_max_delay_passes=30, **unset)
    collectors.get_observability = lambda: SimpleNamespace(prompt_tokens_buckets=None, generation_tokens_buckets=None)
    collectors.exports_expert_balancedness_to_prometheus = lambda: False
    ranks = {"tp_rank": 0, "pp_rank": 0}
    labels = {"model_name": "none", "engine_type": "unified", **ranks, "moe_ep_rank": 0}
    scheduler = collectors.SchedulerMetricsCollector(labels=labels, server_args=None)
    asked = {"model_name": "none", "engine_type": "unified"}
    tokenizer = collectors.TokenizerMetricsCollector(labels=asked)
    cache = collectors.RadixCacheMetricsCollector(labels={"cache_type": "UnifiedRadixCache", **ranks, "dp_rank": 0})
    scheduler.emit_constants(
        max_total_num_tokens=4096, max_total_num_tokens_swa=None, weight_memory_usage_gb=0.3,
        kv_cache_memory_usage_gb=0.1, graph_memory_usage_gb={}, max_running_requests_under_SLO=None, page_size=16,
        num_pages=256, context_len=8192, startup_available_gpu_memory_gb=1.0,
    )  # fmt: skip
    texts = []
    for number, (gauges, (compute, new, hit), decoded, retracted, evicted, finished) in enumerate(STATES):
        running, waiting, used, evictable, free = gauges
        scheduler.increment_realtime_tokens(None, compute, hit, decoded)
        scheduler.increment_effective_prefill_tokens(new, hit, 0, 0)
        scheduler.increment_retracted_reqs(*retracted)
        scheduler.increment_estimated_perf(FLOPS_A_TOKEN * (compute + decoded), 0, 0)
        cache.increment_eviction_num_tokens(evicted)
        for _ in range(finished):
            tokenizer.observe_one_finished_request(asked, 900, 180, 60, 8.5, has_grammar=False, is_streaming=True)
            tokenizer.observe_time_to_first_token(asked, 0.3 * number, stream=True)
            tokenizer.observe_inter_token_latency(asked, 0.012 * number * 100, 100)
        scheduler.log_stats(
            collectors.SchedulerStats(
                num_running_reqs=collectors.QueueCount(running),
                num_queue_reqs=collectors.QueueCount(waiting),
                num_retracted_reqs=retracted[0],
                gen_throughput=decoded / 2,
                cache_hit_rate=hit / max(1, hit + new),
                token_usage=used / 4096,
                full_token_usage=used / 4096,
                num_used_tokens=used,
                kv_used_tokens=used,
                kv_available_tokens=free,
                kv_evictable_tokens=evictable,
                new_token_ratio=0.7,
            )
        )
        texts.append((2.0 * number, exported("sglang:")))
    save("sglang", texts, engine="sglang", version=version, settings={"page_size": 16, "states": STATES})


def main() -> None:
    which, folders = (sys.argv[1:] or [""])[0], sys.argv[2:]
    if which not in ("vllm", "sglang") or not folders or os.environ.get("PYTHONHASHSEED") != "0":
        raise SystemExit(__doc__)
    os.environ |= {"VLLM_LOGGING_LEVEL": "ERROR", "PROMETHEUS_DISABLE_CREATED_SERIES": "True"}
    sys.path.extend(folders)
    sys.meta_path.append(record_vllm._Stubs())
    version = next(d.version for d in importlib.metadata.distributions(path=[folders[0]]) if d.name == which)
    globals()[which](version)


if __name__ == "__main__":
    main()
