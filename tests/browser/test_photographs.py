"""Every widget drawn from its saved state alone and photographed: nothing blank, nothing cut, an alternative text."""

from __future__ import annotations

import base64
import io
import random
from typing import Any, NamedTuple

import ipywidgets
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from labkit.authoring import drift, photographs
from labkit.cache.radix_node import RadixNode
from labkit.engine import kv_cache_manager
from labkit.errors import AuthorError
from labkit.observe.events import EventLog, Kind
from labkit.observe.evictions import Eviction
from labkit.observe.series import Series, Worth
from labkit.observe.timeline import Timeline
from labkit.observe.trees import TreeLog
from labkit.scheduling.config import SchedulerConfig
from labkit.scheduling.request import Request
from labkit.scheduling.scheduler import Scheduler
from labkit.specs.continuous_batching.scenes import watched
from labkit.widgets import (
    AttentionPlay,
    BlockSizePlay,
    CheckReport,
    DrillBoard,
    EngineMap,
    EvictionStrip,
    Layout,
    MemoryMap,
    OpeningCard,
    PageTable,
    ProgressOverview,
    QuantPlay,
    QuizWidget,
    RadixTree,
    RequestTimeline,
    Storm,
    StormBoard,
    TokenCost,
    TournamentBoard,
)
from labkit.widgets.mount import STATE_MIME


class Photograph(NamedTuple):
    png: bytes
    alt: str

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return Image.open(io.BytesIO(self.png)).size


@pytest.fixture
def photograph(chromium: str):
    """`photograph(*widgets)`: what `author build` would store of an output that shows each."""

    def take(*widgets: Any) -> list[Photograph]:
        outputs = []
        for widget in widgets:
            data, _ = widget._repr_mimebundle_()
            outputs.append(new_output("display_data", data=data))
        node = new_notebook(cells=[new_code_cell("shown", outputs=outputs)])
        state = ipywidgets.Widget.get_manager_state(drop_defaults=False, widgets=None)
        node.metadata["widgets"] = {STATE_MIME: state}
        photographs.photograph(node)
        return [
            Photograph(base64.b64decode(output.data["image/png"]), output.metadata["image/png"]["alt"])
            for output in node.cells[0].outputs
        ]

    return take


def pool(num_blocks: int) -> EventLog:
    log = EventLog(num_blocks=num_blocks, block_size=4)
    if num_blocks:
        log.begin("append(A)")
        log.emit(Kind.ALLOCATE, "A", num_blocks - 1, 0)
        log.emit(Kind.FILL, "A", num_blocks - 1, 2)
    return log


def come_and_gone() -> EventLog:
    """Two sequences that both leave: the pool is empty before and after."""
    log = EventLog(num_blocks=6, block_size=4)
    for name, blocks in (("A", (3, 0)), ("B", (1,))):
        log.begin(f"append({name})")
        for index, block in enumerate(blocks):
            log.emit(Kind.ALLOCATE, name, block, index)
    log.begin("share(A, B)")
    log.emit(Kind.SHARE, "B", 3, 1)
    for name, blocks in (("A", (3, 0)), ("B", (1, 3))):
        log.begin(f"release({name})")
        for block in blocks:
            log.emit(Kind.FREE, name, block, int(name == "A" and block == 3))
    return log


def wrong_pool() -> EventLog:
    """B is given a block that A holds, and blocks 5 and 6 are lost."""
    log = EventLog(num_blocks=8)
    log.begin("allocate(3)")
    for block in range(3):
        log.emit(Kind.ALLOCATE, "A", block)
    log.begin("allocate(2)")
    log.emit(Kind.ALLOCATE, "B", 2)
    log.emit(Kind.ALLOCATE, "B", 3)
    log.begin("allocate(9) -> None")
    for block in (5, 6):
        log.emit(Kind.ALLOCATE, "lost", block)
    return log


def slots() -> EventLog:
    log = EventLog(num_slots=40)
    log.begin("reserve")
    log.emit(Kind.RESERVE, "A", 0, 20)
    return log


