"""Random examples in this suite are the same at each run; fresh ones are `make explore`'s."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

TESTS = Path(__file__).resolve().parents[1]


def test_the_profile_is_derandomized_and_remembers_nothing() -> None:
    assert settings.get_current_profile_name() == "suite"
    assert settings().derandomize and settings().database is None
    assert settings(max_examples=7).derandomize, "a test's own settings start from the profile"


def test_no_test_decides_it_for_itself() -> None:
    own = re.compile(r"\b(derandomize|database)=")
    found = [
        path.name
        for path in sorted(TESTS.rglob("test_*.py"))
        if path != Path(__file__) and own.search(path.read_text(encoding="utf-8"))
    ]
    assert not found, "these would not be explored, or not be the same at each run"


def drawn() -> list[list[int]]:
    seen: list[list[int]] = []

    @settings(max_examples=200)
    @given(st.lists(st.integers(), min_size=3, max_size=8))
    def collect(numbers: list[int]) -> None:
        seen.append(numbers)

    collect()
    return seen


def test_examples_do_not_depend_on_what_was_loaded_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = drawn()
    assert drawn() == first
    spec = importlib.util.spec_from_file_location("odd_constants", _module_of_constants(tmp_path))
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "odd_constants", module)
    spec.loader.exec_module(module)
    assert drawn() == first


def _module_of_constants(folder: Path) -> Path:
    path = folder / "odd_constants.py"
    path.write_text("\n".join(f"A{n} = {918_273_645 + n}" for n in range(50)), encoding="utf-8")
    return path
