"""`labkit export`: a learner's notebook as one page, opened from its file with no network and no kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from typer.testing import CliRunner

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from labkit.authoring import build
from labkit.cli import app

GONE = "This page has no kernel. Open the notebook in JupyterLab and run this cell there to go on."
CELLS = [
    (
        "m",
        "# Mine\n\nA weight is $w_i = \\frac{e^{s_i}}{2}$, and a price stays a price: \\$5.\n\n$$\\sqrt{d}$$\n\n`$x$`",
    ),
    ("c", "from labkit.lesson import start\n\nstart('04')"),
    ("c", "%%exercise blocks_needed\ndef blocks_needed(tokens, block_size):\n    return tokens // block_size"),
    (
        "c",
        """
from labkit.observe.events import EventLog, Kind
from labkit.widgets import BlockSizePlay, PageTable, QuizWidget, TokenCost

log = EventLog(num_blocks=4, block_size=4)
for block in range(4):
    log.begin(f"append {block} </script><b>")
    log.emit(Kind.ALLOCATE, "A", block, block)
PageTable(log, step=0)""",
    ),
    ("c", "QuizWidget('04')"),
    ("c", "TokenCost()"),
    ("c", "print('plain <text>')"),
]


def run(*arguments: Any) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def notebook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A notebook that was executed and saved with its widgets' state, as JupyterLab and `jupyter execute` save it."""
    folder = tmp_path_factory.mktemp("mine")
    make = {"m": new_markdown_cell, "c": new_code_cell}
    node = new_notebook(cells=[make[kind](source) for kind, source in CELLS])
    build.run(node, folder, folder / "home")
    path = folder / "mine.ipynb"
    nbformat.write(node, path)
    return path


@pytest.fixture
def opened(page: Any) -> Any:
    """`opened(file)`: the page of a file, once its widgets are shown; every address that it asked for is kept."""
    page.asked = []
    page.on("request", lambda request: page.asked.append(request.url))
    page.context.set_offline(True)

    def open(file: Path) -> Any:
        page.goto(file.as_uri())
        page.wait_for_function("document.documentElement.dataset.labkitMounted !== undefined")
        return page

    return open


def test_the_page_shows_every_widget_and_asks_for_nothing(notebook, opened):
    said = run("export", notebook)
    file = notebook.with_suffix(".html")
    assert str(file) in said and "widgets: 5" in said
    page = opened(file)
    assert page.evaluate("document.documentElement.dataset.labkitMounted") == "5/5"
    for kind in ("opening", "check-report", "page-table", "quiz", "token-cost"):
        expect(page.locator(f".lk-{kind}")).to_be_visible()
    assert [url for url in page.asked if not url.startswith(("blob:", "data:"))] == [file.as_uri()]
    text = file.read_text(encoding="utf-8")
    assert "cdnjs" not in text and "unpkg" not in text and "jsdelivr" not in text
    assert page.locator("math").count() == 2 and page.locator("math mfrac").count() == 1
    expect(page.locator("code", has_text="$x$")).to_have_text("$x$")
    expect(page.locator("p", has_text="a price stays")).to_contain_text("a price: $5.")
    assert not page.page_errors and not page.console_errors


def test_a_replay_plays(notebook, opened):
    run("export", notebook, "--to", "html", "--output", notebook.parent / "other.html")
    page = opened(notebook.parent / "other.html")
    card = page.locator(".lk-page-table")
    slider = card.get_by_role("slider", name="Step")
    expect(slider).to_have_value("0")
    card.get_by_role("button", name="Play").click()
    expect(slider).to_have_value("4")
    expect(card.locator(".lk-board-sentence")).to_contain_text("append 3 </script><b>")


def test_what_needs_a_kernel_says_so(notebook, opened):
    run("export", notebook)
    page = opened(notebook.with_suffix(".html"))
    quiz = page.locator(".lk-quiz")
    quiz.locator("input, textarea").first.fill("7")
    quiz.get_by_role("button", name="Check answer").click()
    expect(quiz.locator(".lkq-refused")).to_contain_text(GONE)
    report = page.locator(".lk-check-report")
    report.get_by_role("button", name="Hint 1").click()
    expect(report).to_contain_text(GONE)
    cost = page.locator(".lk-token-cost")
    before = cost.locator("p").first.inner_text()
    cost.locator("select").first.select_option(index=1)
    expect(cost).to_contain_text(GONE)
    assert cost.locator("p").first.inner_text() == before


def test_outputs_whose_widget_was_not_saved_keep_their_text_and_are_counted(notebook, opened):
    node = nbformat.read(notebook, as_version=4)
    del node.metadata["widgets"]
    bare = notebook.parent / "bare.ipynb"
    nbformat.write(node, bare)
    said = run("export", bare)
    assert "widgets: 0" in said and "stand as text or picture: 5" in said
    text = bare.with_suffix(".html").read_text(encoding="utf-8")
    assert "PageTable(4 blocks: 0 held, 0 cached, 4 free; step 0 of 4)" in text
    assert "cdnjs" not in text and "data-widget" not in text


def test_what_is_no_notebook_is_a_sentence_and_the_earlier_page_stays(tmp_path):
    (tmp_path / "bad.ipynb").write_text("{")
    (tmp_path / "bad.html").write_text("earlier")
    for name, words in (("none.ipynb", "There is no"), ("bad.ipynb", "cannot be read as a notebook (NotJSONError)")):
        result = CliRunner().invoke(app, ["export", str(tmp_path / name)])
        assert words in str(result.exception), result.output
    assert (tmp_path / "bad.html").read_text() == "earlier"
