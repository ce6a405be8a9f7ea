"""A server that is watched may be down, slow, restarted or something else: one sentence, no hang, nothing lost."""

from __future__ import annotations

import json
import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from fake_server import Script, send, serve
from typer.testing import CliRunner

from labkit import cli
from labkit.errors import SeriesError, WatchError
from labkit.observe import endpoint
from labkit.observe.live import Watch, watch
from labkit.observe.series import FIGURES, Worth
from labkit.observe.series_log import SeriesLog, read_series


def text(delivered: int, extra: str = "") -> str:
    return f'# TYPE vllm:generation_tokens counter\nvllm:generation_tokens_total{{engine="0"}} {delivered}\n{extra}'


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += max(0.0, seconds)


def watched(url: str, clock: Clock | None = None, **settings: Any) -> Watch:
    clock = clock or Clock()
    return watch(url, **{"every_s": 2.0, "timeout_s": 2.0, "clock": clock, "wait": clock.wait, **settings})


def test_a_server_gives_a_row_for_each_answer_after_the_first() -> None:
    with serve(Script(text(0), text(100), text(300), version="0.33.0")) as url:
        seen = watched(url)
        assert list(seen.asks(4.0)) == [
            None,
            {"end_s": 2.0, "seconds": 2.0, "delivered": 50.0},
            {"end_s": 4.0, "seconds": 2.0, "delivered": 100.0},
        ]
    assert seen.series.source == f"vLLM 0.33.0 at {url}"
    assert seen.series.worth("recomputed")[0] is Worth.ABSENT
    assert list(seen.series["delivered"]) == [50, 100]


def test_rows_come_one_by_one_until_it_is_stopped() -> None:
    with serve(Script(text(0), text(10), text(20))) as url:
        seen = watched(url)
        for row in seen:
            assert row["delivered"] == 5
            if len(seen.series) == 2:
                seen.stop()
    assert "does not tell its version" in seen.series.source


def test_a_thread_asks_until_it_is_told_to_stop() -> None:
    with serve(Script(text(0), text(10), text(20))) as url:
        seen = watch(url, every_s=0.05)
        thread = seen.start()
        end = time.monotonic() + 10
        while len(seen.series) < 3 and time.monotonic() < end:
            time.sleep(0.01)
        seen.stop()
        thread.join(5)
    assert not thread.is_alive() and len(seen.series) >= 3


def dribble(handler: Any) -> None:
    """A byte now and then, for ever."""
    handler.send_response(200)
    handler.end_headers()
    while not handler.server_over.wait(0.02):
        handler.wfile.write(b"#")
        handler.wfile.flush()


def cut(handler: Any) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "5000")
    handler.end_headers()
    handler.wfile.write(text(12345).encode()[:-2])


