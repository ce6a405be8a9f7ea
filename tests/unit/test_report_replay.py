"""The replay that a verdict carries, of a pool or of a tree: how it travels, what is drawn, and what cannot harm it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from labkit import specs
from labkit.grading import runner
from labkit.grading.judge import Judge
from labkit.grading.mistakes import bank
from labkit.grading.source import Source
from labkit.grading.verdict import Verdict
from labkit.observe.events import EventLog, Kind
from labkit.observe.pool_state import LogData
from labkit.observe.trees import NOT_SEEN, TreeLog
from labkit.sandbox import host
from labkit.widgets import CheckReport

LESSON = "08_radix_prefix_cache"
INSERT = """
from labkit.cache.radix_tree import match, split

def insert(root, tokens, blocks, page_bytes):
    node, pages, there = match(root, tokens, page_bytes)
    if pages < len(node.blocks):
        node = split(node, pages, page_bytes)
    rest = tokens[len(there) * page_bytes :]
    if rest:
        {leaf}
        node.children[rest[:page_bytes]] = leaf
        node = leaf
    {after}
    return node, len(there)
"""
LEAF = "leaf = RadixNode(rest, blocks[len(there) :], node)"


@pytest.fixture(scope="module", autouse=True)
def end_spare():
    yield
    host.close()


def insert(leaf: str = LEAF, after: str = "pass") -> str:
    return INSERT.format(leaf=leaf, after=after)


def judged(exercise: str, text: str) -> Verdict:
    spec = specs.exercise(LESSON, exercise).spec
    namespace = Source(spec, text, f"<exercise {exercise}>").namespace
    return spec.judge(Judge(spec, namespace), namespace(), [])


def tree_of(verdict: Verdict) -> tuple[dict[str, Any], TreeLog]:
    assert verdict.counterexample is not None and verdict.counterexample.replay is not None
    carried = json.loads(json.dumps(verdict.counterexample.replay))
    assert carried["kind"] == "tree"
    return carried, TreeLog.from_data(carried)


def test_a_tree_travels_from_the_worker_to_the_report():
    verdict = runner.check("08", "insert", insert("leaf = RadixNode(rest, blocks, node)"), keep_spare=False)
    assert (verdict.verdict, verdict.rule) == ("fail", "all-of-it-is-found")
    carried, log = tree_of(verdict)
    lines = verdict.counterexample.steps
    assert carried["step"] == len(lines) - 1 == 2
    assert carried["labels"] == [f"{line.label} → {line.seen}" for line in lines]
    assert log.notes == ["", "", "This step breaks all-of-it-is-found."]
    assert log.faults[2] == "node 3: 1 page but 2 blocks"
    assert [[(n.key, n.blocks) for n in log.state(step)] for step in (1, 2, 3)] == [
        [(b"", ())],
        [(b"", ()), (b"aabbcc", (4, 41, 78))],
        [(b"", ()), (b"aa", (4,)), (b"bbcc", (41, 78)), (b"dd", (15, 52))],
    ]
    assert {node.node: node.found for node in log.state(3) if node.found >= 0} == {0: 0, 2: 2, 3: 2}, (
        "the way to the node of the answer"
    )
    report = CheckReport(Verdict.from_dict(json.loads(json.dumps(verdict.to_dict()))))
    page = report.replay
    assert (page["kind"], page["step"], page["texts"]) == ("tree", 3, ["", "aabbcc", "aa", "bbcc", "dd"])
    assert page["subtitle"] == "What the code did on a tree with pages of 2 letters."
    assert report.verdict["counterexample"]["replay"] is None, "it travels to the page once"


def test_the_answer_of_a_match_is_what_is_lit():
    says_less = """
def match(root, tokens, page_bytes):
    node = root.children.get(tokens[:page_bytes])
    return (node, 1, node.blocks[:1]) if node else (root, 0, [])
