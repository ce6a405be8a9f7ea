"""The learner's folder, and the course's folders in a checkout."""

from __future__ import annotations

from pathlib import Path

import pytest

from labkit import paths

ROOT = Path(__file__).resolve().parents[2]


def test_labkit_home_overrides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "a"))
    assert paths.home() == tmp_path / "a"
    monkeypatch.setenv("LABKIT_HOME", "~/b")
    assert paths.home() == Path.home() / "b"
    assert paths.models_dir() == Path.home() / "b" / "models"


def test_without_it_the_platform_decides(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LABKIT_HOME")
    monkeypatch.setattr(paths.platformdirs, "user_data_dir", lambda name, appauthor: str(tmp_path / name))
    assert paths.home() == tmp_path / "labkit"
    monkeypatch.setenv("LABKIT_HOME", "")
    assert paths.home() == tmp_path / "labkit"


def test_asking_creates_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "none"))
    paths.home(), paths.models_dir()
    assert not (tmp_path / "none").exists()


def test_a_checkout_uses_its_own_folders() -> None:
    if paths.checkout() is None:
        pytest.skip("labkit is installed from a wheel here")
    assert paths.checkout() == ROOT
    assert paths.notebooks_dir() == ROOT / "notebooks"
    assert paths.masters_dir() == ROOT / "notebooks" / "masters"
    assert paths.solved_dir() == ROOT / "notebooks" / "solved"
    assert paths.quizzes_dir() == ROOT / "quizzes"


def test_packaged_folders_are_found_without_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "labkit_made_up").mkdir()
    monkeypatch.setattr(paths, "checkout", lambda: None)
    monkeypatch.syspath_prepend(str(tmp_path))
    find = paths._course_folder.__wrapped__
    assert find("notebooks", "labkit_made_up") == tmp_path / "labkit_made_up"
    with pytest.raises(FileNotFoundError, match="install labkit again"):
        find("notebooks", "labkit_not_there")
