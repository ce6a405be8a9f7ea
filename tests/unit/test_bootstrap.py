"""The first command on a fresh machine: said before installing, cheap the second time, repaired after a cut."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from nbconvert.preprocessors import Preprocessor

ROOT = Path(__file__).resolve().parents[2]
CONFTEST = str(ROOT / "tests" / "conftest.py")
SOURCE = (ROOT / "bootstrap.py").read_text(encoding="utf-8")


@pytest.fixture
def bootstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The module, pointed at a project of its own; `calls` records the commands that it would have run."""
    spec = importlib.util.spec_from_file_location("bootstrap_under_test", ROOT / "bootstrap.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "constraints.txt").write_text("numpy==2.0\ntorch==2.13.0\n")
    venv = tmp_path / ".venv"
    monkeypatch.setattr(module, "ROOT", str(tmp_path))
    monkeypatch.setattr(module, "VENV", str(venv))
    monkeypatch.setattr(module, "VENV_PYTHON", str(venv / "bin" / "python"))
    monkeypatch.setattr(module, "STAMP", str(venv / "labkit-environment.json"))
    monkeypatch.setattr(module, "LOCK", str(tmp_path / ".stamps" / "environment.lock"))
    monkeypatch.delenv("TORCH_INDEX", raising=False)
    module.calls = []
    module.fail_at = None

    def run(command, what, **options):
        module.calls.append(command)
        if "venv" in command:
            (venv / "bin").mkdir(parents=True)
            (venv / "bin" / "python").write_text("")
        if module.fail_at and module.fail_at in command:
            raise module.Stop(what)

    monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(module, "venv_works", lambda: (venv / "bin" / "python").exists())
    return module


def installs(bootstrap) -> list[list[str]]:
    return [command for command in bootstrap.calls if "install" in command]


def test_old_pythons_can_read_the_file_to_be_told() -> None:
    tree = ast.parse(SOURCE, feature_version=(3, 6))
    future = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    assert not future  # 3.6 knows no annotations there and would answer with a traceback


def test_it_imports_the_standard_library_alone() -> None:
    names = set()
    for node in ast.walk(ast.parse(SOURCE)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    assert names <= sys.stdlib_module_names


@pytest.mark.parametrize("version", [(2, 7), (3, 8), (3, 10), (3, 14)])
def test_other_pythons_are_told_what_to_install(bootstrap, version: tuple[int, int]) -> None:
    with pytest.raises(bootstrap.Stop, match=rf"This is Python {version[0]}\.{version[1]}.*3\.11, 3\.12 or 3\.13"):
        bootstrap.check_python(version)


def test_the_tested_pythons_pass(bootstrap) -> None:
    for version in ((3, 11, 0), (3, 12), (3, 13, 5)):
        bootstrap.check_python(version)


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        (("Darwin", "macosx-14.0-x86_64", "glibc", 64), "Intel chip"),
        (("Windows", "win-arm64", "glibc", 64), "Windows on Arm"),
        (("Windows", "win32", "glibc", 32), "32 bits"),
        (("Linux", "linux-x86_64", "musl", 64), "musl"),
    ],
)
def test_machines_without_a_build_of_torch_are_told_before_anything_is_installed(bootstrap, machine, said) -> None:
    with pytest.raises(bootstrap.Stop, match=said):
        bootstrap.check_machine(*machine)


def test_an_intel_python_on_an_apple_chip_is_told_so(bootstrap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "rosetta", lambda: True)
    with pytest.raises(bootstrap.Stop, match="install one for arm64"):
        bootstrap.check_machine("Darwin", "macosx-14.0-x86_64", "glibc", 64)


@pytest.mark.parametrize(
    "machine",
    [
        ("Linux", "linux-x86_64", "glibc", 64),
        ("Linux", "linux-aarch64", "glibc", 64),
        ("Darwin", "macosx-14.0-arm64", "glibc", 64),
        ("Windows", "win-amd64", "glibc", 64),
    ],
)
def test_machines_with_one_pass(bootstrap, machine) -> None:
    bootstrap.check_machine(*machine)