def tree(count: int, note: str = "") -> TreeLog:
    draw, root, log = random.Random(count), RadixNode(b"", [], None), TreeLog(4)
    nodes = [root]
    for block in range(count):
        parent = draw.choice(nodes)
        key = block.to_bytes(4, "big")
        parent.children[key] = RadixNode(key, [block], parent)
        nodes.append(parent.children[key])
    log.snapshot(root, "grown -> " + "a sentence that goes on " * (20 if note else 1), note=note)
    return log


def evictions(count: int) -> list[Eviction]:
    draw = random.Random(9)
    return [Eviction(i, i % 64, f"content {i}", i + draw.randint(1, 500) if draw.random() < 0.4 else None)
            for i in range(count)]  # fmt: skip


def report(replay: Any = None, **more: Any) -> CheckReport:
    step = {"n": 1, "op": "x", "args": {}, "label": "x", "seen": "", "expected": None, "note": "", "broken": True}
    return CheckReport({
        "lesson": "08_radix_prefix_cache", "exercise": "insert", "verdict": "fail", "kind": "rule", "rule": "r",
        "message": "It is wrong.", "rules": [{"name": "r", "statement": "s", "state": "broken"}],
        "counterexample": {"setup": "a pool of 4", "steps": [step], "failing": 1, "replay": replay}, **more,
    })  # fmt: skip


def board(**change: Any) -> TournamentBoard:
    def compute(trace: str, sizes: list[int]) -> dict[str, Any]:
        rates = {"Belady": 0.6, "LRU": 0.4, "MyPolicy": 0.3}
        curves = {name: {"hit_rate": [rate * s / max(sizes) for s in sizes], "evictions": [90 for _ in sizes],
                         "regret": [0.02 for _ in sizes]} for name, rate in rates.items()}  # fmt: skip
        return {**curves, "Clock": {"refused": "It peeked."}}

    return TournamentBoard(compute, {"chat": "a trace"}, **{"capacities": [8, 64], "mine": "MyPolicy", **change})


def run_of(count: int) -> Timeline:
    """Requests through a scheduler with too little memory for all of them."""
    scheduler = Scheduler(kv_cache_manager(40, 4, yours=False), SchedulerConfig(token_budget=16))
    prompts = (range(100 * i, 100 * i + 20 + i % 20) for i in range(count))
    return watched(scheduler, [Request(f"r{i}", prompt, 10 + i % 7) for i, prompt in enumerate(prompts)])


def windows(count: int) -> Series:
    series = Series("a server", {"evicted": (Worth.PROXY, "Too high."), "ttft_p99": (Worth.ABSENT, "It has no clock.")})
    for at in range(count):
        series.add(at + 1, 1, delivered=100 + at % 9, computed=200, recomputed=60, preempted=at % 3, held=0.5, free=0.5)
    return series


def test_every_widget_in_every_size_has_a_photograph(photograph):
    widgets = [
        *(PageTable(pool(count)) for count in (0, 1, 48, 700, 3000)),
        MemoryMap(),
        MemoryMap(("First fit", slots()), Layout("Paged", come_and_gone()), step=3),
        *(RadixTree(tree(count)) for count in (0, 1, 30, 400, 2000)),
        RadixTree(tree(9, note="<i>a note</i> " * 30), show=lambda key: "$x$\n<b>é😀", subtitle="$a$ subtitle"),
        *(EvictionStrip(evictions(count)) for count in (0, 1, 40, 20_000)),
        *(EvictionStrip(evictions(count), only_regretted=True) for count in (0, 1, 40, 20_000)),
        board(),
        board(capacities=[16], subtitle="One capacity."),
        board(points=2, capacities=[128, 256]),
        *(TokenCost(model=name, gpus=2) for name in ("Llama-3.1-8B", "Falcon-7B", "Llama-3.1-70B")),
        BlockSizePlay([17, 64, 100]),
        AttentionPlay(),
        AttentionPlay(hidden=[2]),
        QuantPlay(largest=8.0, format="4 bits", scope="all"),
        EngineMap(highlight="block_pool"),
        OpeningCard("04"),
        ProgressOverview(),
        ProgressOverview(rows=[]),
        QuizWidget("final", mode="final", seed=3),
        QuizWidget("placement", mode="placement", seed=3),
        report(),
        RequestTimeline(Timeline()),
        RequestTimeline(run_of(3)),
        RequestTimeline({"few": run_of(12), "many": run_of(300)}),
        StormBoard(Series("nothing yet")),
        StormBoard(windows(1)),
        StormBoard(windows(3000)),
        Storm(["seats"], seconds=8.0),
        DrillBoard("a-dozen-preemptions", seed=4711),
    ]  # fmt: skip
    taken = photograph(*widgets)
    assert len(taken) == len(widgets)
    for widget, shot in zip(widgets, taken, strict=True):
        assert not drift.is_blank(shot.png), repr(widget)
        assert 500 < shot.size[0] <= 900 and shot.size[1] > 40, repr(widget)
        assert len(shot.alt) > 20 and "\n" not in shot.alt, repr(widget)


