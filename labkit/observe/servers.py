"""What each kind of server tells about itself: for each figure of a series the metric, how it is read, and its worth.

The tables are data. A figure has one reading or several, the best first: the first whose metrics are all there is
taken, so older names stand below the ones of today. A figure without a reading is absent, and the kind says why.

Read in the wheels of vLLM 0.33.0 (`vllm/v1/metrics/loggers.py`) and SGLang 0.5.23
(`srt/observability/metrics_collector.py`); texts from their own collectors are in `benchmarks/recordings/metrics`,
and a test holds the tables against them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from labkit.observe.exposition import Exposition, Term
from labkit.observe.series import Worth


class How(StrEnum):
    """How a figure comes from its terms."""

    RATE = "rate"  # what counters grew by, a second
    SAMPLED = "sampled"  # the same of a counter that counts a share of things, see `Watch`
    RATIO = "ratio"  # what counters grew by, over what the counters `under` it grew by
    GAUGE = "gauge"  # the sum of gauges; over that of the gauges `under` it, where there are any
    MEAN = "mean"  # the mean of a gauge over the engines that have it
    REST = "rest"  # 1 less that mean
    QUANTILE = "quantile"  # of what came into a histogram, interpolated inside its bucket
    BALANCE = "balance"  # what gauges grew by and counters grew by, a second: who came = who is there now + who left


class Reading(NamedTuple):
    """One way to read a figure.

    Attributes:
        figure: its name in a series.
        how: see `How`.
        terms: what it is made of.
        under: the denominator of a ratio, or of a gauge; for a rate, a gauge that says what one counts for (tokens per
            block).
        at: the share of a quantile.
        bias: the sentence that says why it is a sign of the figure and not the figure; "" where it is exact.
        older: these are names of an older version.
        opt_in: the counter is always there, and stays 0 unless an option of the server switches it on.
    """

    figure: str
    how: How
    terms: tuple[Term, ...]
    under: tuple[Term, ...] = ()
    at: float = 0.0
    bias: str = ""
    older: bool = False
    opt_in: bool = False

    @property
    def worth(self) -> Worth:
        """Exact, or a proxy where there is a bias."""
        return Worth.PROXY if self.bias else Worth.EXACT

    @property
    def metrics(self) -> list[str]:
        """The samples that it needs."""
        end = "_bucket" if self.how is How.QUANTILE else ""
        return [term.metric + end for term in (*self.terms, *self.under)]


@dataclass(frozen=True, eq=False)
class Server:
    """A kind of server.

    Attributes:
        name: as a person calls it.
        prefix: what the names of its metrics begin with.
        readings: in order of preference for each figure.
        absent: why a figure without a reading is not there.
        read: the version in which the names were read.
        version_path: where it tells its version as JSON with the key "version"; "" for nowhere.
        version_in: the metric and the label that tell it; "" for nowhere.
        ranks: labels of copies (ranks of one engine) that all tell the same.
    """

    name: str
    prefix: str
    readings: tuple[Reading, ...]
    absent: Mapping[str, str]
    read: str
    version_path: str = ""
    version_in: tuple[str, str] = ("", "")
    ranks: tuple[str, ...] = ()

    def choose(self, answer: Exposition) -> dict[str, Reading]:
        """For each figure the first reading whose metrics are all in an answer."""
        chosen: dict[str, Reading] = {}
        for reading in self.readings:
            there = all(metric in answer.metrics for metric in reading.metrics)
            off = reading.opt_in and not any(answer.samples(reading.terms[0].metric).values())
            if reading.figure not in chosen and there and not off:
                chosen[reading.figure] = reading
        return chosen

    def why_absent(self, figure: str) -> str:
        """Why a figure is not there."""
        if figure in self.absent:
            return self.absent[figure]
        wanted = next((reading.metrics for reading in self.readings if reading.figure == figure), [])
        return f"This server does not export {' and '.join(dict.fromkeys(wanted))}." if wanted else "Not exported."


def recognise(scrape: Exposition) -> Server | None:
    """The kind of server whose metrics these are; where there are several, the one with the most."""
    counts = {server: sum(name.startswith(server.prefix) for name in scrape.metrics) for server in SERVERS}
    best = max(SERVERS, key=counts.__getitem__)
    return best if counts[best] else None


def _of(*metrics: str, factor: float = 1.0, **where: str) -> tuple[Term, ...]:
    return tuple(Term(metric, where, factor) for metric in metrics)


BETWEEN_BUCKETS = "Interpolated between the edges of the histogram's buckets, and never above the last edge."


def _times(ttft: str, itl: str, e2e: str, older: bool = False) -> tuple[Reading, ...]:
    shares = (("ttft_p50", ttft, 0.5), ("ttft_p99", ttft, 0.99), ("itl_p50", itl, 0.5), ("itl_p99", itl, 0.99))
    return tuple(
        Reading(figure, How.QUANTILE, _of(metric), at=at, bias=BETWEEN_BUCKETS, older=older)
        for figure, metric, at in (*shares, ("e2e_p99", e2e, 0.99))
    )


R = Reading
CAME = "Worked out from those who run, wait and have finished, so one that ended in error is missed."
NO_TARGET = "The server does not know your latency target."

VLLM = Server(
    name="vLLM",
    prefix="vllm:",
    read="0.33.0",
    version_path="/version",
    readings=(
        R("delivered", How.RATE, _of("vllm:generation_tokens_total")),
        R("computed", How.RATE,
          (*_of("vllm:prompt_tokens_by_source_total", source="local_compute"), *_of("vllm:generation_tokens_total")),
          bias="Leaves out what is computed again after a preemption, and a prompt shows when its last chunk is done."),
        R("computed", How.RATE, _of("vllm:prompt_tokens_total", "vllm:generation_tokens_total"), older=True,
          bias="Counts prompts whole, found in the cache or not, and leaves out what is computed again."),
        R("recycled", How.SAMPLED, _of("vllm:kv_block_lifetime_seconds_count"),
          bias="Scaled up from a sample of the blocks (--kv-cache-metrics-sample)."),
        R("evicted", How.SAMPLED, _of("vllm:kv_block_lifetime_seconds_count"),
          bias="Counts every recycled block of a sample, and not only those whose content could still be found."),
        R("preempted", How.RATE, _of("vllm:num_preemptions_total"),
          bias="Comes late: a preemption is counted when its victim gives its next token, so a stall shows none."),
        R("arrived", How.BALANCE,
          _of("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:request_success_total"), bias=CAME),
        R("finished", How.RATE, _of("vllm:request_success_total")),
        R("refused", How.RATE, _of("vllm:admission_rejections_total")),
        R("running", How.GAUGE, _of("vllm:num_requests_running")),
        R("waiting", How.GAUGE, _of("vllm:num_requests_waiting")),
        R("waiting_for_memory", How.GAUGE, _of("vllm:num_requests_waiting_by_reason", reason="capacity"),
          bias="Whoever waits for a seat or for the token budget counts too."),
        R("held", How.MEAN, _of("vllm:kv_cache_usage_perc")),
        R("held", How.MEAN, _of("vllm:gpu_cache_usage_perc"), older=True),
        R("free", How.REST, _of("vllm:kv_cache_usage_perc"), bias="Cached blocks that nobody holds look free."),
        R("free", How.REST, _of("vllm:gpu_cache_usage_perc"), older=True,
          bias="Cached blocks that nobody holds look free."),
        R("hit_rate", How.RATIO, _of("vllm:prefix_cache_hits_total"), _of("vllm:prefix_cache_queries_total"),
          bias="Leaves out requests that come back after a preemption."),
        R("hit_rate", How.RATIO, _of("vllm:gpu_prefix_cache_hits_total"), _of("vllm:gpu_prefix_cache_queries_total"),
          bias="May count requests that come back after a preemption and find their own blocks.", older=True),
        *_times("vllm:time_to_first_token_seconds", "vllm:inter_token_latency_seconds",
                "vllm:e2e_request_latency_seconds"),
        *_times("vllm:time_to_first_token_seconds", "vllm:time_per_output_token_seconds",
                "vllm:e2e_request_latency_seconds", older=True),
        R("flops_per_token", How.RATIO, _of("vllm:estimated_flops_per_gpu_total"), _of("vllm:generation_tokens_total"),
          opt_in=True, bias="Estimated from shapes, for one GPU; long prompts raise it as recomputation does."),
    ),
    absent={
        "recomputed": "In none of vLLM's token counters; FLOPs a delivered token may show it (--enable-mfu-metrics).",
        "recycled": "vLLM samples it only under --kv-cache-metrics.",
        "evicted": "vLLM counts no evictions: --kv-cache-metrics samples recycled blocks, and KV events are exact.",
        "regretted": "Nothing in /metrics says what an evicted block held; KV events do.",
        "cached": "Cached blocks that nobody holds are counted as free.",
        "goodput": NO_TARGET,
        "flops_per_token": "vLLM estimates FLOPs only under --enable-mfu-metrics.",
        "refused": "This version counts no refusals at the door.",
    },
)  # fmt: skip

EACH_RETURN = "Counts a request again each time that it comes back after a retraction."
SGLANG = Server(
    name="SGLang",
    prefix="sglang:",
    read="0.5.23",
    version_path="/server_info",
    ranks=("tp_rank", "pp_rank", "moe_ep_rank"),
    readings=(
        R("delivered", How.RATE, _of("sglang:realtime_tokens_total", mode="decode"),
          bias="Leaves out the first token of each request, which comes with its prompt."),
        R("delivered", How.RATE, _of("sglang:generation_tokens_total"), older=True,
          bias="Counts all tokens of a request when it has finished."),
        R("computed", How.RATE,
          (*_of("sglang:realtime_tokens_total", mode="prefill_compute"),
           *_of("sglang:realtime_tokens_total", mode="decode"))),
        R("recomputed", How.RATE,
          (*_of("sglang:realtime_tokens_total", mode="prefill_compute"),
           *_of("sglang:prefill_effective_tokens_total", mode="input", factor=-1.0)),
          bias="The difference of what prompts computed and what of it was new; replayed tokens count too."),
        R("evicted", How.RATE, _of("sglang:evicted_tokens_total"), _of("sglang:page_size")),
        R("evicted", How.RATE, _of("sglang:evicted_tokens_total"), older=True,
          bias="In tokens, since this version does not tell how many make a page."),
        R("preempted", How.RATE, _of("sglang:num_retracted_requests_total")),
        R("arrived", How.BALANCE,
          (*_of("sglang:num_running_reqs", "sglang:num_queue_reqs", priority=""), *_of("sglang:num_requests_total")),
          bias=CAME),
        R("finished", How.RATE, _of("sglang:num_requests_total")),
        # Where requests have priorities, the sample with none is the sum of the others.
        R("running", How.GAUGE, _of("sglang:num_running_reqs", priority="")),
        R("waiting", How.GAUGE, _of("sglang:num_queue_reqs", priority="")),
        R("held", How.GAUGE, _of("sglang:kv_used_tokens"), _of("sglang:max_total_num_tokens")),
        R("held", How.MEAN, _of("sglang:token_usage"),
          bias="The fullest of the pools, where a model has several.", older=True),
        R("cached", How.GAUGE, _of("sglang:kv_evictable_tokens"), _of("sglang:max_total_num_tokens")),
        R("free", How.GAUGE, _of("sglang:kv_available_tokens"), _of("sglang:max_total_num_tokens")),
        R("hit_rate", How.RATIO,
          (*_of("sglang:prefill_effective_tokens_total", mode="device_hit"),
           *_of("sglang:prefill_effective_tokens_total", mode="host_hit"),
           *_of("sglang:prefill_effective_tokens_total", mode="storage_hit")),
          _of("sglang:prefill_effective_tokens_total")),
        R("hit_rate", How.RATIO, _of("sglang:cached_tokens_total"), _of("sglang:prompt_tokens_total"), older=True,
          bias=EACH_RETURN),
        R("hit_rate", How.MEAN, _of("sglang:cache_hit_rate"), older=True,
          bias="Of the last batch of prompts alone."),
        *_times("sglang:time_to_first_token_seconds", "sglang:inter_token_latency_seconds",
                "sglang:e2e_request_latency_seconds"),
        *_times("sglang:time_to_first_token_seconds", "sglang:time_per_output_token_seconds",
                "sglang:e2e_request_latency_seconds", older=True),
        R("flops_per_token", How.RATIO, _of("sglang:estimated_flops_per_gpu_total"),
          _of("sglang:realtime_tokens_total", mode="decode"), opt_in=True,
          bias="Estimated from shapes, for one GPU; long prompts raise it as recomputation does."),
    ),
    absent={
        "recycled": "SGLang counts what it evicts, not what goes back to the pool.",
        "regretted": "Nothing in /metrics says what was evicted, so nobody can tell whether it was wanted again.",
        "refused": "SGLang does not count them apart from other aborted requests.",
        "waiting_for_memory": "SGLang does not say what a request waits for.",
        "goodput": NO_TARGET,
        "flops_per_token": "SGLang estimates FLOPs only under --enable-mfu-metrics.",
        "preempted": "This version tells retractions only in a gauge that goes back to 0 at each report.",
        "recomputed": "This version does not count new tokens of prompts apart from those of retracted requests.",
    },
)  # fmt: skip

LABKIT = Server(
    name="labkit",
    prefix="labkit:",
    read="0.1.0",
    version_in=("labkit:build_info", "version"),
    readings=(
        R("delivered", How.RATE, _of("labkit:delivered_tokens_total")),
        R("computed", How.RATE, _of("labkit:computed_tokens_total")),
        R("recomputed", How.RATE, _of("labkit:recomputed_tokens_total")),
        R("recycled", How.RATE, _of("labkit:blocks_recycled_total")),
        R("evicted", How.RATE, _of("labkit:cached_blocks_evicted_total")),
        R("regretted", How.RATE, _of("labkit:regretted_evictions_total")),
        R("preempted", How.RATE, _of("labkit:preemptions_total")),
        R("arrived", How.BALANCE,
          _of("labkit:requests_running", "labkit:requests_waiting", "labkit:requests_finished_total",
              "labkit:requests_refused_total", "labkit:requests_cancelled_total")),
        R("finished", How.RATE, _of("labkit:requests_finished_total")),
        R("refused", How.RATE, _of("labkit:requests_refused_total")),
        R("running", How.GAUGE, _of("labkit:requests_running")),
        R("waiting", How.GAUGE, _of("labkit:requests_waiting")),
        R("held", How.GAUGE, _of("labkit:blocks", state="held"), _of("labkit:blocks")),
        R("cached", How.GAUGE, _of("labkit:blocks", state="cached"), _of("labkit:blocks")),
        R("free", How.GAUGE, _of("labkit:blocks", state="free"), _of("labkit:blocks")),
        R("hit_rate", How.RATIO, _of("labkit:hit_tokens_total"), _of("labkit:queried_tokens_total")),
        *_times("labkit:time_to_first_token_seconds", "labkit:inter_token_latency_seconds",
                "labkit:e2e_request_latency_seconds"),
    ),
    absent={
        "regretted": "No meter of regret watches the cache (labkit.observe.regret.watch_regret).",
        "waiting_for_memory": "The scheduler does not say what a request waits for.",
        "goodput": NO_TARGET,
        "flops_per_token": "The exporter does not know the model.",
    },
)  # fmt: skip

SERVERS = (VLLM, SGLANG, LABKIT)
"""Every kind of server that is known, ours last."""
