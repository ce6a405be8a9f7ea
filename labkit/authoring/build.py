"""From a master to the two notebooks of a lesson, the same bytes at every build.

The learner's notebook has no outputs. The solved one is executed in a fresh home, so that neither the author's own
progress nor an earlier build can show in it. Each widget is photographed from the state that the kernel left, then the
state is taken out, because a page that holds it reaches for a script on the network: the photograph stays.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.authoring.environment import kernel_environment, prepare_home
from labkit.authoring.layout import is_lesson
from labkit.authoring.master import BUILD_TAGS, FOLD, Master
from labkit.authoring.photographs import photograph
from labkit.errors import AuthorError
from labkit.grading.verdict import COURSE_FAILED
from labkit.widgets import mount
from labkit.widgets.base import VIEW_MIME
from labkit.writing import write_atomically

WIDGET_MARK = "labkit-widget"
IGNORE_OUTPUT = "nbval-ignore-output"
CELL_SECONDS = 300
METADATA: dict[str, Any] = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}


@dataclass(frozen=True)
class Built:
    """What one build wrote: the file, and whether its bytes changed."""

    path: Path
    changed: bool


def notebook(master: Master, solved: bool) -> Any:
    """The learner's or the solved notebook of a master, not executed, as an nbformat node."""
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

    make = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}
    cells = []
    for cell, source in master.forms(solved):
        metadata = dict(cell.metadata)
        tags = [tag for tag in cell.tags if tag not in BUILD_TAGS]
        if tags:
            metadata["tags"] = tags
        if FOLD in cell.tags:
            # JupyterLab hides the cells below a collapsed heading, not the text that shares the heading's own cell.
            title, _, rest = source.partition("\n")
            cells.append(
                make[cell.kind](source=title, id=cell.id, metadata={**metadata, "jp-MarkdownHeadingCollapsed": True})
            )
            if rest.strip():
                cells.append(make[cell.kind](source=rest.strip("\n"), id=f"{cell.id}-folded", metadata=metadata))
            continue
        cells.append(make[cell.kind](source=source, id=cell.id, metadata=metadata))
    return new_notebook(cells=cells, metadata=_copy(METADATA))


def dumps(node: Any) -> str:
    """The text of a notebook as it is written: sorted keys, one space, a newline at the end."""
    import nbformat

    return nbformat.writes(node, version=4).rstrip("\n") + "\n"


def execute(master: Master, home: Path | None = None, timeout: int = CELL_SECONDS) -> Any:
    """The solved notebook, executed in a fresh home (or in `home`), its widgets photographed, and normalised.

    Raises AuthorError naming the cell where execution stops, or where there is no browser for a photograph.
    """
    node = notebook(master, solved=True)
    with tempfile.TemporaryDirectory(prefix="labkit-build-", ignore_cleanup_errors=True) as scratch:
        home = home or Path(scratch) / "home"
        run(node, Path(scratch), home, timeout, name=master.path.name)
        hide_paths(node, {str(home): "LABKIT_HOME", scratch: ".", str(Path(__file__).resolve().parents[2]): "."})
    photograph(node)
    return normalise(node)


def hide_paths(node: Any, names: dict[str, str]) -> None:
    """Write the folders of this machine by other names in all that cells showed; longer ones first, as given."""

    def hidden(value: Any) -> Any:
        if isinstance(value, str):
            for path, name in names.items():
                value = value.replace(path, name)
        elif isinstance(value, dict):
            value.update({key: hidden(item) for key, item in value.items()})
        elif isinstance(value, list):
            value[:] = map(hidden, value)
        return value

    for cell in node.cells:
        for output in cell.get("outputs", []):
            if "text" in output:
                output.text = hidden(output.text)
            for kind, value in output.get("data", {}).items():
                if kind.startswith("text/"):
                    output.data[kind] = hidden(value)
    for model in mount.saved_models(node).values():
        # What a widget shows, and none of the page's code.
        model["state"].update({key: hidden(item) for key, item in model["state"].items() if key not in mount.CODE})


