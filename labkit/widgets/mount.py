"""Widgets of a saved notebook as plain HTML: what `static/mount.js` needs to show them without kernel and network.

A notebook that was saved with its widgets' state holds all that their page code draws from, and that code itself. So a
page of it needs an empty place for each widget (`place`) and, once, the saved models with the script that fills the
places (`script`).
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any

from labkit.widgets.base import STATIC, VIEW_MIME

STATE_MIME = "application/vnd.jupyter.widget-state+json"

CODE = frozenset({"_esm", "_css", "bundle", "style"})
"""What of a model's state is the page's code, not what is shown."""

Models = dict[str, dict[str, Any]]


def saved_models(notebook: Any) -> Models:
    """The models that `mount.js` can show: by id {"state", "buffers"}, of every anywidget of the notebook's state."""
    saved = notebook.metadata.get("widgets", {}).get(STATE_MIME, {}).get("state", {})
    return {
        id: {"state": entry["state"], "buffers": entry.get("buffers", [])}
        for id, entry in saved.items()
        if entry.get("model_module") == "anywidget"
    }


def model_id(output: Any) -> str | None:
    """The id of the model that an output of a cell shows, None where it shows no widget."""
    view = output.get("data", {}).get(VIEW_MIME)
    return None if view is None else str(view.get("model_id", ""))


def place(id: str, text: str) -> str:
    """Where the widget of a model stands; `text` is seen where it cannot be shown."""
    return f'<div data-widget="{html.escape(id)}"><pre>{html.escape(text)}</pre></div>'


def script(models: Models, ids: Iterable[str], photo: bool = False) -> str:
    """The models of `ids` and those that they refer to, and the script that shows them; stands once in a page."""
    wanted, todo = {}, list(ids)
    while todo:
        id = todo.pop()
        if id in models and id not in wanted:
            wanted[id] = models[id]
            values = [value for value in models[id]["state"].values() if isinstance(value, str)]
            todo += [value.removeprefix("IPY_MODEL_") for value in values if value.startswith("IPY_MODEL_")]
    # No text of a model may end the script that holds it.
    data = json.dumps({"models": wanted, "photo": photo}).replace("<", "\\u003c")
    code = (STATIC / "mount.js").read_text(encoding="utf-8")
    return (
        f'<script type="application/json" id="labkit-widgets">{data}</script>\n<script type="module">\n{code}</script>'
    )