def test_a_python_without_venv_is_told_which_package(bootstrap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(bootstrap.Stop, match=r"apt install python3\.\d+-venv"):
        bootstrap.check_venv()


def test_a_second_run_does_nothing(bootstrap, capsys: pytest.CaptureFixture[str]) -> None:
    bootstrap.ensure_environment(dev=False)
    assert installs(bootstrap)[-1][-2:] == ["-e", bootstrap.ROOT]
    assert "-c" in installs(bootstrap)[-1]
    bootstrap.calls.clear()
    bootstrap.ensure_environment(dev=False)
    assert bootstrap.calls == []
    assert "up to date" in capsys.readouterr().out


def test_nbconvert_of_the_environment_keeps_widgets_alive(bootstrap) -> None:
    bootstrap.ensure_environment(dev=False)
    settings = json.loads((Path(bootstrap.VENV) / "etc" / "jupyter" / "jupyter_nbconvert_config.json").read_text())
    [step] = settings["HTMLExporter"]["preprocessors"]
    module, _, name = step.rpartition(".")
    assert issubclass(getattr(importlib.import_module(module), name), Preprocessor)


def test_tests_add_the_tools_and_lab_leaves_them(bootstrap) -> None:
    bootstrap.ensure_environment(dev=False)
    bootstrap.ensure_environment(dev=True)
    assert installs(bootstrap)[-1][-1].endswith("[dev]")
    bootstrap.calls.clear()
    bootstrap.ensure_environment(dev=False)
    assert bootstrap.calls == []


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_change_of_versions_brings_it_up_to_date(bootstrap, name: str) -> None:
    bootstrap.ensure_environment(dev=False)
    bootstrap.calls.clear()
    with open(Path(bootstrap.ROOT) / name, "a") as file:
        file.write("# changed\n")
    bootstrap.ensure_environment(dev=False)
    assert len(bootstrap.calls) == 1  # one install, and no new environment


def test_a_run_that_was_cut_off_is_taken_up_again(bootstrap) -> None:
    bootstrap.fail_at = "-e"
    with pytest.raises(bootstrap.Stop, match="run this again"):
        bootstrap.ensure_environment(dev=False)
    assert not os.path.exists(bootstrap.STAMP)
    bootstrap.fail_at = None
    bootstrap.calls.clear()
    bootstrap.ensure_environment(dev=False)
    assert [("venv" in command, "install" in command) for command in bootstrap.calls] == [(False, True)]
    assert os.path.exists(bootstrap.STAMP)


def test_an_environment_that_does_not_start_is_made_anew(bootstrap, monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrap.ensure_environment(dev=False)
    Path(bootstrap.VENV_PYTHON).unlink()
    bootstrap.calls.clear()
    bootstrap.ensure_environment(dev=False)
    assert [("venv" in command) for command in bootstrap.calls] == [True, False]


def test_a_damaged_stamp_counts_as_none(bootstrap) -> None:
    bootstrap.ensure_environment(dev=False)
    Path(bootstrap.STAMP).write_text("[")
    bootstrap.calls.clear()
    bootstrap.ensure_environment(dev=False)
    assert len(bootstrap.calls) == 1


def test_torch_index(bootstrap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_INDEX", "https://example.invalid/cpu")
    bootstrap.ensure_environment(dev=False)
    torch, project = installs(bootstrap)
    assert torch[-3:] == ["--index-url", "https://example.invalid/cpu", "torch==2.13.0"]
    assert "--index-url" not in project
    bootstrap.calls.clear()
    monkeypatch.delenv("TORCH_INDEX")
    bootstrap.ensure_environment(dev=False)  # remembered, so that a later run does not undo it
    assert bootstrap.calls == []
    monkeypatch.setenv("TORCH_INDEX", "https://example.invalid/cu130")
    bootstrap.ensure_environment(dev=False)
    assert "--force-reinstall" in installs(bootstrap)[0]


def test_two_runs_at_once_wait_for_each_other(bootstrap) -> None:
    order = []
    holding, release = threading.Event(), threading.Event()

    def first() -> None:
        with bootstrap.alone():
            holding.set()
            release.wait(10)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert holding.wait(10)
    threading.Timer(0.3, release.set).start()
    with bootstrap.alone():
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_closing_lines_are_added_up(bootstrap) -> None:
    lines = [
        "===== 12 passed, 1 skipped, 3 deselected, 2 rerun in 4.10s =====",
        "\x1b[31m===== \x1b[31m\x1b[1m1 failed\x1b[0m, \x1b[32m5 passed\x1b[0m, 2 errors\x1b[31m in 1.00s =====",
        "no tests ran in 0.10s",
    ]
    assert bootstrap.total(lines) == {"passed": 17, "skipped": 1, "failed": 1, "error": 2, "rerun": 2}


def test_a_group_shows_its_output_and_gives_its_last_line(bootstrap, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-c", "print('one'); print('two'); print(); raise SystemExit(3)"]
    assert bootstrap.run_group(command, dict(os.environ)) == (3, "two")
    assert capsys.readouterr().out == "one\ntwo\n\n"


def test_one_failing_group_fails_the_whole_and_hides_no_other(bootstrap, monkeypatch, capsys) -> None:
    ends = {"style": (0, "All checks passed!"), "library": (1, "1 failed, 2 passed"), "browser": (0, "3 passed")}
    monkeypatch.setattr(bootstrap, "test_groups", lambda: [(name, [name]) for name in ends])
    monkeypatch.setattr(bootstrap, "run_group", lambda command, env, *out: ends[command[0]])
    assert bootstrap.run_tests() == 1
    out = capsys.readouterr().out
    assert "===== 1 failed, 5 passed in 0s =====" in out and "FAILED" in out
    ends["library"] = (0, "2 passed")
    assert bootstrap.run_tests() == 0
    ends.update(dict.fromkeys(ends, (5, "no tests ran")))
    assert bootstrap.run_tests() == 1


def test_what_computes_runs_beside_what_waits_and_is_read_after_it(bootstrap, monkeypatch, capsys) -> None:
    began = threading.Event()

    def run_group(command, env, *out):
        if command == ["library"]:
            began.set()
            out[0].write("library says\n")
            return 1, "1 failed, 2 passed"
        assert not out and (command == ["units"] or began.wait(60)), "it begins before the other has ended"
        print(command[0], "says")
        return 0, "3 passed"

    monkeypatch.setattr(bootstrap, "test_groups", lambda: [(name, [name]) for name in ("units", "library", "browser")])
    monkeypatch.setattr(bootstrap, "run_group", run_group)
    assert bootstrap.run_tests() == 1
    out = capsys.readouterr().out
    assert out.index("units says") < out.index("browser says") < out.index("library says") < out.index("All parts")
    assert "===== 1 failed, 8 passed in 0s =====" in out
    monkeypatch.setattr(bootstrap, "run_group", lambda command, env, *out: (0, "3 passed") if not out else 1 / 0)
    monkeypatch.setattr(threading, "excepthook", lambda *_: None)
    assert bootstrap.run_tests() == 1, "a part that never came to an end is none that passed"


def test_what_runs_beside_another_ends_with_it(bootstrap, monkeypatch) -> None:
    endless = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(300)"]
    monkeypatch.setattr(bootstrap, "test_groups", lambda: [("library", endless), ("browser", ["browser"])])
    run_group, ended = bootstrap.run_group, []

    def interrupted(command, env, *out):
        if command == ["browser"]:
            while not bootstrap.RUNNING:
                pass
            raise KeyboardInterrupt
        ended.append(run_group(command, env, *out))

    monkeypatch.setattr(bootstrap, "run_group", interrupted)
    monkeypatch.setattr(threading, "excepthook", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        bootstrap.run_tests()
    for thread in threading.enumerate():
        if thread.daemon and "run_one" in thread.name:
            thread.join(60)
    assert ended and ended[0][0] != 0 and not bootstrap.RUNNING


def test_what_runs_beside_another_takes_the_time_that_is_left(bootstrap) -> None:
    out = io.StringIO()
    command = [sys.executable, "-c", "import os; print(os.nice(0) if hasattr(os, 'nice') else 10)"]
    assert bootstrap.run_group(command, dict(os.environ), out) == (0, str(min(19, os.nice(0) + 10)))
    assert out.getvalue().strip() == str(min(19, os.nice(0) + 10))


def test_every_folder_of_tests_is_run_by_some_group() -> None:
    spec = importlib.util.spec_from_file_location("bootstrap_groups", ROOT / "bootstrap.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    commands = [command for _, command in module.test_groups()]
    plain = [command for command in commands if "serial" not in command]
    for folder in sorted({path.parent for path in (ROOT / "tests").rglob("test_*.py")}):
        name = folder.relative_to(ROOT).parts[:2]
        assert any("/".join(name) in command for command in plain), f"no group runs {'/'.join(name)}"


def test_whoever_is_marked_serial_runs_alone(bootstrap) -> None:
    folders = ["tests/unit", "tests/notebooks"]
    for file, text in (
        ("unit/test_a.py", "@pytest.mark.serial\n"),
        ("unit/test_b.py", ""),
        ("notebooks/a.py", "serial"),
    ):
        path = Path(bootstrap.ROOT) / "tests" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert bootstrap.those_with("mark.serial", folders) == [os.path.join("tests", "unit", "test_a.py")]
    (Path(bootstrap.ROOT) / "tests" / "notebooks" / "test_c.py").write_text("pytestmark = [pytest.mark.serial]\n")
    assert len(bootstrap.those_with("mark.serial", folders)) == 2
    assert [command[-2:] for name, command in bootstrap.test_groups() if name == "alone"] == [["-m", "serial"]]


def test_dear_files_begin_first(bootstrap, pytestconfig: pytest.Config) -> None:
    class Item(str):
        def get_closest_marker(self, name: str) -> str | None:
            return name if self in ("c", "d") else None

    (ours,) = (p for p in pytestconfig.pluginmanager.get_plugins() if getattr(p, "__file__", "") == CONFTEST)
    items = [Item(name) for name in "abcde"]
    ours.pytest_collection_modifyitems(items)
    assert items == ["c", "d", "a", "b", "e"]
    (units,) = (command for name, command in bootstrap.test_groups() if name == "units")
    assert "--no-loadscope-reorder" in units, "else the file with the most tests begins first"


def test_what_tests_start_finds_the_course_compiled(bootstrap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    env = bootstrap.test_environment()
    assert "PYTHONDONTWRITEBYTECODE" not in env and env["OMP_NUM_THREADS"] == "3"
    assert bootstrap.environment()["PYTHONDONTWRITEBYTECODE"] == "1", "a lab is left as it was asked for"


def test_without_a_command_it_says_what_there_is() -> None:
    for arguments, status in (([], 2), (["help"], 0), (["fly"], 2)):
        done = subprocess.run([sys.executable, str(ROOT / "bootstrap.py"), *arguments], capture_output=True, text=True)
        assert done.returncode == status
        assert "python bootstrap.py lab" in done.stdout


def test_an_environment_that_was_moved_with_its_folder_is_made_anew(bootstrap) -> None:
    bootstrap.ensure_environment(dev=False)
    stamp = json.loads(Path(bootstrap.STAMP).read_text())
    Path(bootstrap.STAMP).write_text(json.dumps({**stamp, "root": "/elsewhere"}))
    bootstrap.calls.clear()
    bootstrap.ensure_environment(dev=False)
    assert [("venv" in command) for command in bootstrap.calls] == [True, False]
