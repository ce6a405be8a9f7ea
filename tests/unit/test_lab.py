"""Opening the course: the learner's copies are never overwritten, and the server answers where it says."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest

from labkit import lab, specs
from labkit.grading.solutions import solutions
from labkit.grading.source import strip_magic
from labkit.lab import Copied, copy_notebooks
from labkit.widgets.base import VIEW_MIME
from labkit.widgets.mount import STATE_MIME

FIRST = "00_start_here.ipynb"


def write(path: Path, *sources: str, outputs: bool = False) -> None:
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{n}") for n, source in enumerate(sources)]
    if outputs:
        cells[0].outputs = [nbformat.v4.new_output("stream", text="seen\n")]
        cells[0].execution_count = 7
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)


def write_widget(path: Path) -> None:
    """A notebook as JupyterLab saves it, with the state of the one widget that it shows."""
    output = nbformat.v4.new_output("display_data", {"text/plain": "PageTable()", VIEW_MIME: {"model_id": "a1"}})
    cell = nbformat.v4.new_code_cell("table", outputs=[output])
    model = {"model_module": "anywidget", "model_name": "AnyModel", "model_module_version": "0", "state": {"_esm": ""}}
    state = {"state": {"a1": model}, "version_major": 2, "version_minor": 0}
    notebook = nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {STATE_MIME: state}})
    nbformat.write(notebook, path)


def text(path: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(path, 4).cells]


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    source, work = tmp_path / "notebooks", tmp_path / "work"
    write(source / FIRST, "a = 1")
    write(source / "01_next.ipynb", "b = 1")
    return source, work


def test_lessons_are_copied_and_nothing_else(folders: tuple[Path, Path]) -> None:
    source, work = folders
    write(source / "gallery.ipynb", "for authors")
    write(source / "solved" / FIRST, "solved")
    assert copy_notebooks(source, work) == [Copied(FIRST, "copied"), Copied("01_next.ipynb", "copied")]
    assert sorted(path.name for path in work.glob("*.ipynb")) == [FIRST, "01_next.ipynb"]
    assert copy_notebooks(source, work) == [Copied(FIRST, "kept"), Copied("01_next.ipynb", "kept")]


def test_an_update_replaces_what_was_not_touched(folders: tuple[Path, Path]) -> None:
    source, work = folders
    copy_notebooks(source, work)
    write(work / FIRST, "a = 1", outputs=True)  # run and saved, but not edited
    write(source / FIRST, "a = 2")
    assert copy_notebooks(source, work)[0] == Copied(FIRST, "updated")
    assert text(work / FIRST) == ["a = 2"]


def test_a_touched_notebook_is_kept_and_the_new_one_put_beside_it_once(folders: tuple[Path, Path]) -> None:
    source, work = folders
    copy_notebooks(source, work)
    write(work / FIRST, "a = 1", "mine")
    assert copy_notebooks(source, work)[0] == Copied(FIRST, "kept")
    write(source / FIRST, "a = 2")
    assert copy_notebooks(source, work)[0] == Copied(FIRST, "offered", "00_start_here.new.ipynb")
    assert text(work / FIRST) == ["a = 1", "mine"]
    assert text(work / "00_start_here.new.ipynb") == ["a = 2"]
    (work / "00_start_here.new.ipynb").unlink()
    assert copy_notebooks(source, work)[0] == Copied(FIRST, "kept")  # said once, not at every start


def test_an_offered_copy_that_was_edited_is_kept_too(folders: tuple[Path, Path]) -> None:
    source, work = folders
    copy_notebooks(source, work)
    write(work / FIRST, "mine")
    write(source / FIRST, "a = 2")
    copy_notebooks(source, work)
    write(source / FIRST, "a = 3")
    assert copy_notebooks(source, work)[0].beside == "00_start_here.new.ipynb"  # not edited: replaced by the newer one
    assert text(work / "00_start_here.new.ipynb") == ["a = 3"]
    write(work / "00_start_here.new.ipynb", "mine again")
    write(source / FIRST, "a = 4")
    assert copy_notebooks(source, work)[0].beside == "00_start_here.new-2.ipynb"
    assert text(work / "00_start_here.new.ipynb") == ["mine again"]
    assert text(work / FIRST) == ["mine"]


def test_a_learner_who_did_what_the_update_does_has_it(folders: tuple[Path, Path]) -> None:
    source, work = folders
    copy_notebooks(source, work)
    write(work / FIRST, "a = 2")
    write(source / FIRST, "a = 2")
    assert copy_notebooks(source, work)[0] == Copied(FIRST, "kept")
    write(source / FIRST, "a = 3")
    assert copy_notebooks(source, work)[0] == Copied(FIRST, "updated")


def test_assistants_are_asked_to_teach_and_the_learner_has_the_last_word(folders: tuple[Path, Path]) -> None:
    source, work = folders
    copy_notebooks(source, work)
    asked = (work / "AGENTS.md").read_text(encoding="utf-8")
    assert "teaching assistant" in asked and "%%exercise" in asked
    memory = work / ".labkit" / "notebooks.json"
    (work / "AGENTS.md").write_text("an older edition")
    memory.write_text(json.dumps({**json.loads(memory.read_text()), "AGENTS.md": lab.fingerprint(work / "AGENTS.md")}))
    copy_notebooks(source, work)
    assert (work / "AGENTS.md").read_text(encoding="utf-8") == asked
    (work / "AGENTS.md").write_text("mine")
    copy_notebooks(source, work)
    assert (work / "AGENTS.md").read_text() == "mine"


def test_nothing_that_is_copied_shows_a_solution(tmp_path: Path) -> None:
    """No three lines of a solution's code stand in what lies in the learner's folder, but for what its stub gives.

    A break-it shows code that is wrong, below the exercise, and is left out.
    """
    copy_notebooks(lab.paths.notebooks_dir(), tmp_path)
    assert (tmp_path / "AGENTS.md").is_file()
    cells = [(path.name, path.read_text(encoding="utf-8")) for path in tmp_path.glob("*.md")]
    for path in sorted(tmp_path.glob("*.ipynb")):
        notebook = nbformat.read(path, 4)
        cells += [(f"{path.stem}, {cell.id}", cell.source) for cell in notebook.cells if cell.id != "about-break-it"]
    there = [(where, "\n".join(_lines(source)), strip_magic(source)[0]) for where, source in cells]
    looked = 0
    for lesson in specs.lessons():
        for exercise, solved in solutions(lesson.key).items():
            body = _lines("\n".join(ast.unparse(node) for node in _definitions(solved)))
            runs = ["\n".join(body[i : i + 3]) for i in range(len(body) - 2)]
            own = next(source for _, source, id in there if id == exercise)
            for run in runs:
                if len(run) > 60 and run not in own:
                    looked += 1
                    assert not [where for where, source, _ in there if run in source], (lesson.key, exercise, run)
    assert looked > 200


def _lines(source: str) -> list[str]:
    return [line.strip() for line in source.split("\n") if line.strip()]


def _definitions(source: str) -> list[ast.stmt]:
    """Functions and classes of a text, without their docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None and node.body[1:]:
            del node.body[0]
    return [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]


