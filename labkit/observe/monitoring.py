"""The board for Prometheus and Grafana: recording rules, alert rules and a dashboard, made from the tables.

    python -m labkit.observe.monitoring FOLDER      # writes prometheus.yaml, kvcache_rules.yaml, kvcache_dashboard.json

The files also lie in `FOLDER`, as they were made; a test holds that they are what is made now.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

from labkit.observe.promql import expressions, recorded
from labkit.observe.series import FIGURES
from labkit.observe.servers import SERVERS
from labkit.writing import write_atomically

FOLDER = Path(__file__).parent / "prometheus"
CONFIG = "prometheus.yaml"
RULES, DASHBOARD = "kvcache_rules.yaml", "kvcache_dashboard.json"
UNITS = {"tokens/s": "short", "blocks/s": "short", "1/s": "short", "requests": "short", "share": "percentunit",
         "s": "s", "flop": "short"}  # fmt: skip

# Thresholds. A healthy vLLM was seen to preempt 7.4% of its requests (inference-sim, issue 963), so a tenth is where it
# begins to be unusual; a prefix cache that is full evicts all the time, so the rate of evictions alerts nobody.
ALERTS = (
    {
        "alert": "KVCacheThrashing",
        "expr": "kvcache:preempted > 0.1 * kvcache:finished and kvcache:preempted > 0.05 "
        "and 60 * deriv(kvcache:delivered[1m]) < 0.05 * kvcache:delivered",
        "for": "30s",
        "labels": {"severity": "warning"},
        "annotations": {
            "summary": "{{ $labels.server }} at {{ $labels.instance }} is thrashing.",
            "description": "{{ $value | humanize }} preemptions per second for 30 s while delivered tokens do not "
            "rise: requests lose their memory and are computed again. Let fewer in (watermark, seats) or add blocks.",
        },
    },
    {
        "alert": "KVCacheRecomputation",
        "expr": "kvcache:recomputed / (kvcache:computed > 0) > 0.1",
        "for": "1m",
        "labels": {"severity": "warning"},
        "annotations": {
            "summary": "{{ $labels.server }} at {{ $labels.instance }} computes much of its work twice.",
            "description": "{{ $value | humanizePercentage }} of the tokens that are computed were computed before and "
            "lost to a preemption. Look at preemptions, and let fewer requests in.",
        },
    },
    {
        "alert": "KVCacheRegret",
        "expr": "kvcache:regretted / (kvcache:evicted > 0) > 0.3 and kvcache:regretted > 0.5",
        "for": "1m",
        "labels": {"severity": "warning"},
        "annotations": {
            "summary": "{{ $labels.server }} at {{ $labels.instance }} evicts what is wanted again.",
            "description": "{{ $value | humanizePercentage }} of the cached blocks that are evicted are computed again "
            "later. The eviction rate alone would not tell: more blocks or another policy helps where this is high.",
        },
    },
    {
        "alert": "KVCacheStuck",
        "expr": "kvcache:waiting > 0 and kvcache:running == 0",
        "for": "1m",
        "labels": {"severity": "critical"},
        "annotations": {
            "summary": "{{ $labels.server }} at {{ $labels.instance }} runs nothing though requests wait.",
            "description": "{{ $value | humanize }} requests wait and none runs: health checks may be green all the "
            "same. Look for a request that can never fit, or for memory that nobody gives back.",
        },
    },
)
"""On regret, recomputation and preemptions; never on evictions alone."""

PANELS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Delivered and computed tokens", ("delivered", "computed", "recomputed")),
    ("Share of computed tokens that were computed before", ("=kvcache:recomputed / (kvcache:computed > 0)",)),
    ("Cached blocks evicted, and wanted again", ("recycled", "evicted", "regretted")),
    ("Preemptions", ("preempted",)),
    ("Blocks: held, cached, free", ("held", "cached", "free")),
    ("Requests that run and wait", ("running", "waiting", "waiting_for_memory")),
    ("Time to first token", ("ttft_p50", "ttft_p99")),
    ("Time between tokens", ("itl_p50", "itl_p99")),
    ("Prompt tokens found in the cache", ("hit_rate",)),
    ("Requests that come, finish and are refused", ("arrived", "finished", "refused")),
    ("Time from arrival to the last token", ("e2e_p99",)),
    ("Floating-point operations a delivered token", ("flops_per_token",)),
)
"""Each panel: a title and the figures in it, or an expression behind "=" with the unit of a share."""


def config() -> dict[str, Any]:
    """A configuration of Prometheus to begin with: a job whose targets are to be filled in.

    A Prometheus that asks `prometheus_client` for OpenMetrics gets names of samples with an underscore for the colon
    (prometheus/client_python, issue 1177), so the colon is put back.
    """
    prefixes = "|".join(server.prefix.removesuffix(":") for server in SERVERS)
    back = {"source_labels": ["__name__"], "regex": f"({prefixes})_(.+)", "target_label": "__name__"}
    job = {
        "job_name": "llm",
        "static_configs": [{"targets": ["localhost:8000"]}],
        "metric_relabel_configs": [back | {"replacement": "${1}:${2}"}],
    }
    return {"global": {"scrape_interval": "5s"}, "rule_files": [RULES], "scrape_configs": [job]}


def rules() -> dict[str, Any]:
    """The recording rules, a group for each kind of server, and the alerts."""
    groups: list[dict[str, Any]] = []
    for server in SERVERS:
        found = expressions(server).items()
        each = [{"record": recorded(name), "expr": text, "labels": {"server": server.name}} for name, text in found]
        groups.append({"name": f"kvcache-{server.name.lower()}", "interval": "15s", "rules": each})
    return {"groups": [*groups, {"name": "kvcache-alerts", "interval": "15s", "rules": list(ALERTS)}]}


def dashboard() -> dict[str, Any]:
    """A Grafana dashboard over what the rules record, for any Prometheus data source."""
    panels = []
    for number, (title, figures) in enumerate(PANELS):
        targets: list[dict[str, str]] = []
        for name in figures:
            text, legend = (name[1:], "") if name.startswith("=") else (recorded(name), FIGURES[name].title)
            legend = " ".join(filter(None, ["{{server}} {{instance}}", legend]))
            targets.append({"refId": chr(65 + len(targets)), "expr": text, "legendFormat": legend})
        unit = "percentunit" if figures[0].startswith("=") else UNITS[FIGURES[figures[0]].unit]
        panels.append(
            {
                "id": number + 1,
                "type": "timeseries",
                "title": title,
                "description": _worths(figures),
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
                "gridPos": {"h": 8, "w": 12, "x": 12 * (number % 2), "y": 8 * (number // 2)},
                "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
                "targets": targets,
            }
        )
    return {
        "title": "KV cache: what is delivered, what is computed twice",
        "uid": "labkit-kvcache",
        "schemaVersion": 39,
        "tags": ["kv-cache", "llm"],
        "refresh": "15s",
        "time": {"from": "now-30m", "to": "now"},
        "templating": {
            "list": [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}]
        },
        "panels": panels,
    }


def _worths(figures: tuple[str, ...]) -> str:
    """What the figures of a panel are worth on each kind of server."""
    lines = []
    for server in SERVERS:
        for name in (figure for figure in figures if figure in FIGURES):
            first = next((reading for reading in server.readings if reading.figure == name), None)
            sentence = server.why_absent(name) if first is None else first.bias
            if sentence:
                how = "absent" if first is None else first.worth
                lines.append(f"- {server.name}, {FIGURES[name].title} ({how}): {sentence}")
    return "\n".join(lines)


def texts() -> dict[str, str]:
    """The files by name."""
    head = "# Made by `python -m labkit.observe.monitoring`: change the tables of labkit.observe.servers instead.\n"
    return {
        CONFIG: head + yaml.safe_dump(config(), sort_keys=False, width=120),
        RULES: head + yaml.safe_dump(rules(), sort_keys=False, width=120),
        DASHBOARD: json.dumps(dashboard(), indent=1) + "\n",
    }


def write(folder: Path) -> None:
    """Write the files into a folder."""
    for name, text in texts().items():
        write_atomically(folder / name, text)


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
