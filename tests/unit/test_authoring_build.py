"""Building: outputs normalised, the same bytes twice, and a failing cell named."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import nbformat
import pytest

from labkit import writing
from labkit.authoring import build, drift, photographs
from labkit.authoring.environment import SEED, prepare_home
from labkit.authoring.master import parse, read
from labkit.errors import AuthorError
from labkit.grading.progress import Progress
from labkit.widgets import mount
from labkit.widgets.base import VIEW_MIME

pytestmark = pytest.mark.early

TINY = Path(__file__).parents[1] / "notebooks" / "fixtures" / "tiny.py"
PLAIN = """\
# %% [markdown] id="title"
# # Plain

# %% id="streams"
import sys

print("a")
print("b")
sys.stdout.flush()
print("c")

# %% id="home"
import os

from labkit.grading.progress import Progress

print(sorted(os.listdir()), Progress().seed(), Progress().passed_all())

# %% id="value"
hash("a string"), os.environ["OMP_NUM_THREADS"]

# %% id="picture"
from IPython.display import display


class Shown:
    def _repr_mimebundle_(self, **kwargs):
        view = {"version_major": 2, "version_minor": 1, "model_id": str(id(self))}
        return {"text/plain": "Shown", "application/vnd.jupyter.widget-view+json": view}


display(Shown())

# %% id="slider"
import ipywidgets

slider = ipywidgets.IntSlider()
slider

# %% id="time" tags=["nbval-ignore-output"]
import time

