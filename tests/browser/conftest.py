"""A real JupyterLab in headless Chromium, for every browser test.

    def test_something(lab, page, browse):
        browse.open_notebook(page, lab, "04")        # the learner's form of lesson 04, or any notebook in lab.work
        browse.run_all(page)
        browse.cell(page, "ex-blocks-needed")        # a locator, by the id that the master gives the cell
        browse.assert_clean(page)

`lab` is one server for the whole test session; it serves a folder of its own. `page` is a new page of the file's one
browser; every kernel ends with the test that started it.
`browse` holds the helper functions of this module. `lab.write_notebook(name, cells)` makes a notebook for one test.

Screenshots go to the git-ignored `test-results/`. Where there is no Chromium the tests skip, and fail instead under
LABKIT_REQUIRE_BROWSER=1; CHROME names another browser binary.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "test-results"
CHROME_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOCAL = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:", "about:")
PANEL = ".jp-NotebookPanel:not(.lm-mod-hidden)"
# JupyterLab asks for a language server it does not have and for icons, and its debugger complains of a kernel that is
# restarted under it; that says nothing of a notebook or a widget.
LATE = "[anywidget] Failed to initialize model."
"""What anywidget says of a page that was busy for two seconds; `static/loader.js` sees to it that nothing is lost."""
HARMLESS = ("/lsp/status", "favicon", "ResizeObserver loop", "Could not restore the debugger state")


@dataclass
class Lab:
    """A running JupyterLab: its address, its token, the folder it serves and the LABKIT_HOME of its kernels."""

    url: str
    token: str
    work: Path
    home: Path
    log: Path
    process: subprocess.Popen[bytes] = field(repr=False)

    def write_notebook(self, name: str, cells: Sequence[str | tuple[str, str]]) -> str:
        """Write a notebook of the given cells (code, or ("markdown", text)) into the served folder; its name."""
        from nbformat import write
        from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

        nodes = []
        for index, cell in enumerate(cells):
            kind, source = ("code", cell) if isinstance(cell, str) else cell
            make = new_code_cell if kind == "code" else new_markdown_cell
            nodes.append(make(source, id=f"cell-{index}"))
        kernel = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
        write(new_notebook(cells=nodes, metadata={"kernelspec": kernel}), self.work / name)
        return name

    def start_over(self) -> None:
        """The learner has done nothing, whatever other tests have passed: pictures run on what has."""
        shutil.rmtree(self.home)
        _prepare(self.home)

    def fresh_copy(self, key: str, name: str | None = None, solved: bool = False) -> str:
        """Write a lesson's notebook into the served folder as its master gives it now, without outputs; its name."""
        from labkit.authoring import build, layout, master

        name = name or f"{key}.ipynb"
        (path,) = layout.masters([key])
        (self.work / name).write_text(build.dumps(build.notebook(master.read(path), solved)), encoding="utf-8")
        return name


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory, chromium: str) -> Iterator[Lab]:
    """One JupyterLab for the session, started as `labkit lab` does, with nothing of the person who runs it."""
    from labkit.lab import server_command, server_environment

    root = tmp_path_factory.mktemp("lab")
    work, home = root / "work", root / "home"
    work.mkdir()
    _prepare(home)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    env = {
        **server_environment(token),
        "JUPYTER_CONFIG_DIR": str(root / "config"),
        "JUPYTER_DATA_DIR": str(root / "data"),
        "JUPYTER_RUNTIME_DIR": str(root / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(root / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(root / "workspaces"),
        "JUPYTER_NO_CONFIG": "1",
        "IPYTHONDIR": str(root / "ipython"),
        "LABKIT_HOME": str(home),
        "LABKIT_NO_BROWSER": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [*server_command(work, port), "--LabApp.expose_app_in_browser=True"]
    log = root / "lab.log"
    with open(log, "wb") as sink:
        process = subprocess.Popen(command, env=env, stdout=sink, stderr=subprocess.STDOUT, cwd=work)
    running = Lab(f"http://127.0.0.1:{port}", token, work, home, log, process)
    try:
        _wait_for_server(running)
        yield running
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _prepare(home: Path) -> None:
    """A learner who has done nothing, with the seed of the stored notebooks: seeded questions ask the same numbers."""
    from labkit.authoring.environment import prepare_home

    prepare_home(home)


def _wait_for_server(lab: Lab, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{lab.url}/api/status?token={lab.token}", timeout=2).close()
            return
        except OSError:
            if lab.process.poll() is not None:
                raise RuntimeError(f"JupyterLab stopped while starting:\n{lab.log.read_text()[-4000:]}") from None
            time.sleep(0.25)
    raise RuntimeError(f"JupyterLab did not answer within {seconds:.0f} s:\n{lab.log.read_text()[-4000:]}")


@pytest.fixture(scope="session")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A browser profile for the session: JupyterLab's code, compiled once, is found there again."""
    return tmp_path_factory.mktemp("profile")


@pytest.fixture(scope="module")
def context(profile: Path, chromium: str) -> Iterator[Any]:
    """One browser for the tests of a file. No longer: beside its event loop nothing else can run one."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=60_000)  # what is expected comes at once on an idle machine, and late on a busy one
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile),
            executable_path=chromium,
            headless=True,
            args=CHROME_ARGS,
            viewport={"width": 1280, "height": 1000},
            reduced_motion="reduce",
        )
        yield context
        context.close()


@pytest.fixture
def page(context: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A page that records external requests, page errors and console errors.

    They are kept as `page.external`, `page.page_errors` and `page.console_errors`; `assert_clean(page)` looks at all
    three. Where the test fails, what the page showed is kept as a screenshot. Afterwards the page is closed, and the
    kernels that it used are ended.
    """
    opened = context.new_page()
    opened.set_default_timeout(60_000)
    opened.external, opened.page_errors, opened.console_errors = [], [], []
    opened.on("request", lambda r: None if r.url.startswith(LOCAL) else opened.external.append(r.url))
    opened.on("websocket", lambda w: None if w.url.startswith(LOCAL) else opened.external.append(w.url))
    opened.on("pageerror", lambda e: opened.page_errors.append(str(e)))
    opened.on("console", lambda m: opened.console_errors.append(_said(m)) if m.type == "error" else None)
    try:
        yield opened
        report = getattr(request.node, "call_report", None)
        if report is not None and report.failed:
            shoot(opened, f"failed-{request.node.name}")
    finally:
        opened.close()
        context.set_offline(False)
        context.clear_cookies()
        if "lab" in request.fixturenames:
            _end_sessions(request.getfixturevalue("lab"))


def _end_sessions(lab: Lab) -> None:
    """End every kernel: idle ones wake up now and then, and each keeps a worker ready."""
    headers = {"Authorization": f"token {lab.token}"}
    with urllib.request.urlopen(urllib.request.Request(f"{lab.url}/api/sessions", headers=headers)) as answer:
        sessions = json.load(answer)
    for session in sessions:
        address = f"{lab.url}/api/sessions/{session['id']}"
        with suppress(urllib.error.HTTPError):  # it ended meanwhile
            urllib.request.urlopen(urllib.request.Request(address, headers=headers, method="DELETE")).close()


def _said(message: Any) -> str:
    return f"{message.text} [{message.location.get('url', '')}]"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.when == "call":
        item.call_report = report  # type: ignore[attr-defined]
    return report


def open_notebook(page: Any, lab: Lab, name: str, seconds: float = 120) -> Any:
    """Open a notebook of the served folder and wait until its kernel is idle; returns the panel's locator.

    Where the name is a lesson's (`04_block_pool.ipynb` or `04`) and the file is not there yet, the learner's form is
    written first.
    """
    from playwright.sync_api import expect

    if not (lab.work / name).exists():
        name = lab.fresh_copy(Path(name).stem)
    page.goto(f"{lab.url}/lab/tree/{name}?reset&token={lab.token}")
    panel = page.locator(PANEL)
    expect(panel).to_be_visible(timeout=seconds * 1000)
    expect(panel.locator(".jp-Cell")).not_to_have_count(0, timeout=seconds * 1000)
    # Run All before the session is ready opens a "Select Kernel" dialog; before the cells are there it does nothing.
    page.wait_for_function(
        """async () => {
             const w = window.jupyterapp?.shell?.currentWidget, c = w?.context, s = w?.sessionContext;
             if (!c || !s) return false;
             await c.ready; await s.ready;
             return s.session?.kernel?.status === 'idle';
           }""",
        timeout=seconds * 1000,
    )
    return panel


def command(page: Any, name: str, args: dict[str, Any] | None = None) -> None:
    """Start a JupyterLab command; does not wait for it (a returned promise would have no timeout)."""
    page.evaluate(f"() => {{ window.jupyterapp.commands.execute({json.dumps(name)}, {json.dumps(args or {})}); }}")


def run_all(page: Any, seconds: float = 600) -> None:
    """Run every cell of the open notebook and wait until the last has finished."""
    count = page.evaluate(
        """() => {
             const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
             let n = 0;
             for (let i = 0; i < cells.length; i++) {
               const cell = cells.get(i);
               if (cell.type === 'code') { cell.executionCount = null; if (cell.sharedModel.source.trim()) n++; }
             }
             return n;
           }"""
    )
    command(page, "notebook:run-all-cells")
    page.wait_for_function(
        """(wanted) => {
             const w = window.jupyterapp.shell.currentWidget, cells = w.content.model.cells;
             let done = 0;
             for (let i = 0; i < cells.length; i++) {
               const cell = cells.get(i);
               if (cell.type === 'code' && cell.sharedModel.source.trim() && cell.executionCount) done++;
             }
             return done >= wanted && w.sessionContext.session?.kernel?.status === 'idle';
           }""",
        arg=count,
        timeout=seconds * 1000,
    )


def wait_idle(page: Any, seconds: float = 300) -> None:
    """Wait until the open notebook's kernel has nothing more to do."""
    page.wait_for_timeout(150)  # a request that was just sent has not turned the kernel busy yet
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'",
        timeout=seconds * 1000,
    )


def cell(page: Any, cell_id: str) -> Any:
    """Locator of the cell with this id (the id of the master), scrolled into view.

    JupyterLab renders cells far from the viewport only when they come near it, so the notebook is first made to show
    the cell.
    """
    index = page.evaluate(
        """(id) => {
             const panel = window.jupyterapp.shell.currentWidget, cells = panel.content.model.cells;
             for (let i = 0; i < cells.length; i++) if (cells.get(i).id === id) {
               panel.content.activeCellIndex = i;
               panel.content.scrollToItem(i, 'smart');
               return i;
             }
             return -1;
           }""",
        cell_id,
    )
    assert index >= 0, f"the open notebook has no cell {cell_id!r}"
    located = page.locator(f'{PANEL} .jp-Cell[data-windowed-list-index="{index}"]')
    located.wait_for(state="attached")
    located.scroll_into_view_if_needed()
    return located


def report(page: Any, cell_id: str) -> Any:
    """Locator of the check report under an exercise."""
    return cell(page, cell_id).locator(".lk-check-report, [aria-label='Check report']").first


def set_source(page: Any, cell_id: str, source: str) -> None:
    """Replace the text of a cell, as if it had been typed."""
    page.evaluate(
        """([id, source]) => {
             const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
             for (let i = 0; i < cells.length; i++) if (cells.get(i).id === id) {
               cells.get(i).sharedModel.setSource(source);
               return;
             }
             throw new Error('no cell ' + id);
           }""",
        [cell_id, source],
    )


def run_cell(page: Any, cell_id: str, seconds: float = 300) -> Any:
    """Run one cell and wait for it; returns its locator."""
    located = cell(page, cell_id)
    page.evaluate(
        """(id) => {
             const cells = window.jupyterapp.shell.currentWidget.content.model.cells;
             for (let i = 0; i < cells.length; i++) if (cells.get(i).id === id) cells.get(i).executionCount = null;
           }""",
        cell_id,
    )
    command(page, "notebook:run-cell")
    page.wait_for_function(
        """(id) => {
             const w = window.jupyterapp.shell.currentWidget, cells = w.content.model.cells;
             for (let i = 0; i < cells.length; i++) if (cells.get(i).id === id)
               return !!cells.get(i).executionCount && w.sessionContext.session?.kernel?.status === 'idle';
             return false;
           }""",
        arg=cell_id,
        timeout=seconds * 1000,
    )
    return located


def save(page: Any) -> None:
    """Save the open notebook and wait until it is no longer marked as changed."""
    command(page, "docmanager:save")
    page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.context.model.dirty")


def set_theme(page: Any, dark: bool) -> None:
    """Turn JupyterLab dark or light and wait until the page says so."""
    command(page, "apputils:change-theme", {"theme": "JupyterLab Dark" if dark else "JupyterLab Light"})
    # The style sheet follows the attribute: its lightest colour is white in the one theme, and dark in the other.
    page.wait_for_function(
        """(dark) => {
             const lightest = getComputedStyle(document.body).getPropertyValue('--jp-layout-color0').trim();
             const told = document.body.dataset.jpThemeLight === 'false';
             return told === dark && lightest !== '' && (lightest !== 'white') === dark;
           }""",
        arg=dark,
    )
    # Widgets that draw hear of it then, and draw in the next frame.
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def shoot(page: Any, name: str, locator: Any = None) -> Path:
    """Keep a screenshot of the page, or of one locator, as test-results/NAME.png."""
    RESULTS.mkdir(exist_ok=True)
    safe = "".join(c if c.isalnum() or c in "-_." else "-" for c in name)
    path = RESULTS / f"{safe}.png"
    (locator or page).screenshot(path=str(path))
    return path


def open_mounted(page: Any, folder: Path, widget: Any, dark: bool = False) -> None:
    """Open a page that shows a widget from its saved state, without a kernel."""
    import ipywidgets
    from nbformat.v4 import new_code_cell, new_notebook, new_output

    from labkit.widgets import mount

    data, _ = widget._repr_mimebundle_()
    node = new_notebook(cells=[new_code_cell("shown", outputs=[new_output("display_data", data=data)])])
    models = (widget, widget._library, widget.layout)
    state = ipywidgets.Widget.get_manager_state(drop_defaults=False, widgets=models)
    node.metadata["widgets"] = {mount.STATE_MIME: state}
    place, script = mount.place(widget.model_id, ""), mount.script(mount.saved_models(node), [widget.model_id])
    body = f'<body data-jp-theme-light="{"false" if dark else "true"}">{place}{script}</body>'
    file = folder / "mounted.html"
    file.write_text(f'<!doctype html><html><meta charset="utf-8">{body}</html>', encoding="utf-8")
    page.goto(file.as_uri())


def assert_no_external_request(page: Any) -> None:
    """No request and no socket left this machine."""
    assert not page.external, f"the page asked for {sorted(set(page.external))}"


def assert_no_console_error(page: Any) -> None:
    """Neither an uncaught error in the page nor an error line in its console."""
    lines = [line for line in page.console_errors if not any(harmless in line for harmless in HARMLESS)]
    errors = [error for error in page.page_errors if LATE not in error]
    assert not errors, f"uncaught in the page: {errors}"
    assert not lines, f"in the console: {lines}"


def assert_clean(page: Any) -> None:
    """Both: nothing asked for outside, nothing wrong inside."""
    assert_no_external_request(page)
    assert_no_console_error(page)


@pytest.fixture(scope="session")
def browse() -> SimpleNamespace:
    """The helper functions of this module, for tests: `browse.run_all(page)`."""
    return SimpleNamespace(
        open_notebook=open_notebook,
        open_mounted=open_mounted,
        run_all=run_all,
        wait_idle=wait_idle,
        cell=cell,
        report=report,
        run_cell=run_cell,
        set_source=set_source,
        save=save,
        command=command,
        set_theme=set_theme,
        shoot=shoot,
        assert_no_external_request=assert_no_external_request,
        assert_no_console_error=assert_no_console_error,
        assert_clean=assert_clean,
        PANEL=PANEL,
    )