def test_a_deleted_copy_comes_back(folders: tuple[Path, Path]) -> None:
    source, work = folders
    copy_notebooks(source, work)
    (work / FIRST).unlink()
    assert copy_notebooks(source, work)[0] == Copied(FIRST, "copied")


@pytest.mark.parametrize("memory", ["{", "[]", None])
def test_without_its_memory_it_overwrites_nothing(folders: tuple[Path, Path], memory: str | None) -> None:
    source, work = folders
    copy_notebooks(source, work)
    write(work / FIRST, "mine")
    file = work / ".labkit" / "notebooks.json"
    file.unlink() if memory is None else file.write_text(memory)
    assert copy_notebooks(source, work)[0].action == "offered"
    assert text(work / FIRST) == ["mine"]


def test_a_file_that_is_no_notebook_is_kept(folders: tuple[Path, Path]) -> None:
    source, work = folders
    copy_notebooks(source, work)
    (work / FIRST).write_text("broken by hand")
    write(source / FIRST, "a = 2")
    assert copy_notebooks(source, work)[0].action == "offered"
    assert (work / FIRST).read_text() == "broken by hand"


def test_a_model_that_cannot_be_fetched_stops_nothing(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(lab.subprocess, "call", lambda *args, **options: 1)
    assert lab.fetch_model() is False
    assert "tiny seeded model" in capsys.readouterr().out
    monkeypatch.setenv("LABKIT_NO_MODEL", "1")
    monkeypatch.setattr(lab.subprocess, "call", lambda *args, **options: pytest.fail("fetched"))
    assert lab.fetch_model() is False


def test_a_work_folder_that_cannot_be_made_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert lab.run(tmp_path / "file" / "work", model=False) == 1
    assert "cannot be used" in capsys.readouterr().err


def test_a_server_that_ends_at_once_gives_the_end_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lab, "server_command", lambda work, port: [sys.executable, "-c", "print('no port'); exit(3)"])
    monkeypatch.setattr(lab.paths, "notebooks_dir", lambda: tmp_path)
    assert lab.run(tmp_path / "work", model=False) == 1
    error = capsys.readouterr().err
    assert "JupyterLab ended at once" in error and "no port" in error