def huge(handler: Any) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(endpoint.MOST_BYTES // (1 << 16) + 2):
        handler.wfile.write(b"#" * (1 << 16))


TROUBLE = {
    "stalls": (lambda handler: handler.server_over.wait(5), "has not answered in 0.3 s"),
    "dribbles": (dribble, "has not answered in 0.3 s"),
    "login": (lambda handler: send(handler, "", 401), "asks for a login .status 401"),
    "forbidden": (lambda handler: send(handler, "", 403), "asks for a login .status 403"),
    "missing": (lambda handler: send(handler, "", 404), "status 404 .Not Found"),
    "failing": (lambda handler: send(handler, "", 503), "status 503 .Service Unavailable"),
    "garbage": (lambda handler: send(handler, "<html>Hello</html>\n"), "not the text form of Prometheus"),
    "bytes": (lambda handler: send(handler, b"\xff\xfe\x00"), "what is no text"),
    "nothing": (lambda handler: send(handler, ""), "breaks off in the middle of a line"),
    "half a line": (lambda handler: send(handler, text(12345)[:-3]), "breaks off in the middle of a line"),
    "half an answer": (cut, "breaks off before its end"),
    "huge": (huge, "more than 4 MiB"),
    "no HTTP": (lambda handler: handler.wfile.write(b"SSH-2.0-x\r\n\r\n"), "does not speak HTTP"),
    "hangs up": (lambda handler: handler.connection.shutdown(socket.SHUT_RDWR), "broke|does not speak"),
    "elsewhere": (lambda handler: send(handler, "", 302, Location="http://127.0.0.2:9/metrics"), "another server"),
    "in circles": (lambda handler: send(handler, "", 307, Location="/metrics"), "round in circles"),
    "another": (lambda handler: send(handler, "node_load1 0.5\n"), "no metric of vLLM"),
}


@pytest.mark.parametrize("kind", TROUBLE)
def test_trouble_in_the_middle_costs_a_window_and_a_sentence(kind: str, tmp_path: Path) -> None:
    answer, says = TROUBLE[kind]
    script = Script(text(0), text(100), answer, text(300))

    def with_over(handler: Any) -> None:
        handler.server_over = script.over
        answer(handler)

    script.answers[2] = with_over
    if kind == "in circles":
        script.answers[2:3] = [answer] * (endpoint.MOST_REDIRECTS + 1)
    log = SeriesLog(tmp_path / "run.jsonl")
    began = time.monotonic()
    with serve(script) as url:
        seen = watched(url, timeout_s=0.3 if "0.3" in says else 10.0, log=log)
        assert seen.ask() is None and seen.problem == ""
        clock: Clock = seen._clock  # type: ignore[assignment]
        problems = []
        for _ in range(3):
            clock.wait(2.0)
            seen.ask()
            problems.append(seen.problem)
    log.close()
    assert time.monotonic() - began < 8
    assert problems[0] == problems[2] == "" and problems[1].count(". ") == 0
    assert re.search(says, problems[1]), problems[1]
    # The window after the trouble spans it: nothing that the server counted is lost.
    assert list(seen.series.rows()) == [
        {"end_s": 2.0, "seconds": 2.0, "delivered": 50.0},
        {"end_s": 6.0, "seconds": 4.0, "delivered": 50.0},
    ]
    again = read_series(tmp_path / "run.jsonl")
    assert list(again.rows()) == list(seen.series.rows()) and again.source == seen.series.source
    told = [json.loads(line) for line in (tmp_path / "run.jsonl").read_text().splitlines()]
    assert {"at_s": 4.0, "problem": problems[1]} in told


def test_a_restart_counts_from_0_and_another_server_begins_anew() -> None:
    other = '# TYPE sglang:realtime_tokens counter\nsglang:realtime_tokens_total{mode="decode"} 7\n'
    with serve(Script(text(0), text(1000), text(40), other, other.replace(" 7", " 27"))) as url:
        seen = watched(url)
        rows = list(seen.asks(8.0))
    assert [row and row["delivered"] for row in rows] == [None, 500, 20, None, 10]
    assert seen.series.source.startswith("SGLang")
    assert seen.series.worth("delivered")[0] is Worth.PROXY


def test_a_redirect_on_the_same_server_is_followed_and_a_login_is_sent() -> None:
    script = Script(lambda handler: send(handler, "", 307, Location="/metrics/"), text(1))
    with serve(script) as url:
        place = url.replace("http://", "http://me:s%3Acret@")
        seen = watched(place, headers={"X-Key": "k"})
        assert seen.ask() is None and seen.problem == ""
    assert script.paths[:2] == ["/metrics", "/metrics/"]
    assert script.headers[1]["Authorization"] == "Basic bWU6czpjcmV0" and script.headers[1]["X-Key"] == "k"
    assert "cret" not in seen.series.source


def test_nobody_listens_and_no_host() -> None:
    with socket.socket() as sock:  # bound, and nobody listens
        sock.bind(("127.0.0.1", 0))
        seen = watched(f"127.0.0.1:{sock.getsockname()[1]}")
        assert seen.ask() is None and "Nobody listens at 127.0.0.1" in seen.problem
    seen = watched("no-such-host.invalid:8000")
    assert seen.ask() is None and ("no host" in seen.problem or "has not answered" in seen.problem)
    assert seen.failures == 1 and len(seen.series) == 0


@pytest.mark.parametrize(
    ("text_", "url"),
    [
        ("localhost:8000", "http://localhost:8000/metrics"),
        ("http://h:1/", "http://h:1/metrics"),
        ("https://h/x?y=1#z", "https://h/x?y=1"),
        ("http://[::1]:8000", "http://[::1]:8000/metrics"),
    ],
)
def test_addresses_are_completed(text_: str, url: str) -> None:
    assert endpoint.metrics_url(text_) == url


@pytest.mark.parametrize("bad", ["", "ftp://h/x", "http://", "h:99999", "h:x", "http://[::1", "a b:80", "h:0"])
def test_what_is_no_address_is_refused(bad: str) -> None:
    with pytest.raises(WatchError, match="no address of a server"):
        Watch(bad)


@pytest.mark.parametrize("settings", [{"every_s": 0}, {"every_s": float("nan")}, {"timeout_s": -1}, {"sample": 0}])
def test_settings_that_make_no_sense_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(WatchError, match="but"):
        Watch("localhost:1", **settings)


# ----- the command ------------------------------------------------------------------------------------------------


def run(*words: str) -> Any:
    return CliRunner().invoke(cli.app, ["watch", *words])


def test_the_command_watches_records_and_plays_back(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    with serve(Script(text(0), text(10), text(20), version="0.33.0")) as url:
        done = run(url, "--every", "0.05", "--for", "0.2", "--record", str(file))
    assert done.exit_code == 0, done.output
    assert "vLLM 0.33.0 at http" in done.output and "- recomputed: In none of vLLM's token counters" in done.output
    assert "delivered" in done.output and f"windows recorded in {file}" in done.output.replace("\n", "")
    again = run(str(file))
    lines = [line for line in done.output.splitlines() if " s  delivered" in line]
    assert again.exit_code == 0 and len(lines) >= 2
    assert [line for line in again.output.splitlines() if " s  delivered" in line] == lines
    twice = run(url, "--record", str(file))
    assert isinstance(twice.exception, SeriesError) and "is there already" in str(twice.exception)


def test_json_is_lines_of_windows() -> None:
    with serve(Script(text(0), text(10), text(20))) as url:
        done = run(url, "--every", "0.05", "--for", "0.1", "--json")
    rows = [json.loads(line) for line in done.output.splitlines()]
    assert rows and all(set(row) <= {"end_s", "seconds", *FIGURES} for row in rows)


def test_a_server_that_never_answers_ends_the_command_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    with serve(Script(lambda handler: send(handler, "", 401))) as url:
        done = run(url, "--record", str(file))
    assert isinstance(done.exception, WatchError) and "asks for a login" in str(done.exception)
    assert "asks for a login" in file.read_text()  # what came is kept


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing.jsonl"], "there is no such file"),
        (["localhost:1", "--header", "x"], "must be 'NAME: VALUE'"),
        (["localhost:1", "--every", "0"], "must be 0.05 s or more"),
        (["http://x y"], "no address"),
        (["localhost:1", "--record", "/nowhere/at/all.jsonl"], "cannot be written"),
    ],
)
def test_bad_words_are_refused(words: list[str], says: str) -> None:
    done = run(*words)
    assert isinstance(done.exception, WatchError | SeriesError) and says in str(done.exception)


def test_the_board_says_which_part_of_a_figure_another_one_is() -> None:
    from labkit.observe.series import Series
    from labkit.observe.terminal_board import share

    series = Series("a test")
    series.add(1.0, 1.0, computed=200, recomputed=50, evicted=0, regretted=0)
    assert share(series, "recomputed") == "25.0 % of tokens computed"
    assert share(series, "regretted") == share(series, "delivered") == share(Series(), "recomputed") == ""


def test_the_board_shows_every_figure_and_its_worth() -> None:
    from rich.console import Console

    from labkit.observe.terminal_board import board

    with serve(Script(text(0), text(10), text(40), text(40))) as url:
        seen = watched(url)
        list(seen.asks(6.0))
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(board(seen.series, "Nobody listens.", "recorded in x"))
    shown = console.export_text()
    for figure in FIGURES.values():
        assert figure.title in shown
    assert "▃█▁" in shown.replace(" ", "") or "▃█" in shown
    assert "In none of vLLM's token counters" in shown and "Nobody listens." in shown and "recorded in x" in shown
