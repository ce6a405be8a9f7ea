"""`labkit report`: read a trace, simulate, and write one page; or say in one sentence why not, and write nothing."""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat
from nbformat.v4 import new_markdown_cell, new_notebook

from labkit.chromium import find_chromium, printed
from labkit.errors import ReportError
from labkit.export import OfflineExporter
from labkit.reports.sections import Findings, plain, sections
from labkit.simulate.capacity import Served, fewer_blocks, fewest_cards
from labkit.simulate.configuration import Configuration
from labkit.words import plural
from labkit.writing import write_atomically

FORMS = (".html", ".ipynb", ".pdf")
NO_PDF = (
    "A PDF is printed by a Chromium or Chrome, and there is none here that starts: write .html and print it from a "
    "browser, or name one in CHROME."
)


def write_report(
    configuration: Configuration,
    out: Path,
    *,
    share: float = 0.95,
    most_cards: int = 64,
    own_work: Mapping[str, str] | None = None,
    progress: bool | None = None,
) -> Findings:
    """Simulate what is needed and write the report.

    Args:
        configuration: the workload, what it runs on, and the target.
        out: an .html, .ipynb or .pdf file. It is written whole or not at all: an older one stays until then.
        share: of the requests, how many must meet the target.
        most_cards: at most so many are tried.
        own_work: what is said of the learner's own work, by heading.
        progress: say on stderr what is being simulated: True, False, or None for "if that is a terminal".

    Raises:
        ReportError: a form or place that cannot be written. What a trace's reader and the simulator refuse.
    """
    if out.suffix.lower() not in FORMS:
        raise ReportError(f"{out.name} has no form that a report is written in: end its name in {', '.join(FORMS)}.")
    if not out.parent.is_dir():
        raise ReportError(f"{out} lies in a folder that there is not: make {out.parent} first.")
    if out.suffix.lower() == ".pdf" and find_chromium() is None and find_spec("playwright") is None:
        raise ReportError(NO_PDF)
    found = findings(configuration, share, most_cards, own_work, progress)
    data = rendered(notebook(found), out.suffix.lower(), f"What {found.trace.name} needs")
    try:
        write_atomically(out, data)
    except OSError as error:
        raise ReportError(f"{out} cannot be written ({error.strerror}): name another file with --out.") from None
    return found


def findings(
    configuration: Configuration,
    share: float = 0.95,
    most_cards: int = 64,
    own_work: Mapping[str, str] | None = None,
    progress: bool | None = None,
) -> Findings:
    """The simulations of a report."""
    show = sys.stderr.isatty() if progress is None else progress

    def tell(served: Served) -> None:
        if show:
            where = f"{plural(served.cards, 'card')} of {plural(served.blocks, 'block')}"
            print(f"labkit: {where}: {served.share:.1%} within the target", file=sys.stderr)

    trace = configuration.workload()
    if not len(trace):
        raise ReportError(f"{trace.name} has no requests to report on: name another file.")
    cards = fewest_cards(configuration, trace, share, most_cards, tell)
    settled = next((s for s in cards if s.share >= share), None) or max(cards, key=lambda s: s.share)
    blocks = fewer_blocks(configuration, trace, settled, share, tell)
    return Findings(configuration, trace, share, cards, blocks, dict(own_work or {}))


def notebook(found: Findings) -> Any:
    """The report as a notebook: text, with the pictures as attachments of their cells."""
    cells = []
    for number, section in enumerate(sections(found)):
        cell = new_markdown_cell(section.text, id=f"section-{number}")
        if section.pictures:
            cell["attachments"] = {
                f"{name}.png": {"image/png": base64.b64encode(png).decode()} for name, png in section.pictures.items()
            }
        cells.append(cell)
    return new_notebook(cells=cells, metadata={"title": plain(found.trace.name)})


STYLE = """<style>
body { max-width: 62rem; margin: 0 auto; }
.jp-RenderedHTMLCommon table { margin-left: 0; font-size: .88em; font-variant-numeric: tabular-nums; }
.jp-RenderedHTMLCommon img { max-width: 46rem; width: 100%; background: #fff; border-radius: 4px; }
.jp-InputPrompt, .jp-OutputPrompt { display: none; }
@media print { body { max-width: none; } }
</style></head>"""


def rendered(node: Any, form: str, title: str) -> bytes:
    """The bytes of a report in one of `FORMS`.

    Raises:
        ReportError: a PDF, where neither this machine has a Chromium nor nbconvert finds playwright's.
    """
    if form == ".ipynb":
        return nbformat.writes(node).encode()
    page, _ = OfflineExporter().from_notebook_node(node, {"metadata": {"name": title}})
    page = page.replace("</head>", STYLE, 1)
    return _pdf(page) if form == ".pdf" else page.encode()


def _pdf(page: str) -> bytes:
    chromium = find_chromium()
    if chromium is not None and (data := printed(page, chromium)) is not None:
        return data
    from nbconvert.exporters import WebPDFExporter

    try:
        return bytes(WebPDFExporter().run_playwright(page))
    except Exception:  # playwright, its browser, or a library of the system is missing: each with errors of its own
        raise ReportError(NO_PDF) from None