def test_the_same_state_gives_the_same_picture_and_another_state_another(photograph):
    def scene(step: int) -> list[Any]:
        return [PageTable(come_and_gone(), step=step), EvictionStrip(evictions(60), only_regretted=step > 1)]

    first, second, third = photograph(*scene(1)), photograph(*scene(1)), photograph(*scene(2))
    for a, b, other in zip(first, second, third, strict=True):
        assert a == b
        assert a.png != other.png


def test_a_replay_that_opens_before_its_first_step_is_photographed_where_most_is_held(photograph):
    start, end = photograph(PageTable(come_and_gone(), step=0), PageTable(come_and_gone()))
    assert "3 share(A, B)" in start.alt and "held 3" in start.alt
    assert "5 release(B)" in end.alt and "held 0" in end.alt


def test_a_legend_names_what_the_log_shows(photograph):
    brief = EventLog(num_blocks=4)
    brief.begin("shared for the length of one operation")
    for kind, seq, left in ((Kind.ALLOCATE, "A", 0), (Kind.SHARE, "B", 0), (Kind.FREE, "B", 1)):
        brief.emit(kind, seq, 1, left)
    shots = photograph(*(PageTable(log) for log in (wrong_pool(), come_and_gone(), EventLog(num_blocks=4), brief)))
    words = ("two owners", "lost: nobody", "shared (badge", "letter = sequence", "free")
    assert [[word in shot.alt for word in words] for shot in shots] == [
        [True, True, False, True, True],
        [False, False, True, True, True],
        [False, False, False, False, True],
        [False, False, False, True, True],
    ]


def test_a_quiz_is_photographed_with_all_its_questions_and_without_its_key(photograph):
    quiz = QuizWidget("04", seed=3)
    (shot,) = photograph(quiz)
    for question in quiz.questions:
        assert " ".join(question["text"].replace("`", "").replace("**", "").split()) in shot.alt
        for option in question.get("options") or []:
            assert " ".join(option["text"].replace("`", "").replace("**", "").split()) in shot.alt
        for side in question.get("sides") or []:
            assert " ".join(side["text"].replace("`", "").replace("**", "").split()) in shot.alt
    assert "Check answer" not in shot.alt and shot.size[1] > 800


def test_a_report_is_photographed_with_its_replay_and_without_its_time(photograph):
    logs = {"events": come_and_gone().to_data(), "slots": slots().to_data(), "tree": tree(5).to_data()}
    alone, *both = photograph(report(), *(report(log) for log in logs.values()))
    for shot in both:
        assert shot.size[1] > alone.size[1] + 100 and "What the code did on a pool of 4." in shot.alt
    quick, slow = photograph(report(seconds=0.2), report(seconds=31.0))
    assert quick == slow


def test_what_cannot_be_shown_is_an_error_that_leaves_the_notebook_as_it_was(chromium):
    data, _ = EngineMap()._repr_mimebundle_()
    node = new_notebook(cells=[new_code_cell("x", outputs=[new_output("display_data", data=data)])])
    state = ipywidgets.Widget.get_manager_state(drop_defaults=False, widgets=None)
    model = state["state"][data["application/vnd.jupyter.widget-view+json"]["model_id"]]
    model["state"]["data"] = {"boxes": 7}
    node.metadata["widgets"] = {STATE_MIME: state}
    with pytest.raises(AuthorError, match=r"photographed \(0/1 can\): TypeError: data\.boxes\.find"):
        photographs.photograph(node)
    assert "image/png" not in node.cells[0].outputs[0].data
