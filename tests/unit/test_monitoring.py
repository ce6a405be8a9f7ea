"""The rules and the dashboard in a real Prometheus, which scrapes our exporter and what vLLM and SGLang exported."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_server import Script, send, serve
from prometheus_client import start_http_server
from running import Engine

from labkit.observe import monitoring
from labkit.observe.exporter import Exporter
from labkit.observe.series import FIGURES
from labkit.observe.servers import SERVERS

ROOT = Path(__file__).resolve().parents[2]
RECORDINGS = ROOT / "benchmarks" / "recordings" / "metrics"


def tool(name: str) -> str:
    """The program: skips the test where there is none, or fails it under LABKIT_REQUIRE_PROMETHEUS=1."""
    found = shutil.which(name)
    if found is None:
        missing = f"there is no {name} (apt install prometheus)"
        if os.environ.get("LABKIT_REQUIRE_PROMETHEUS") == "1":
            pytest.fail(f"LABKIT_REQUIRE_PROMETHEUS=1, but {missing}")
        pytest.skip(missing)
    return found


@pytest.mark.parametrize("name", [monitoring.CONFIG, monitoring.RULES, monitoring.DASHBOARD])
def test_the_files_are_what_the_tables_make(name: str, tmp_path: Path) -> None:
    assert (monitoring.FOLDER / name).read_text(encoding="utf-8") == monitoring.texts()[name], (
        "run python -m labkit.observe.monitoring"
    )
    monitoring.write(tmp_path)
    assert (tmp_path / name).read_text(encoding="utf-8") == monitoring.texts()[name]


def test_every_figure_of_every_server_is_recorded_and_every_one_has_a_panel() -> None:
    groups = {group["name"]: group["rules"] for group in monitoring.rules()["groups"]}
    for server in SERVERS:
        names = {rule["record"] for rule in groups[f"kvcache-{server.name.lower()}"]}
        assert names == {f"kvcache:{reading.figure}" for reading in server.readings}
    shown = {target["expr"] for panel in monitoring.dashboard()["panels"] for target in panel["targets"]}
    assert {f"kvcache:{figure}" for figure in FIGURES if figure != "goodput"} <= shown


def test_no_alert_is_on_evictions_alone() -> None:
    for rule in monitoring.ALERTS:
        if "kvcache:evicted" in rule["expr"]:
            assert "kvcache:regretted" in rule["expr"]


def test_the_alerts_fire_when_they_should_and_not_otherwise() -> None:
    done = subprocess.run(
        [tool("promtool"), "test", "rules", str(ROOT / "tests" / "promtool" / "kvcache_rules_test.yaml")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# ----- a real Prometheus --------------------------------------------------------------------------------------------


def quick(text: str) -> str:
    """The rules for a test of seconds: looked at twice a second, over the last ten seconds."""
    return text.replace("[1m]", "[10s]").replace("interval: 15s", "interval: 500ms")


@contextmanager
def prometheus(folder: Path, targets: dict[str, str]) -> Iterator[str]:
    """A Prometheus with our rules that scrapes these targets (job -> host:port); its address."""
    (folder / "rules.yaml").write_text(quick(monitoring.texts()[monitoring.RULES]), encoding="utf-8")
    config = monitoring.config()
    (scrape,) = config["scrape_configs"]
    config["scrape_configs"] = [
        scrape | {"job_name": job, "static_configs": [{"targets": [place]}]} for job, place in targets.items()
    ]
    config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
    config["rule_files"] = ["rules.yaml"]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{sock.getsockname()[1]}"
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [tool("prometheus"), f"--config.file={folder}/prometheus.yaml", f"--storage.tsdb.path={folder}/data",
             f"--web.listen-address={place}"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield f"http://{place}"
    finally:
        process.terminate()
        process.wait(20)


def ask(place: str, path: str, **query: str) -> Any:
    with urllib.request.urlopen(f"{place}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=5) as answer:
        told = json.load(answer)
    assert told["status"] == "success"
    return told["data"]


def recorded(name: str) -> Script:
    """A server that exports the texts of a recording, over and over: to Prometheus it restarts now and then."""
    index = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    texts = itertools.cycle([(RECORDINGS / scrape["file"]).read_text() for scrape in index["scrapes"]])
    return Script(lambda handler: send(handler, next(texts), Content_Type="text/plain; version=0.0.4"))


@pytest.mark.serial
@pytest.mark.skipif(not RECORDINGS.is_dir(), reason="an installed wheel has no recordings of metrics")
def test_every_query_of_the_dashboard_is_answered(tmp_path: Path) -> None:
    tool("prometheus")
    engine = Engine(regret=True)
    exporter = Exporter(engine.scheduler)
    queries = {
        target["expr"]: panel["title"] for panel in monitoring.dashboard()["panels"] for target in panel["targets"]
    }
    with ExitStack() as stack:
        places = {
            "labkit": stack.enter_context(exporter.serve()),
            "vllm": stack.enter_context(serve(recorded("vllm"))),
            "sglang": stack.enter_context(serve(recorded("sglang"))),
        }
        targets = {job: url.removeprefix("http://").removesuffix("/metrics") for job, url in places.items()}
        # The same counters through prometheus_client's own server, which writes OpenMetrics, without the colon.
        server, _ = start_http_server(0, "127.0.0.1", exporter.registry)
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        targets["openmetrics"] = f"127.0.0.1:{server.server_port}"
        with prometheus(tmp_path, targets) as place:
            answers: dict[str, Any] = {}
            end = time.monotonic() + 60 * float(os.environ.get("LABKIT_PATIENCE", "1"))
            while time.monotonic() < end and len(answers) < len(queries):
                engine.steps(10, exporter)
                if "refusals" not in answers and not engine.scheduler.refusals:
                    engine.refuse()
                time.sleep(0.2)
                with suppress(OSError):  # it is starting
                    for query in queries.keys() - answers.keys():
                        if result := ask(place, "query", query=query)["result"]:
                            answers[query] = result
            assert answers.keys() == queries.keys(), f"no answer to {sorted(queries.keys() - answers.keys())}"
            loaded = ask(place, "rules")["groups"]
            held = ask(place, "query", query="kvcache:held")["result"]
    health = {rule["name"]: rule["health"] for group in loaded for rule in group["rules"]}
    assert set(health.values()) == {"ok"}, health
    assert {rule["alert"] for rule in monitoring.ALERTS} <= health.keys()
    # Each server is recorded under its name, and ours under its own names where the colon was lost on the way, too.
    assert {(row["metric"]["server"], row["metric"]["job"]) for row in held} == {
        ("labkit", "labkit"), ("labkit", "openmetrics"), ("vLLM", "vllm"), ("SGLang", "sglang"),
    }  # fmt: skip
    assert all(0 <= float(row["value"][1]) <= 1 for row in held)
