"""Everything the course needs travels in the wheel: built from a copy, installed alone, used far from the checkout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.early

ROOT = Path(__file__).resolve().parents[2]
SOURCES = (
    "pyproject.toml",
    "setup.py",
    "README.md",
    "LICENSE",
    "labkit",
    "kernels",
    "notebooks",
    "quizzes",
    "benchmarks/recordings",
)
RIGHT = "test_solution_and_reference_are_accepted"
OURS = ("PYTHON", "PYTEST_", "LABKIT_")  # variables of this test run that must not reach the other environment


@dataclass
class Installed:
    """An environment that holds labkit from its wheel, and sees the dependencies of the one that runs the tests."""

    python: Path
    outside: Path
    wheel: Path

    def run(self, *command: str | Path, **extra: str) -> subprocess.CompletedProcess[str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        env |= {"LABKIT_HOME": str(self.outside / "home"), "OMP_NUM_THREADS": "1", **extra}
        words = [str(word) for word in command]
        return subprocess.run(words, cwd=self.outside, env=env, capture_output=True, text=True, timeout=850)

    def labkit(self, *arguments: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return self.run(self.python.parent / "labkit", *arguments, **extra)


def must(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, f"{done.args}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("wheel")
    source, outside = folder / "source", folder / "outside"
    source.mkdir()
    outside.mkdir()
    ignore = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints")
    for name in SOURCES:  # a copy, so that no build folder is left in the checkout and none of it gets in
        path = ROOT / name
        shutil.copytree(path, source / name, ignore=ignore) if path.is_dir() else shutil.copy(path, source / name)
    added = source / "labkit" / "specs" / "added_lesson"
    added.mkdir()
    for name in ("__init__.py", "mistakes.py"):
        (added / name).write_text("", encoding="utf-8")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    must(subprocess.run(build, capture_output=True, text=True, cwd=outside))
    (wheel,) = folder.glob("labkit-*.whl")

    venv = folder / "venv"
    must(subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], capture_output=True, text=True))
    python = venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    install = [*pip, "install", "--no-deps", "--no-index", "--quiet", str(wheel)]
    must(subprocess.run(install, capture_output=True, text=True, cwd=outside))
    # A line in a .pth file adds the folder and runs none of the .pth files in it: the editable labkit stays out.
    target = sysconfig.get_path("purelib", vars={"base": str(venv), "platbase": str(venv)})
    Path(target, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Installed(python, outside, wheel)


def test_all_that_is_no_python_is_in_the_wheel(installed: Installed) -> None:
    inside = set(zipfile.ZipFile(installed.wheel).namelist())
    wanted = set()
    for folder, package in (("labkit", "labkit"), ("notebooks", "labkit_notebooks"), ("quizzes", "labkit_quizzes"),
                            ("kernels", "kvkernels"), ("benchmarks/recordings", "labkit_recordings")):  # fmt: skip
        for path in (ROOT / folder).rglob("*"):
            hidden = any(part.startswith((".", "__pycache__")) for part in path.relative_to(ROOT).parts)
            if path.is_file() and not hidden:
                wanted.add(f"{package}/{path.relative_to(ROOT / folder).as_posix()}")
    assert sorted(wanted - inside) == []
    assert any(name.endswith(".js") for name in inside) and any(name.endswith(".css") for name in inside)
    assert not [name for name in inside if name.startswith(("tests/", "work/", "build/"))]


def test_a_lesson_that_was_added_is_in_the_wheel_without_being_listed(installed: Installed) -> None:
    inside = zipfile.ZipFile(installed.wheel).namelist()
    assert {"labkit/specs/added_lesson/__init__.py", "labkit/specs/added_lesson/mistakes.py"} <= set(inside)


def test_it_runs_from_the_wheel(installed: Installed) -> None:
    code = (
        "import json, labkit, kvkernels; from labkit import paths;"
        "print(json.dumps([labkit.__file__, kvkernels.__file__, str(paths.checkout()), str(paths.notebooks_dir()),"
        " str(paths.masters_dir()), str(paths.quizzes_dir()), str(paths.recordings_dir())]))"
    )
    found = json.loads(must(installed.run(installed.python, "-c", code)))
    assert found[2] == "None"
    venv = str(installed.python.parents[1])
    for place in [*found[:2], *found[3:]]:
        assert place.startswith(venv), place
        assert Path(place).exists()


def test_lessons_are_listed(installed: Installed) -> None:
    lessons = json.loads(must(installed.labkit("lessons", "--json")))
    assert lessons


def test_lesson_04_is_checked(installed: Installed) -> None:
    report = json.loads(must(installed.labkit("check", "04", "--solved", "--json")))
    assert report["exercises"]
    assert {entry["id"]: entry["verdict"] for entry in report["exercises"]} == {
        entry["id"]: "pass" for entry in report["exercises"]
    }


def test_a_wrong_answer_is_rejected_there_too(installed: Installed) -> None:
    file = installed.outside / "wrong.py"
    file.write_text("%%exercise blocks_needed\ndef blocks_needed(num_tokens, block_size):\n    return num_tokens\n")
    done = installed.labkit("check", "04", "--file", str(file), "--json")
    assert done.returncode != 0
    verdicts = {entry["id"]: entry["verdict"] for entry in json.loads(done.stdout)["exercises"]}
    assert verdicts["blocks_needed"] == "fail"


def test_right_answers_are_accepted_there_too(installed: Installed) -> None:
    # Every specification finds in the wheel what it needs, and each check goes to its end there: all witnesses, and the
    # first examples of the search. What it draws comes from one seed, so the checkout's tests of the many others and of
    # the other right answers hold for both homes.
    code = (
        "import sys, labkit, pytest; assert labkit.__file__.startswith(sys.prefix), labkit.__file__\n"
        "from labkit import specs\n"
        "for exercise in [e for lesson in specs.lessons() for e in lesson.exercises]: exercise.spec.examples = 10\n"
        "sys.exit(pytest.main(sys.argv[1:]))"
    )
    place = ["-c", ROOT / "pyproject.toml", "--rootdir", ROOT, ROOT / "tests" / "mutants"]
    done = installed.run(installed.python, "-B", "-c", code, "-q", "-p", "no:cacheprovider", "-k", RIGHT, *place)
    assert " passed" in must(done)


def test_quizzes_are_found_and_whole(installed: Installed) -> None:
    must(installed.labkit("quiz", "lint"))


def test_widgets_find_their_scripts(installed: Installed) -> None:
    code = (
        "from labkit.observe.events import EventLog; from labkit.widgets.page_table import PageTable;"
        "w = PageTable(EventLog(), num_blocks=4, block_size=4)._library; print(len(w.bundle), len(w.style))"
    )
    sizes = must(installed.run(installed.python, "-c", code)).split()
    assert all(int(size) > 10_000 for size in sizes)


def test_doctor_speaks(installed: Installed) -> None:
    done = installed.labkit("doctor", "--json")
    data = json.loads(done.stdout)
    assert done.returncode == (0 if data["ok"] else 1)
    work = next(finding for finding in data["findings"] if finding["name"] == "work")
    assert str(installed.outside / "work") in work["found"]


def test_lab_copies_the_notebooks_into_the_current_folder(installed: Installed) -> None:
    code = (
        "from labkit import lab, paths;"
        "print([item.name for item in lab.copy_notebooks(paths.notebooks_dir(), lab.work_dir())])"
    )
    must(installed.run(installed.python, "-c", code))
    names = {path.name for path in (installed.outside / "work").glob("*.ipynb")}
    assert names == {path.name for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb")} and names