time.perf_counter_ns()
"""


@pytest.fixture(scope="module")
def executed():
    return build.execute(parse(PLAIN, "50_plain.py"))


def outputs(node, id):
    return next(c for c in node.cells if c.id == id).outputs


def test_execution_is_in_a_fresh_home_and_leaves_no_trace_of_the_run(executed):
    text = json.dumps([c.get("outputs") for c in executed.cells] + [c.metadata for c in executed.cells])
    assert "widget-view" not in text and "model_id" not in text and "iopub" not in text
    assert set(executed.metadata) == {"kernelspec", "language_info"}
    assert outputs(executed, "home")[0].text == f"[] {SEED} {{}}\n"
    assert [c.execution_count for c in executed.cells if c.cell_type == "code"] == [1, 2, 3, 4, 5, 6]


def test_streams_are_joined(executed):
    assert [o.text for o in outputs(executed, "streams")] == ["a\nb\nc\n"]


def test_executing_twice_gives_the_same_outputs_but_for_the_marked_cell(executed):
    again = build.execute(parse(PLAIN, "50_plain.py"))
    assert outputs(executed, "time") != outputs(again, "time")
    assert build.differing_cells(executed, again) == []
    unmarked = build.execute(parse(PLAIN.replace(' tags=["nbval-ignore-output"]', ""), "50_plain.py"))
    assert build.differing_cells(unmarked, again) == ["time"]


def test_a_widget_without_its_picture_is_found_later(executed, tmp_path):
    path = tmp_path / "50_plain.ipynb"
    path.write_text(build.dumps(executed))
    found = {(f.cell, f.rule) for f in drift.solved(parse(PLAIN, "50_plain.py"), path)}
    assert ("picture", "lost-picture") in found and ("slider", "lost-picture") in found


def test_twice_built_is_the_same_bytes_and_marked_outputs_stay(tmp_path):
    master = parse(PLAIN, "50_plain.py")
    first = build.build(master, tmp_path)
    bytes_ = {b.path: b.path.read_bytes() for b in first}
    assert [b.path.relative_to(tmp_path).as_posix() for b in first] == ["50_plain.ipynb", "solved/50_plain.ipynb"]
    second = build.build(master, tmp_path)
    assert not any(b.changed for b in second)
    assert {b.path: b.path.read_bytes() for b in second} == bytes_
    assert not list(tmp_path.rglob(".*"))


def test_learner_only_executes_nothing(tmp_path):
    crashing = parse('# %% id="a"\nraise SystemError("never run")\n', "50_plain.py")
    (built,) = build.build(crashing, tmp_path, learner_only=True)
    cells = json.loads(built.path.read_text())["cells"]
    assert cells[0]["outputs"] == [] and cells[0]["execution_count"] is None


def test_a_master_without_a_number_has_no_learner_form(tmp_path):
    built = build.build(parse('# %% id="a"\nprint(1)\n', "gallery.py"), tmp_path)
    assert [b.path.relative_to(tmp_path).as_posix() for b in built] == ["solved/gallery.ipynb"]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("1 / 0", "cell bad: raised ZeroDivisionError: division by zero"),
        ("import os\nos._exit(1)", "cell bad: the kernel died here"),
        (
            "class A:\n    def _repr_mimebundle_(self, **kwargs):\n        return 1 / 0\n\n\nA()",
            "cell bad: raised ZeroDivisionError",
        ),
        (
            "class A:\n    def _repr_mimebundle_(self, **kwargs):\n        return 1 / 0\n\n\ndisplay(A())",
            "cell bad: raised ZeroDivisionError",
        ),
        (
            "from labkit.grading.report import render\nfrom labkit.grading.verdict import Verdict\n"
            "from labkit.widgets import CheckReport\n\n"
            'verdict = Verdict("05", "slot_of", "error", kind="internal", message="The check itself failed.")\n'
            "CheckReport(verdict, render(verdict))",
            "cell bad: The check itself failed; mend what it checks with",
        ),
    ],
)
def test_a_failing_cell_is_named_and_nothing_is_written(tmp_path, code, said):
    master = parse(f'# %% id="good"\nprint(1)\n\n# %% id="bad"\n{code}\n', "50_plain.py")
    with pytest.raises(AuthorError) as caught:
        build.build(master, tmp_path)
    assert said in str(caught.value) and "50_plain.py" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_slow_cell_is_named():
    with pytest.raises(AuthorError, match="cell slow: still running after 1 s"):
        build.execute(parse('# %% id="slow"\nimport time\ntime.sleep(30)\n', "50_plain.py"), timeout=1)


def test_verify_names_the_cells_that_differ(tmp_path):
    master = parse('# %% id="same"\nprint(1)\n\n# %% id="clock"\nimport time\nprint(time.time_ns())\n', "50_plain.py")
    with pytest.raises(AuthorError, match="different outputs in clock"):
        build.build(master, tmp_path, verify=True)
    assert list(tmp_path.iterdir()) == []


def test_prepared_home_has_the_seed_and_nothing_else(tmp_path):
    home = prepare_home(tmp_path / "home")
    progress = Progress(home)
    assert progress.seed() == SEED
    assert progress.summary()["attempts"] == 0 and progress.passed_all() == {}


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.ipynb"
    writing.write_atomically(path, "old\n")

    def refuse(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(writing.os, "replace", refuse)
    with pytest.raises(OSError, match="no space"):
        writing.write_atomically(path, "new\n")
    assert path.read_text() == "old\n" and list(tmp_path.iterdir()) == [path]


def png(pixels: str) -> bytes:
    import io

    from PIL import Image

    image = Image.new("RGBA", (8, 8), "white" if pixels != "clear" else (0, 0, 0, 0))
    if pixels == "drawn":
        image.putpixel((1, 1), (255, 0, 0, 255))
        image.putpixel((2, 1), (0, 0, 255, 255))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("data", "blank"), [(png("white"), True), (png("clear"), True), (png("drawn"), False), (b"x", True)]
)
def test_blank_pictures_are_seen(data, blank):
    assert drift.is_blank(data) is blank


def solved_with(tmp_path, **changes):
    """The stored solved notebook of a one-cell master, with something changed in that cell."""
    master = parse('# %% id="a"\nprint(1)\n', "50_plain.py")
    node = build.notebook(master, solved=True)
    node.cells[0].execution_count = 1
    node.cells[0].update(changes)
    path = tmp_path / "50_plain.ipynb"
    path.write_text(json.dumps(node))
    return [(f.cell, f.rule) for f in drift.solved(master, path)]


def shown(text: str | None = None, **data):
    if text is not None:
        return [{"output_type": "stream", "name": "stdout", "text": text}]
    return [{"output_type": "display_data", "data": data, "metadata": {}}]


def photographed(pixels: str | None, alt: str):
    """An output that showed a widget, as a build stores it."""
    data = {"image/png": base64.b64encode(png(pixels)).decode()} if pixels else {"text/plain": "Pool"}
    metadata = {build.WIDGET_MARK: True, "image/png": {"alt": alt}}
    return [{"output_type": "display_data", "data": data, "metadata": metadata}]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, []),
        ({"outputs": shown("fine\n")}, []),
        ({"source": "print(2)"}, [("a", "drift")]),
        ({"metadata": {"tags": ["x"]}}, [("a", "drift")]),
        ({"id": "b"}, [("a", "drift"), ("b", "drift")]),
        ({"execution_count": None}, [("a", "not-executed")]),
        ({"outputs": shown("<Thing at 0x7f00deadbeef>")}, [("a", "address")]),
        ({"outputs": shown("wrote /home/someone/x")}, [("a", "machine-path")]),
        ({"outputs": [{"output_type": "stream", "name": "stderr", "text": "Warning"}]}, [("a", "stderr")]),
        (
            {"outputs": [{"output_type": "error", "ename": "ValueError", "evalue": "", "traceback": []}]},
            [("a", "error-output")],
        ),
        ({"outputs": shown(**{"image/png": base64.b64encode(png("white")).decode()})}, [("a", "blank-picture")]),
        ({"outputs": shown(**{"image/png": base64.b64encode(png("drawn")).decode()})}, []),
        ({"outputs": shown(**{VIEW_MIME: {"model_id": "x"}})}, [("a", "widget-view")]),
        ({"outputs": photographed("drawn", "A pool.")}, []),
        ({"outputs": photographed("drawn", " ")}, [("a", "no-alternative-text")]),
        ({"outputs": photographed("white", "A pool.")}, [("a", "blank-picture")]),
        ({"outputs": photographed(None, "A pool.")}, [("a", "lost-picture")]),
    ],
)
def test_stored_outputs_are_inspected(tmp_path, changes, found):
    assert solved_with(tmp_path, **changes) == found


def test_missing_and_unreadable_notebooks_are_said(tmp_path):
    master = read(TINY)
    assert [f.rule for f in drift.solved(master, tmp_path / "no.ipynb")] == ["not-built"]
    (tmp_path / "bad.ipynb").write_text("{")
    assert [f.rule for f in drift.solved(master, tmp_path / "bad.ipynb")] == ["unreadable"]


def test_learner_notebook_with_an_output_is_said(tmp_path):
    master = parse('# %% id="a"\nprint(1)\n', "50_plain.py")
    node = build.notebook(master, solved=False)
    node.cells[0].outputs = shown("1\n")
    path = tmp_path / "50_plain.ipynb"
    path.write_text(json.dumps(node))
    assert [f.rule for f in drift.learner(master, path)] == ["stored-output"]


WIDGET = """\
# %% [markdown] id="title"
# # One widget

