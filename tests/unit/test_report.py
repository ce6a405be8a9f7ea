"""`labkit report`: every figure from the simulation, text from outside as text, written whole or not at all."""

from __future__ import annotations

import re
import shlex
from html.parser import HTMLParser
from inspect import signature
from pathlib import Path

import nbformat
import numpy as np
import pytest
from typer.testing import CliRunner

from labkit import cli
from labkit.errors import LabkitError, ReportError, TraceFileError
from labkit.grading.own_work import FIELDS, keep
from labkit.reports import report
from labkit.reports.command import OPTIONS, command_line
from labkit.reports.report import findings, notebook, rendered, write_report
from labkit.reports.sections import Findings, plain
from labkit.scheduling.config import SchedulerConfig
from labkit.simulate.configuration import Configuration
from labkit.simulate.metrics import Target


class Page(HTMLParser):
    """What a page would fetch, and what it says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.pictures: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.tags.add(tag)
        if tag == "img":
            self.pictures.append(named.get("alt") or "")
        for name in ("src", "href"):
            if (target := named.get(name)) and not target.startswith(("data:", "#")):
                self.fetched.append(target)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "ours<b>*.csv"
    rng = np.random.default_rng(3)
    at = np.cumsum(rng.exponential(0.4, 60))
    rows = [f"{1000 * t:.0f},{int(rng.integers(50, 900))},{int(rng.integers(10, 300))}" for t in at]
    path.write_text("\n".join(["begun,asked,answered", *rows]), encoding="utf-8")
    return path


def settings(file: Path, **more: object) -> Configuration:
    columns = {"arrival": "begun", "input": "asked", "output": "answered"}
    return Configuration(str(file), columns=columns, unit="ms", card="L4", blocks=300, target=Target(8, 0.2), **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def found(file: Path) -> Findings:
    return findings(
        settings(file), share=0.9, most_cards=8, own_work={"Your project": "a <script>alert(1)</script> & **bot**"}
    )


def test_the_page_needs_nothing_and_says_what_was_simulated(found: Findings, file: Path) -> None:
    page = Page(rendered(notebook(found), ".html", "t").decode())
    assert page.fetched == [] and "b" not in page.tags
    text = " ".join(" ".join(page.words).split())
    for served in (*found.cards, *found.blocks):
        assert f"{served.share:.1%}" in text
    assert found.settled is not None and f"{found.settled.cards} card" in text
    assert f"{found.blocks[-1].totals['preemptions']:,}" in text
    for note in found.trace.notes:
        assert note in text, "every note of the reader is shown"
    assert "arrival from begun, input from asked, output from answered" in text
    assert "Unit of time as it was named: ms" in text and "Shared prefixes: not known" in text
    assert len(page.pictures) >= 4 and all(len(alt) > 30 for alt in page.pictures)
    # What a file or a person says is text, and never markup.
    assert "ours<b>*.csv" in text and "<script>alert(1)</script> & **bot**" in text


def test_a_notebook_is_valid_and_has_no_code(found: Findings) -> None:
    node = nbformat.reads(rendered(notebook(found), ".ipynb", "t").decode(), 4)
    nbformat.validate(node)
    assert {cell.cell_type for cell in node.cells} == {"markdown"}
    named = set(re.findall(r"attachment:([\w.]+)", "".join(cell.source for cell in node.cells)))
    assert named == {name for cell in node.cells for name in cell.get("attachments", {})}


@pytest.mark.parametrize(
    ("rows", "says"),
    [("1,20,3\n2,,4\n", "line 3"), ("5,20,3\n-4,20,4\n", "line 3"), ("x\n", "line 2"), ("", "empty|no request")],
)
def test_a_trace_that_is_refused_leaves_the_report_as_it_was(tmp_path: Path, rows: str, says: str) -> None:
    trace, out = tmp_path / "trace.csv", tmp_path / "report.html"
    trace.write_text(f"begun,asked,answered\n{rows}" if rows else "", encoding="utf-8")
    out.write_text("yesterday's", encoding="utf-8")
    with pytest.raises(TraceFileError, match=says):
        write_report(settings(trace), out)
    assert out.read_text(encoding="utf-8") == "yesterday's"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "trace.csv"]


def test_what_cannot_be_written_is_said_before_anything_is_simulated(tmp_path: Path, file: Path) -> None:
    with pytest.raises(ReportError, match=r"end its name in \.html, \.ipynb, \.pdf"):
        write_report(settings(file), tmp_path / "report.docx")
    with pytest.raises(ReportError, match=r"make .*nowhere first"):
        write_report(settings(file), tmp_path / "nowhere" / "report.html")


def test_without_a_browser_a_pdf_is_refused_in_one_sentence(
    found: Findings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, file: Path
) -> None:
    from nbconvert.exporters import WebPDFExporter

    def none(self: object, html: str) -> bytes:
        raise RuntimeError("No suitable chromium executable found on the system.")

    monkeypatch.setattr(WebPDFExporter, "run_playwright", none)
    for path in ("", "/bin/false"):  # no Chromium, and one that does not start
        monkeypatch.setattr(report, "find_chromium", lambda path=path: path or None)
        with pytest.raises(ReportError, match=r"write \.html and print it"):
            rendered(notebook(found), ".pdf", "t")
    monkeypatch.setattr(report, "find_chromium", lambda: None)
    monkeypatch.setattr(report, "find_spec", lambda name: None)
    monkeypatch.setattr(report, "findings", lambda *asked: pytest.fail("simulated before it was refused"))
    with pytest.raises(ReportError, match=r"name one in CHROME"):
        write_report(settings(file), tmp_path / "report.pdf")


def test_a_pdf_is_printed_by_the_chromium_of_the_machine(found: Findings, chromium: str) -> None:
    """The page of nbconvert, and no download of a browser: what lesson 20 says of a name that ends in .pdf."""
    data = rendered(notebook(found), ".pdf", "t")
    assert data.startswith(b"%PDF") and len(re.findall(rb"/Type /Page\b", data)) > 1


def test_plain_text_stays_plain() -> None:
    assert plain("a|b *c* <d> [e](f) `g` $h$") == r"a\|b \*c\* &lt;d&gt; \[e\]\(f\) \`g\` \$h\$"


def test_the_command_writes_with_what_the_learner_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path / "home"))
    keep({"project": "our help desk", "claim": "it fits on one card"})
    out = tmp_path / "r.html"
    columns = [w for c in ("arrival=begun", "input=asked", "output=answered") for w in ("--column", c)]
    more = ["--unit", "ms", "--requests", "20", "--most-cards", "2", "--card", "L4", "--own-work", "--out", str(out)]
    done = CliRunner().invoke(cli.app, ["report", str(file), *columns, *more])
    assert done.exit_code == 0 and "20 requests" in done.output
    text = " ".join(Page(out.read_text(encoding="utf-8")).words)
    assert "our help desk" in text and FIELDS["claim"] in text and FIELDS["checked"] not in text
    assert "The first 20 requests at most were taken." in text
    failed = CliRunner().invoke(cli.app, ["report", str(tmp_path / "none.csv"), "--out", str(tmp_path / "n.html")])
    assert isinstance(failed.exception, LabkitError) and not (tmp_path / "n.html").exists()


def test_the_line_for_the_terminal_gives_the_same_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cell of lesson 20, and what it prints to be run in a terminal."""
    from labkit.simulate.column_names import column_map
    from labkit.simulate.traces import column_names
    from labkit.specs.capacity_and_slos.scenes import PROMISE, foreign_log

    monkeypatch.chdir(tmp_path)
    columns, unit = column_map(column_names(foreign_log(Path("gateway.csv"))), None)
    mine = Configuration("gateway.csv", columns=columns, unit=unit, blocks=1500, target=PROMISE)
    found = write_report(mine, Path("here.html"), share=0.99)
    line = command_line(mine, Path("there.html"), 0.99)
    done = CliRunner().invoke(cli.app, shlex.split(line)[1:])
    assert done.exit_code == 0 and found.answer in done.output and "2 cards with" in found.answer
    assert Path("here.html").read_bytes() == Path("there.html").read_bytes()
    page = " ".join(Page(Path("here.html").read_text(encoding="utf-8")).words)
    assert found.answer in page and "1,500 blocks that a card was given" in page
    assert "200 requests in 34 s, of which 2 may miss the target" in page


def test_a_line_for_the_terminal_has_every_setting_that_differs_or_is_refused(file: Path) -> None:
    usual = settings(file)
    line = command_line(usual, Path("r.html"), 0.9)
    assert "--card L4" in line and "--seats" not in line and "--ttft 8" in line and "--token-budget 2048" in line
    few = settings(file, scheduler=SchedulerConfig(seats=3, token_budget=512), speed=2.0)
    assert all(o in command_line(few, Path("r.html"), 0.9) for o in ("--seats 3", "--token-budget 512", "--speed 2.0"))
    for more in ({"eviction": "LRU"}, {"scheduler": SchedulerConfig(longest_chunk=64)}):
        with pytest.raises(ReportError, match="no option for"):
            command_line(settings(file, **more), Path("r.html"), 0.9)
    left_out, without = signature(cli.report).parameters, vars(Configuration("a")) | vars(SchedulerConfig())
    assert all(left_out[name].default == without[name] for name in OPTIONS), "what is not said is the same in both"