def run(node: Any, scratch: Path, home: Path, timeout: int = CELL_SECONDS, name: str = "notebook") -> None:
    """Execute a notebook node in place, with `scratch` as its working folder and `home` as its LABKIT_HOME."""
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    work = scratch / "work"
    work.mkdir(parents=True, exist_ok=True)
    prepare_home(home)
    current: list[str] = ["(start of the kernel)"]
    client = NotebookClient(
        node,
        timeout=timeout,
        kernel_name="python3",
        record_timing=False,
        extra_arguments=["--log-level=ERROR"],
        store_widget_state=True,
        coalesce_streams=True,
        resources={"metadata": {"path": str(work)}},
        on_cell_start=lambda cell, cell_index: current.__setitem__(0, cell["id"]),
    )
    stopped: CellExecutionError | None = None
    try:
        client.execute(env=kernel_environment(home, scratch))
    except CellTimeoutError as error:
        raise AuthorError(
            f"{name}, cell {current[0]}: still running after {timeout} s; make the cell lighter."
        ) from error
    except DeadKernelError as error:
        raise AuthorError(f"{name}, cell {current[0]}: the kernel died here; run the cell alone to see why.") from error
    except CellExecutionError as error:
        stopped = error
    # The cells' own outputs are asked: a widget that fails while it is shown does not stop the cell, and where a result
    # cannot be shown the exception above has no name.
    for cell in node.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                trace = strip_ansi("\n".join(output.traceback)).strip()
                raise AuthorError(
                    f"{name}, cell {cell.id}: raised {output.ename}: {output.evalue}; mend the master.\n{trace}"
                )
            if COURSE_FAILED in str(output.get("text") or output.get("data", {}).get("text/plain", "")):
                raise AuthorError(f"{name}, cell {cell.id}: {COURSE_FAILED}; mend what it checks with.")
    if stopped is not None:
        raise AuthorError(f"{name}, cell {current[0]}: stopped; mend the master.\n{stopped}") from stopped


def normalise(node: Any) -> Any:
    """Take out of an executed notebook what differs between two runs or reaches for the network; returns it."""
    node.metadata = _copy(METADATA)
    count = 0
    for cell in node.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type != "code":
            continue
        if cell.source.strip():
            count += 1
        cell.execution_count = count if cell.source.strip() else None
        outputs: list[Any] = []
        for output in cell.outputs:
            data = output.get("data")
            if data is not None and data.pop(VIEW_MIME, None) is not None:
                # nbval compares no pictures, so `author check` must be able to tell where one belongs.
                output.metadata[WIDGET_MARK] = True
            if output.output_type == "execute_result":
                output.execution_count = cell.execution_count
            last = outputs[-1] if outputs else None
            if last is not None and output.output_type == "stream" == last.output_type and output.name == last.name:
                last.text += output.text
                continue
            outputs.append(output)
        cell.outputs = outputs
    return node


def differing_cells(first: Any, second: Any) -> list[str]:
    """Ids of the cells whose outputs differ between two executions and that are not marked as allowed to."""
    return [
        a.id
        for a, b in zip(first.cells, second.cells, strict=True)
        if a.cell_type == "code" and a.outputs != b.outputs and IGNORE_OUTPUT not in a.metadata.get("tags", [])
    ]


def keep_ignored_outputs(node: Any, previous: Any | None) -> Any:
    """Carry over the stored output of cells that are allowed to differ, where their text has not changed.

    A cell that prints a measured time would otherwise change the file at every build; what it shows is one recorded
    run, and it stays that run until the cell is edited or the file is deleted.
    """
    if previous is None:
        return node
    old = {cell.id: cell for cell in previous.cells if cell.cell_type == "code"}
    for cell in node.cells:
        if cell.cell_type != "code" or IGNORE_OUTPUT not in cell.metadata.get("tags", []):
            continue
        before = old.get(cell.id)
        if before is not None and before.source == cell.source and before.outputs and _whole(before.outputs):
            cell.outputs = before.outputs
    return node


def _whole(outputs: list[Any]) -> bool:
    """Whether each photograph of a widget has its text."""
    return all("image/png" in output.metadata for output in outputs if output.get("metadata", {}).get(WIDGET_MARK))


def build(
    master: Master,
    notebooks: Path,
    *,
    learner_only: bool = False,
    verify: bool = False,
    refresh: bool = False,
) -> list[Built]:
    """Write a lesson's notebooks below `notebooks`: KEY.ipynb and, unless `learner_only`, solved/KEY.ipynb.

    A master without a lesson number, such as the gallery, is no lesson: only its executed form is written.
    `verify` executes twice and refuses if an output that is not marked `nbval-ignore-output` differs; `refresh` also
    records the marked outputs anew. Nothing is written where something fails.
    """
    texts = {}
    if is_lesson(master.key):
        texts[notebooks / f"{master.key}.ipynb"] = dumps(notebook(master, solved=False))
    if not learner_only:
        target = notebooks / "solved" / f"{master.key}.ipynb"
        node = execute(master)
        if verify:
            differing = differing_cells(node, execute(master))
            if differing:
                raise AuthorError(
                    f"{master.path.name}: two executions show different outputs in {', '.join(differing)}; make them "
                    f"deterministic, or tag the cells {IGNORE_OUTPUT} where a measured time or size is the point."
                )
        texts[target] = dumps(node if refresh else keep_ignored_outputs(node, load(target)))
    return [Built(path, write_atomically(path, text)) for path, text in texts.items()]


def load(path: Path) -> Any | None:
    """The notebook stored at `path`, or None where there is none or it cannot be read."""
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, nbformat.ValidationError):
        return None


def strip_ansi(text: str) -> str:
    """`text` without the colour codes of a terminal."""
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)


def _copy(value: Any) -> Any:
    import nbformat

    return nbformat.from_dict(value)