"""
    _, log = tree_of(judged("match", says_less))
    (leaf,) = [n for n in log.state() if n.key]
    assert len(leaf.key) > len(leaf.key) // len(leaf.blocks) == leaf.found, "one page of several"


@pytest.mark.parametrize("exercise", ["match", "split", "insert", "evict_leaf"])
def test_every_known_mistake_has_its_replay(exercise):
    for mutant in [m for m in bank("08").mistakes if m.exercise == exercise]:
        verdict = judged(exercise, mutant.source)
        if verdict.verdict != "fail":
            continue
        carried, log = tree_of(verdict)
        assert log.num_steps == len(verdict.counterexample.steps), mutant.name
        assert carried["step"] == verdict.counterexample.failing - 1, mutant.name
        assert CheckReport(verdict).replay["kind"] == "tree"


def test_operations_that_convict_nobody_are_replayed():
    verdict = judged("break_split", 'ops = [("start", "ab"), ("start", "ac"), ("finish", 0), ("evict", 1)]')
    _, log = tree_of(verdict)
    assert verdict.rule == "the-wrong-one-falls" and log.num_steps == 4
    assert [n.key for n in log.state() if n.gone] == [b"b"]


HOSTILE = {
    "a cycle": "node.children[b'zz'] = root",
    "no dict": "node.children = None",
    "a list": "node.children = [node]",
    "no node": "root.children[b'zz'] = 'leaf'",
    "text": "node.key = node.key.decode()",
    "no key": "del node.key",
    "under text": "root.children['zz'] = RadixNode(b'zz', [1], root)",
    "no blocks": "node.blocks = None",
    "no time": "node.last_used = None",
    "thousands": "root.children.update((bytes(divmod(i, 256)), RadixNode(b'zz', [i], root)) for i in range(3000))",
    "deep": "for i in range(3000):\n        node.children[b'zz'] = node = RadixNode(b'zz', [i], node)",
}


@pytest.fixture
def unhurried(monkeypatch):
    """What is asked here is what a verdict says, however long a call takes on a busy machine."""
    monkeypatch.setattr(specs.exercise(LESSON, "insert").spec, "op_seconds", 60.0)


@pytest.mark.parametrize("after", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.usefixtures("unhurried")
def test_what_is_no_tree_is_named_by_a_rule_and_drawn(after):
    verdict = judged("insert", insert(after=after))
    assert (verdict.verdict, verdict.rule) == ("fail", "links-fit"), verdict.message
    _, log = tree_of(verdict)
    report = CheckReport(verdict)
    assert report.replay["kind"] == "tree" and log.faults[-1]


def test_a_match_that_leaves_no_tree_has_changed_it():
    verdict = judged("match", "def match(root, tokens, page_bytes):\n    root.children = []\n    return root, 0, []")
    assert (verdict.verdict, verdict.rule) == ("fail", "changes-nothing")


def test_a_refusal_that_leaves_no_tree_is_no_refusal():
    text = """
def evict_leaf(leaf, n, page_bytes):
    if leaf.locks or leaf.children or leaf.parent is None:
        leaf.children = leaf
        raise CacheError("no")
    return [leaf.blocks.pop()]
"""
    verdict = judged("evict_leaf", text)
    assert (verdict.verdict, verdict.rule) == ("fail", "refused-means-unchanged")
    assert "`children` is of type RadixNode" in verdict.message


def test_a_call_that_does_not_come_back_is_told_in_the_replay():
    verdict = judged("insert", insert(after="while True: pass"))
    _, log = tree_of(verdict)
    assert verdict.verdict == "timeout" and log.labels[-1].endswith("→ does not come back")
    assert log.notes[-1] == NOT_SEEN


def test_a_stub_is_not_said_to_break_a_rule():
    verdict = judged("match", "def match(root, tokens, page_bytes):\n    raise NotImplementedError")
    _, log = tree_of(verdict)
    assert verdict.kind == "not-written" and not any(log.notes)


# Both kinds.


def pool_log() -> EventLog:
    log = EventLog(num_blocks=4, block_size=2)
    log.begin("allocate(2) -> blocks 0, 1")
    log.emit(Kind.ALLOCATE, "A", 0, 0)
    log.emit(Kind.ALLOCATE, "A", 1, 1)
    log.begin("free")
    log.emit(Kind.FREE, "A", 0, 0)
    return log


def failed(replay: Any) -> dict[str, Any]:
    step = {"n": 1, "op": "x", "args": {}, "label": "x", "seen": "", "expected": None, "note": "", "broken": True}
    return {
        "lesson": LESSON, "exercise": "insert", "verdict": "fail", "kind": "rule", "message": "It is wrong.",
        "rule": "r", "rules": [{"name": "r", "statement": "s", "state": "broken"}],
        "counterexample": {"setup": "a pool of 4", "steps": [step], "failing": 1, "replay": replay},
    }  # fmt: skip


def test_a_pool_s_log_is_carried_and_read_back():
    log = pool_log()
    data = LogData.of(json.loads(json.dumps(log.to_data())))
    assert np.array_equal(data.records, log.records)
    assert (data.names, data.labels, data.meta) == (log.names, log.labels, log.meta)
    page = CheckReport(failed({**log.to_data(), "step": 0})).replay
    assert (page["kind"], page["step"], page["records"]) == ("events", 1, log.to_bytes())
    assert CheckReport(failed(log.to_data())).replay["step"] == 2, "where no step is said, the end"


@pytest.mark.parametrize(
    "replay",
    [
        {"kind": "tree"},
        {"kind": "tree", "labels": ["x"], "data": "no base64!", "page_bytes": 0},
        {"kind": "events", "labels": ["x"]},
        {"labels": None},
    ],
)
def test_a_replay_that_cannot_be_drawn_is_left_out(replay):
    report = CheckReport(failed(replay))
    assert report.replay == {}


def test_the_replay_of_a_queue_opens_where_the_blocks_have_been_let_go_of() -> None:
    wrong = next(m for m in bank("07").mistakes if m.name == "head-first")
    spec = specs.exercise("07", wrong.exercise).spec
    replay = Judge(spec, Source(spec, wrong.source, "<wrong>").namespace).verdict().counterexample.replay
    freed = [record for record in LogData.of(replay).records if record["kind"] == Kind.FREE]
    assert freed and {int(record["step"]) for record in freed} == {replay["step"]}
    assert replay["labels"][replay["step"]].startswith("release(")
