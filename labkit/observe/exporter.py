"""Our own `/metrics`: what a scheduler and its memory count, in Prometheus's text form, under `labkit:`.

    exporter = Exporter(scheduler)
    with exporter.serve(9100) as url:       # http://127.0.0.1:9100/metrics
        ...                                 # the engine runs; it tells the times that it sees
        exporter.first_token(0.35)

The counters are read from the scheduler and its manager when somebody asks, so they cost a step nothing. Times are told
by whoever has a clock. Unlike a production server's, these counters keep apart what must not be mixed: delivered and
computed and recomputed tokens; blocks recycled, evicted and wanted again; blocks held, cached and free. Where a model
is named they are told under vLLM's names too, so that what was made for vLLM can read them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from labkit import __version__
from labkit.errors import WatchError
from labkit.scheduling.scheduler import Scheduler

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120)
"""Edges of the buckets of time."""


class Exporter:
    """A registry of its own, for one scheduler.

    Args:
        scheduler: whose counters are exported; its manager's meter of regret too, where there is one.
        vllm_model: the `model_name` under which they are told in vLLM's names too; "" for not.

    Attributes:
        registry: what to register more in.
    """

    def __init__(self, scheduler: Scheduler, vllm_model: str = "") -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Counters(scheduler))
        self._ttft = self._histogram("time_to_first_token", "From arrival to the first token.")
        self._itl = self._histogram("inter_token_latency", "Between two tokens of a request.")
        self._e2e = self._histogram("e2e_request_latency", "From arrival to the last token.")
        self._finished = Counter("labkit:requests_finished", "Requests served to the end.", registry=self.registry)
        self._cancelled = Counter("labkit:requests_cancelled", "Requests given up.", registry=self.registry)
        self._vllm = CollectorRegistry()
        if vllm_model:
            self._vllm.register(_VLLMNames(self.registry, scheduler, vllm_model))

    def first_token(self, seconds: float) -> None:
        """A request's first token came so long after its arrival."""
        self._ttft.observe(seconds)

    def next_token(self, seconds: float) -> None:
        """Another token of a request came so long after the one before it."""
        self._itl.observe(seconds)

    def finished(self, seconds: float) -> None:
        """A request was done so long after its arrival."""
        self._e2e.observe(seconds)
        self._finished.inc()

    def cancelled(self, requests: int = 1) -> None:
        """So many requests were given up before they were done, mostly since their clients had gone."""
        self._cancelled.inc(requests)

    def text(self) -> str:
        """What `/metrics` answers now."""
        return (generate_latest(self.registry) + generate_latest(self._vllm)).decode("utf-8")

    @contextmanager
    def serve(self, port: int = 0, address: str = "127.0.0.1") -> Iterator[str]:
        """Answer at http://ADDRESS:PORT/metrics, in a thread, until the block is left.

        Args:
            port: 0 for any that is free.

        Raises:
            WatchError: somebody else listens there.
        """
        try:
            server = _Server((address, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise WatchError(f"Nobody can listen at {address}:{port} ({reason}): give another port.") from None
        server.text = self.text
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://{address}:{server.server_port}/metrics"
        finally:
            server.shutdown()
            server.server_close()
            thread.join(5)

    def _histogram(self, name: str, what: str) -> Histogram:
        return Histogram(f"labkit:{name}_seconds", what, buckets=SECONDS, registry=self.registry)


class _Server(ThreadingHTTPServer):
    text: Callable[[], str]
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    """Answers in the plain form alone.

    A Prometheus asks for OpenMetrics first, and `prometheus_client` writes names of samples in that form with an
    underscore for the colon (prometheus/client_python, issue 1177): `labkit:x` would be stored as `labkit_x`.
    """

    server: _Server

    def do_GET(self) -> None:
        known = self.path.split("?")[0] == "/metrics"
        body = self.server.text().encode() if known else b"The metrics are at /metrics.\n"
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4 if known else "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(ConnectionError):  # whoever asked has gone
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


class _Counters(Collector):
    """Reads the scheduler when it is asked."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler

    def collect(self) -> Iterator[Metric]:
        scheduler = self._scheduler
        manager, totals, counters = scheduler.manager, scheduler.totals, scheduler.manager.counters
        yield _labelled(GaugeMetricFamily, "build_info", "This labkit.", "version", {__version__: 1})
        yield from (
            CounterMetricFamily(f"labkit:{name}", what, value)
            for name, what, value in (
                ("delivered_tokens", "Tokens that came out.", totals.delivered),
                ("computed_tokens", "Tokens that went through the model.", totals.computed),
                ("recomputed_tokens", "Of them, those computed before and lost to a preemption.", totals.recomputed),
                ("blocks_recycled", "Blocks that went back to the pool.", counters.blocks_recycled),
                (
                    "cached_blocks_evicted",
                    "Of them, blocks whose content was findable.",
                    counters.cached_blocks_evicted,
                ),
                ("regretted_evictions", "Evicted contents that were computed again.", counters.regretted_evictions),
                ("preemptions", "Requests that gave their memory up.", counters.preemptions),
                ("queried_tokens", "Tokens of new prompts.", counters.queried_tokens),
                ("hit_tokens", "Of them, those found in the cache.", counters.hit_tokens),
            )
            if value is not None
        )
        refusals = {reason: scheduler.refusals[reason] for reason in sorted(scheduler.refusals)}
        yield _labelled(CounterMetricFamily, "requests_refused", "Requests refused at the door.", "reason", refusals)
        yield GaugeMetricFamily("labkit:requests_running", "Requests in memory.", len(scheduler.running))
        yield GaugeMetricFamily("labkit:requests_waiting", "Requests that wait.", len(scheduler.waiting))
        blocks = {"held": manager.num_held, "cached": manager.num_cached, "free": manager.num_free}
        yield _labelled(GaugeMetricFamily, "blocks", "Blocks: held, only cached, empty.", "state", blocks)


VLLM_NAMES = {
    "requests_running": ("num_requests_running",),
    "requests_waiting": ("num_requests_waiting",),
    "requests_finished": ("request_success",),
    "requests_refused": ("admission_rejections",),
    "preemptions": ("num_preemptions",),
    "delivered_tokens": ("generation_tokens",),
    "queried_tokens": ("prompt_tokens", "prefix_cache_queries"),
    "hit_tokens": ("prefix_cache_hits",),
    **{
        name: (name,)
        for name in ("time_to_first_token_seconds", "inter_token_latency_seconds", "e2e_request_latency_seconds")
    },
}
"""Metrics of ours, and vLLM's for the same, without `labkit:` and `vllm:`."""


class _VLLMNames(Collector):
    """The same under vLLM's names."""

    def __init__(self, ours: CollectorRegistry, scheduler: Scheduler, model: str) -> None:
        self._ours, self._manager, self._model = ours, scheduler.manager, {"model_name": model}

    def collect(self) -> Iterator[Metric]:
        for family in self._ours.collect():
            for name in VLLM_NAMES.get(family.name.removeprefix("labkit:"), ()):
                theirs = Metric(f"vllm:{name}", family.documentation, family.type)
                for sample in family.samples:
                    end = sample.name.removeprefix(family.name)
                    theirs.add_sample(theirs.name + end, {**sample.labels, **self._model}, sample.value)
                yield theirs
        counters, held = self._manager.counters, self._manager.num_held / self._manager.num_blocks
        sources = Metric("vllm:prompt_tokens_by_source", "Tokens of new prompts, by where they came from.", "counter")
        computed = counters.queried_tokens - counters.hit_tokens
        for source, value in (("local_compute", computed), ("local_cache_hit", counters.hit_tokens)):
            sources.add_sample(f"{sources.name}_total", {"source": source, **self._model}, value)
        usage = Metric("vllm:kv_cache_usage_perc", "Blocks that somebody holds, as a share.", "gauge")
        usage.add_sample(usage.name, self._model, held)
        yield from (sources, usage)


def _labelled(kind: Any, name: str, what: str, label: str, values: dict[str, int]) -> Metric:
    family = kind(f"labkit:{name}", what, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family
