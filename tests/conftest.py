"""What holds for every test: the same random examples at each run, and a LABKIT_HOME of its own.

`make explore` runs the property tests with the other profile, on examples that nobody has seen.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

settings.register_profile("suite", derandomize=True, database=None, deadline=None)
settings.register_profile("explore", derandomize=False, database=None, deadline=None, print_blob=True)
settings.load_profile("suite")

# Hypothesis also draws numbers and texts that it finds in the modules loaded so far, so that a test's examples would
# depend on which tests ran before it in its process. There is no public way to ask it not to.
providers._get_local_constants = Constants


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is marked `early` comes first, and all else stays in its order."""
    items.sort(key=lambda item: item.get_closest_marker("early") is None)


@pytest.fixture(autouse=True)
def fresh_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the progress of the person who runs it."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("LABKIT_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser to drive: skips the test where there is none, or fails it under LABKIT_REQUIRE_BROWSER=1."""
    from labkit.authoring.photographs import find_chromium

    found, missing = find_chromium(), "no Chromium found (apt install chromium, or set CHROME to a browser's path)"
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        found, missing = None, "the playwright package is not installed (pip install -e '.[dev]')"
    if found is None:
        if os.environ.get("LABKIT_REQUIRE_BROWSER") == "1":
            pytest.fail(f"LABKIT_REQUIRE_BROWSER=1, but {missing}")
        pytest.skip(missing)
    return found
