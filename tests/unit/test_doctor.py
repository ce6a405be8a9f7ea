"""The doctor speaks whatever is missing, and says what it changes."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path

import pytest

from labkit import doctor

TORCH = {"version": "2.13.0+cpu", "threads": 2, "cuda_build": None, "hip_build": None, "gpus": []}
TRITON = {"version": "3.7.1"}
BROKEN = {"error": "ImportError: no such symbol"}


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch):
    """Set what the probes for torch and triton answer."""

    def set_them(torch: dict, triton: dict) -> None:
        monkeypatch.setattr(doctor, "probe", lambda code: torch if code == doctor._TORCH else triton)

    set_them(TORCH, TRITON)
    return set_them


def by_name(report: doctor.Report) -> dict[str, doctor.Finding]:
    return {finding.name: finding for finding in report}


def test_the_probes_find_what_is_installed() -> None:
    found = doctor.probe("import json; print('noise'); print(json.dumps({'version': '1'}))")
    assert found == {"version": "1"}


def test_a_probe_that_fails_crashes_hangs_or_says_nothing_is_an_error() -> None:
    assert "No module named 'not_there'" in doctor.probe("import not_there")["error"]
    assert "exit status" in doctor.probe("import os; os.abort()")["error"]
    assert "within 0 s" in doctor.probe("import time; time.sleep(60)", seconds=0.3)["error"]
    assert "error" in doctor.probe("pass")
    assert "error" in doctor.probe("print('[1]')")


def test_everything_is_looked_at_in_a_fixed_order(probes, fresh_home: Path) -> None:
    report = doctor.report()
    assert [finding.name for finding in report] == [
        "Python", "system", "torch", "triton", "GPU", "cores", "memory", "model", "JupyterLab", "browser", "home",
        "work", "progress",
    ]  # fmt: skip
    assert report.ok
    found = by_name(report)
    assert found["model"].state == "note" and "tiny seeded model" in found["model"].means
    assert str(fresh_home) in found["home"].found


def test_without_torch_it_still_speaks(probes, capsys: pytest.CaptureFixture[str]) -> None:
    probes(BROKEN, BROKEN)
    assert doctor.run() == 1
    out = capsys.readouterr().out
    assert "PROBLEM torch" in out and "no such symbol" in out and "mend torch first" in out
    found = by_name(doctor.report())
    assert found["torch"].mend and found["triton"].state == "note"


def test_json(probes, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.run(json=True) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["ok"] is True
    assert {"name", "state", "found", "means", "mend"} == set(data["findings"][0])


def test_every_note_and_problem_says_what_changes(probes) -> None:
    for torch, triton in ((TORCH, TRITON), (BROKEN, BROKEN)):
        probes(torch, triton)
        for finding in doctor.report():
            if finding.state != "ok" and finding.name != "GPU":
                assert finding.means or finding.mend, finding


def test_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = {"name": "A100", "memory": 80 * 2**30, "capability": "8.0"}
    assert doctor.look_at_gpu(TORCH | {"gpus": [gpu]}).found == "A100, 80 GiB, compute capability 8.0"
    monkeypatch.setattr(doctor.shutil, "which", lambda name: None)
    none = doctor.look_at_gpu(TORCH)
    assert (none.state, none.found) == ("ok", "none") and "recorded" in none.means
    assert "larger than needed" in doctor.look_at_gpu(TORCH | {"cuda_build": "13.0"}).means
    monkeypatch.setattr(doctor.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr(doctor, "_first_line", lambda command: "A100")
    assert "built without CUDA" in doctor.look_at_gpu(TORCH).found
    assert "cannot use it" in doctor.look_at_gpu(TORCH | {"cuda_build": "13.0"}).found


def test_old_versions_are_noted() -> None:
    assert doctor.look_at_torch(TORCH | {"version": "2.9.1"}).state == "note"
    assert doctor.look_at_torch(TORCH).state == "ok"
    assert doctor.look_at_triton({"version": "3.6.0"}).state == "note"
    assert doctor.look_at_triton(TRITON).state == "ok"


@pytest.mark.parametrize(
    ("system", "machine", "state"),
    [("Darwin", "x86_64", "problem"), ("Darwin", "arm64", "ok"), ("Linux", "x86_64", "ok"), ("Windows", "AMD64", "ok")],
)
def test_systems(monkeypatch: pytest.MonkeyPatch, system: str, machine: str, state: str) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert doctor.look_at_system().state == state
    if system != "Linux":
        triton = doctor.look_at_triton(BROKEN)
        assert triton.state == "note" and system in triton.found


def test_old_and_new_pythons(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, state in (((3, 10, 1), "problem"), ((3, 11, 0), "ok"), ((3, 13, 2), "ok"), ((3, 14, 0), "problem")):
        monkeypatch.setattr(sys, "version_info", version)
        assert doctor.look_at_python().state == state


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    finding = doctor.look_at_folder("home", tmp_path / "file" / "below", "lost", "problem", "mend")
    assert (finding.state, finding.means, finding.mend) == ("problem", "lost", "mend")
    assert doctor.look_at_folder("home", tmp_path / "new" / "below", "lost", "problem", "mend").state == "ok"
    assert not (tmp_path / "new").exists()


def test_a_home_in_the_way_is_a_problem(probes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "file"))
    report = doctor.report()
    assert not report.ok and by_name(report)["home"].state == "problem"


def test_one_look_that_fails_hides_nothing(probes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "look_at_memory", lambda: 1 / 0)
    found = by_name(doctor.report())
    assert "ZeroDivisionError" in found["memory"].found and found["progress"].state == "ok"


def test_small_memory_and_one_core_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "memory_limit", lambda: 2 * 2**30)
    assert doctor.look_at_memory().state == "note"
    monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda pid: {0}, raising=False)
    assert doctor.look_at_cores().state == "note"


def test_text_and_table(probes) -> None:
    report = doctor.Report([doctor.Finding("a|b", "note", "x | y", "means", "mend"), doctor.Finding("c", "ok", "d")])
    assert repr(report) == str(report) == report.as_text()
    assert repr(report) == (
        "note    a|b  x | y\n             means\n             mend\nok      c    d\n\n"
        "The course runs here; one note above says what differs."
    )
    assert "x \\| y" in report._repr_markdown_()