def test_a_port_that_is_taken_is_passed_over() -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert lab.free_port(port) != port


def test_the_defaults_of_ours_ask_for_no_news() -> None:
    overrides = json.loads((Path(lab.__file__).parent / "lab_settings" / "overrides.json").read_text())
    assert overrides["@jupyterlab/apputils-extension:notification"] == {"fetchNews": "false", "checkForUpdates": False}


START = """
import sys
from pathlib import Path
from labkit import lab
lab.paths.notebooks_dir = lambda: Path(sys.argv[1])
sys.exit(lab.run(sys.argv[2], model=False))
"""


@pytest.mark.serial
@pytest.mark.skipif(os.name == "nt", reason="ends the program with a signal")
def test_the_real_thing_starts_prints_its_address_and_ends(folders: tuple[Path, Path], tmp_path: Path) -> None:
    source, work = folders
    jupyter = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    env = {**os.environ, **jupyter, "LABKIT_NO_BROWSER": "1", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", START, str(source), str(work)]
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    try:
        url = ""
        for line in process.stdout:
            if "http://" in line:
                url = line.strip()
                break
        assert url.startswith("http://127.0.0.1:") and f"/lab/tree/{FIRST}?token=" in url
        base, token = url.split("/lab/tree/")[0], url.split("token=")[1]

        def page(path: str) -> str:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            request = urllib.request.Request(base + path, headers={"Authorization": f"token {token}"})
            return opener.open(request, timeout=60).read().decode()

        def get(path: str) -> dict:
            return json.loads(page(path))

        assert {entry["name"] for entry in get("/api/contents")["content"]} == {FIRST, "01_next.ipynb", "AGENTS.md"}
        notification = get("/lab/api/settings/@jupyterlab/apputils-extension:notification")
        assert notification["schema"]["properties"]["fetchNews"]["default"] == "false"
        assert not (tmp_path / "CONFIG" / "lab" / "user-settings").exists()  # the learner's own settings stay theirs

        # What the menu exports as HTML shows its widgets by themselves.
        write_widget(work / "own.ipynb")
        exported = page("/nbconvert/html/own.ipynb")
        assert 'data-widget="a1"' in exported and "widget-view+json" not in exported

        # A second start finds the first and names the same address.
        second = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert second.returncode == 0 and url in second.stdout and "running already" in second.stdout
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert process.returncode == 128 + signal.SIGTERM
    assert not (work / ".labkit" / "server.json").exists()
    deadline = time.monotonic() + 10
    while lab._answers(int(base.rsplit(":", 1)[1]), token):
        assert time.monotonic() < deadline, "the server outlived the command"
        time.sleep(0.1)
