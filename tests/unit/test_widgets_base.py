"""The base of the widgets: one module, one style sheet, a stable text."""

from __future__ import annotations

import importlib
import json
import pkgutil
import subprocess
import sys

import pytest

from labkit import widgets
from labkit.widgets import base


class Example(base.LabWidget):
    """A widget with no page code of its own."""

    _name = "example"

    def summary(self) -> str:
        return "Example(3 things)"

    def handle(self, content, buffers) -> None:
        if content["type"] == "break":
            raise ValueError("no such thing")


def test_the_code_travels_once_and_a_widget_carries_its_kind_and_state():
    first, second = Example(), Example()
    assert first._library is second._library is base.library()
    code, style, hash = base.bundle()
    assert (first._library.bundle, first._library.style) == (code, style)
    assert "function h(tag" in code and "--lk-ink" in style and ".lk-card" in style
    state = first.get_state()
    assert (state["_kind"], state["_code"]) == ("example", hash)
    assert len(json.dumps(state)) < 3_500 and "_css" not in state
    assert first.layout is second.layout


def test_every_widget_file_has_a_scope_of_its_own_in_the_bundle():
    kinds = {path.stem for path in base.STATIC.glob("*.js") if base.EXPORT in path.read_text(encoding="utf-8")}
    for module in pkgutil.iter_modules(widgets.__path__, "labkit.widgets."):
        importlib.import_module(module.name)
    found = base.LabWidget.__subclasses__()
    for cls in found:
        found += cls.__subclasses__()
    classes = {cls._name for cls in found if cls.__module__.startswith("labkit.")}
    assert kinds == classes
    for kind in kinds:
        assert f"{kind}: widget_{kind}" in base.bundle().code
    assert base.bundle().code.count("export default") == 1


def test_a_closed_library_is_made_anew():
    before = Example()._library
    before.close()
    after = Example()._library
    assert after is not before and after.comm is not None


def test_repr_is_stable_and_the_bundle_has_two_forms():
    widget = Example()
    assert repr(widget) == "Example(3 things)" == repr(Example())
    data, metadata = widget._repr_mimebundle_()
    assert set(data) == {"text/plain", base.VIEW_MIME} and metadata == {}
    assert data[base.VIEW_MIME]["model_id"] == widget.model_id


def test_an_error_in_a_handler_is_told_to_the_page(monkeypatch: pytest.MonkeyPatch):
    widget, sent = Example(), []
    monkeypatch.setattr(widget, "send", lambda content, buffers=None: sent.append(content))
    widget._on_page_message(widget, {"type": "break"}, [])
    assert sent == [{"type": "problem", "text": "ValueError: no such thing"}]
    widget._on_page_message(widget, "not a dict", [])
    assert len(sent) == 1


def test_the_page_hears_that_the_kernel_is_there(monkeypatch: pytest.MonkeyPatch):
    widget, sent = Example(), []
    monkeypatch.setattr(widget, "send", lambda content, buffers=None: sent.append(content))
    widget._on_page_message(widget, {"type": "hello"}, [])
    assert sent == [{"type": "heard"}]


def test_page_code_reaches_for_nothing_outside():
    for path in base.STATIC.iterdir():
        text = path.read_text(encoding="utf-8")
        assert "innerHTML" not in text, path.name
        if path.name in ("loader.js", "mount.js"):
            text = text.replace("import(url)", "")  # of the blob that holds the code
        for word in ("http://", "https://", "import(", "@import", "fetch("):
            assert word not in text.replace("http://www.w3.org/2000/svg", ""), (path.name, word)


def test_showing_a_widget_draws_nothing_in_the_kernel():
    """A lesson of a dozen pictures spent seconds of the learner's kernel on drawing each with matplotlib."""
    code = """
import sys
from labkit.grading.progress import Progress
from labkit.observe.events import EventLog, Kind
from labkit.observe.evictions import Eviction
from labkit.observe.trees import TreeLog
from labkit.widgets import *
log = EventLog(num_blocks=4, block_size=2)
log.begin("append(A)")
log.emit(Kind.ALLOCATE, "A", 0, 0)
tree = TreeLog(4)
board = TournamentBoard(lambda trace, sizes: {"Belady": {
    "hit_rate": [0.5 for _ in sizes], "evictions": [2 for _ in sizes], "regret": [0 for _ in sizes]}}, {"t": "a"}, [4])
verdict = {"lesson": "04_block_pool", "exercise": "BlockPool", "verdict": "pass", "kind": ""}
for widget in (PageTable(log), MemoryMap(("m", log)), RadixTree(tree), EvictionStrip([Eviction(1, 0, "x", 3)]), board,
               TokenCost(), BlockSizePlay([5]), AttentionPlay(), QuizWidget("04"), CheckReport(verdict), EngineMap(),
               OpeningCard("04"), ProgressOverview(), SplitView()):
    data, _ = widget._repr_mimebundle_()
    assert "image/png" not in data and data["text/plain"]
print(sorted({"matplotlib", "PIL"} & {name.split(".")[0] for name in sys.modules}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr
