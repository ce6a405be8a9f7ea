"""Every test has its own LABKIT_HOME, so that no test reads or writes the progress of the person who runs it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def fresh_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("LABKIT_HOME", str(home))
    monkeypatch.setenv("LABKIT_PATIENCE", "8")  # a busy machine must not turn a slow check into a wrong one
    return home