# %% id="shown"
from labkit.widgets import BlockSizePlay

BlockSizePlay([5, 9])
"""


def test_a_widget_is_photographed_and_its_state_left_out(tmp_path, chromium):
    master = parse(WIDGET, "50_plain.py")
    node = build.execute(master)
    (output,) = outputs(node, "shown")
    assert set(output.data) == {"text/plain", "image/png"} and "widgets" not in node.metadata
    assert not drift.is_blank(base64.b64decode(output.data["image/png"]))
    assert output.metadata["image/png"]["alt"].startswith("What a block size does to the last block")
    assert build.differing_cells(node, build.execute(master)) == []
    path = tmp_path / "50_plain.ipynb"
    path.write_text(build.dumps(node))
    assert list(drift.solved(master, path)) == []


def without_a_browser(monkeypatch):
    monkeypatch.delenv("CHROME", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")


def test_without_a_browser_a_solved_notebook_is_refused_in_a_sentence_and_nothing_is_written(tmp_path, monkeypatch):
    pytest.importorskip("playwright")
    monkeypatch.setattr(build, "run", lambda node, *_, **__: stored_widget(node))
    without_a_browser(monkeypatch)
    with pytest.raises(AuthorError, match=r"there is no Chromium .*--learner-only"):
        build.build(parse(WIDGET, "50_plain.py"), tmp_path)
    assert list(tmp_path.iterdir()) == []
    build.build(parse(WIDGET, "50_plain.py"), tmp_path, learner_only=True)


def stored_widget(node):
    """Stands for an execution: the last cell shows a widget whose state was saved."""
    from nbformat.v4 import new_output

    state = {"w": {"model_module": "anywidget", "state": {}}}
    node.metadata["widgets"] = {mount.STATE_MIME: {"state": state}}
    node.cells[-1].outputs = [new_output("display_data", data={VIEW_MIME: {"model_id": "w"}})]


def test_author_build_asks_for_the_browser_before_it_executes_anything(monkeypatch):
    from typer.testing import CliRunner

    from labkit.authoring.commands import app

    pytest.importorskip("playwright")
    monkeypatch.setattr(build, "build", lambda *_, **__: pytest.fail("it began to build"))
    without_a_browser(monkeypatch)
    done = CliRunner().invoke(app, ["build", "04"])
    assert done.exit_code == 1 and "there is no Chromium" in done.output


def marked_run(text: str, **of_the_widget: dict[str, str]):
    def output(kind, **metadata):
        return nbformat.v4.new_output(kind, {"text/plain": text, "image/png": text}, metadata=metadata)

    outputs = [output("display_data"), output("execute_result", **{build.WIDGET_MARK: True}, **of_the_widget)]
    cell = nbformat.v4.new_code_cell("measure()", id="a", metadata={"tags": [build.IGNORE_OUTPUT]}, outputs=outputs)
    return nbformat.v4.new_notebook(cells=[cell])


def test_a_recorded_run_stays_where_each_photograph_has_its_text() -> None:
    text = {"image/png": {"alt": "what is to be seen"}}
    kept = build.keep_ignored_outputs(marked_run("new", **text), marked_run("old", **text))
    assert kept.cells[0].outputs[0].data["text/plain"] == "old"
    taken = build.keep_ignored_outputs(marked_run("new", **text), marked_run("old"))
    assert taken.cells[0].outputs[0].data["text/plain"] == "new"


def test_fewer_colours_are_not_seen() -> None:
    import numpy as np
    from PIL import Image, ImageDraw

    picture = Image.new("RGB", (400, 200), "white")
    draw = ImageDraw.Draw(picture)
    for i in range(12):
        draw.rectangle((20 * i, 30, 20 * i + 15, 60), fill=(20 * i, 90, 255 - 20 * i))
    draw.text((10, 100), "Blocks that nobody holds", fill="#1b2330", font_size=20)
    png = io.BytesIO()
    picture.save(png, "PNG")
    smaller = photographs.in_256_colours(png.getvalue())
    seen = np.asarray(Image.open(io.BytesIO(smaller)).convert("RGB")).astype(int)
    assert np.abs(seen - np.asarray(picture)).max() < 16 and not drift.is_blank(smaller)
