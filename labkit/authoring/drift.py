"""Are the built notebooks what the master says, and are the stored outputs fit to be read and compared?"""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labkit.authoring import build
from labkit.authoring.finding import Finding
from labkit.authoring.master import Master
from labkit.widgets.base import VIEW_MIME

REBUILD = "run `labkit author build`"
# A path of the machine that built, or an object's address: neither says anything to a reader.
_MACHINE = re.compile(r"/(?:home|root|Users|tmp|private)/[\w.-]+|[A-Z]:\\\\Users\\\\")
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]{6,}")


def learner(master: Master, path: Path) -> Iterator[Finding]:
    """What is wrong with the learner's notebook at `path`."""
    yield from _same(master, path, solved=False)
    for cell in _cells(path):
        if cell.get("outputs") or cell.get("execution_count"):
            yield Finding(path, cell["id"], "stored-output", f"holds an output; {REBUILD}.")


def solved(master: Master, path: Path) -> Iterator[Finding]:
    """What is wrong with the solved notebook at `path`."""
    yield from _same(master, path, solved=True)
    for cell in _cells(path):
        if cell["cell_type"] == "code":
            for rule, message in _output_problems(cell):
                yield Finding(path, cell["id"], rule, message)


def is_blank(png: bytes) -> bool:
    """Whether a PNG shows nothing: fewer than three different colours, or no readable picture at all."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png)) as picture:
            flat = Image.new("RGB", picture.size, "white")
            rgba = picture.convert("RGBA")
            flat.paste(rgba, mask=rgba.getchannel("A"))
            colours = flat.getcolors(maxcolors=2)
    except (OSError, ValueError):
        return True
    return colours is not None


def _cells(path: Path) -> list[dict[str, Any]]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError):
        return []  # _same has said so


def _same(master: Master, path: Path, solved: bool) -> Iterator[Finding]:
    if not path.is_file():
        yield Finding(path, "", "not-built", f"is missing; {REBUILD}.")
        return
    stored = build.load(path)
    if stored is None:
        yield Finding(path, "", "unreadable", f"cannot be read as a notebook; {REBUILD}.")
        return
    wanted = build.notebook(master, solved)
    mine = {cell.id: cell for cell in stored.cells}
    for cell in wanted.cells:
        other = mine.get(cell.id)
        if other is None:
            yield Finding(path, cell.id, "drift", f"is in the master and not in the notebook; {REBUILD}.")
        elif other.cell_type != cell.cell_type or other.source != cell.source:
            yield Finding(
                path, cell.id, "drift", f"differs from the master; edit {master.path.name} only, then {REBUILD}."
            )
        elif other.metadata != cell.metadata:
            yield Finding(path, cell.id, "drift", f"has other metadata than the master; {REBUILD}.")
    ids = [cell.id for cell in wanted.cells]
    for cell in stored.cells:
        if cell.id not in ids:
            yield Finding(path, cell.id, "drift", f"is in the notebook and not in the master; {REBUILD}.")
    if {*ids} == {*mine} and ids != [cell.id for cell in stored.cells]:
        yield Finding(path, "", "drift", f"has the cells in another order than the master; {REBUILD}.")
    if stored.metadata != wanted.metadata:
        yield Finding(path, "", "drift", f"has other metadata than a build gives (widget state?); {REBUILD}.")


def _output_problems(cell: dict[str, Any]) -> Iterator[tuple[str, str]]:
    source = "".join(cell["source"])
    if source.strip() and cell.get("execution_count") is None:
        yield "not-executed", f"was not executed; {REBUILD}."
    for output in cell.get("outputs", []):
        if output["output_type"] == "error":
            yield "error-output", f"ends in {output.get('ename')}; mend the master and {REBUILD}."
        if output.get("name") == "stderr":
            yield "stderr", "shows a warning or progress line on stderr; silence its cause in the master."
        data = output.get("data", {})
        if VIEW_MIME in data:
            yield "widget-view", f"refers to a widget's model, which no reader has; {REBUILD}."
        png, metadata = data.get("image/png"), output.get("metadata", {})
        if metadata.get(build.WIDGET_MARK):
            if png is None:
                yield "lost-picture", f"shows a widget without a photograph of it; {REBUILD}."
            elif not metadata.get("image/png", {}).get("alt", "").strip():
                yield (
                    "no-alternative-text",
                    f"shows a widget's photograph without saying what is to be seen; {REBUILD}.",
                )
        if png is not None and is_blank(base64.b64decode("".join(png))):
            yield "blank-picture", "stores a picture on which nothing is drawn; mend what draws it."
        text = "".join(output.get("text", "")) + "".join(data.get("text/plain", ""))
        if machine := _MACHINE.search(text):
            yield "machine-path", f"shows a path of the machine that built it ({machine[0]}...)."
        if _ADDRESS.search(text) and build.IGNORE_OUTPUT not in cell.get("metadata", {}).get("tags", []):
            yield "address", "shows a memory address; show something that has a stable repr."
