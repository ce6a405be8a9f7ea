"""The Chromium or Chrome of this machine, where something is to be drawn or printed without a person in front of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

SECONDS = 120


def find_chromium() -> str | None:
    """The path of a Chromium or Chrome: the one that CHROME names, else the machine's own; None where there is none."""
    names = (os.environ.get("CHROME"), "chromium", "chromium-browser", "google-chrome", "chrome")
    return next((found for name in names if name and (found := shutil.which(name))), None)


def printed(page: str, chromium: str) -> bytes | None:
    """A page that fetches nothing as a PDF, None where this Chromium does not print.

    Args:
        page: the text of the page, HTML.
        chromium: a path, as of `find_chromium`.
    """
    with tempfile.TemporaryDirectory(prefix="labkit-print-", ignore_cleanup_errors=True) as folder:
        file, out = Path(folder) / "page.html", Path(folder) / "page.pdf"
        file.write_text(page, encoding="utf-8")
        words = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
        words += [f"--user-data-dir={folder}/profile", f"--print-to-pdf={out}", file.as_uri()]
        try:
            subprocess.run(words, capture_output=True, timeout=SECONDS, check=False)
            data = out.read_bytes()
        except (OSError, subprocess.TimeoutExpired):
            return None
    return data if data.startswith(b"%PDF") else None
