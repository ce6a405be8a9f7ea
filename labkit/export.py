"""`labkit export`: a notebook as one page that needs no kernel, no network and no other file.

nbconvert makes the page; `StaticWidgets` is the step that keeps the widgets alive in it, and formulas become MathML,
which browsers draw themselves, where nbconvert would fetch a script.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nbformat
from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors import Preprocessor

from labkit.errors import ExportError
from labkit.widgets import mount
from labkit.widgets.base import VIEW_MIME
from labkit.writing import write_atomically

PAGE = """{%- extends 'index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
"""
"""nbconvert's own page without the four scripts that it takes from the network."""


class StaticWidgets(Preprocessor):
    """Puts a place for `mount.js` where an output shows a widget, and the saved models behind the last of them.

    `resources["widgets"]` is then the number shown, `resources["lost_widgets"]` the number of outputs whose widget the
    notebook does not hold; these keep their text and their picture.
    """

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        models = mount.saved_models(nb)
        shown: list[str] = []
        last, lost = None, 0
        for output in (o for cell in nb.cells for o in cell.get("outputs", [])):
            id = mount.model_id(output)
            if id is None:
                continue
            del output.data[VIEW_MIME]
            if id not in models:
                lost += 1
                continue
            output.data["text/html"] = mount.place(id, output.data.get("text/plain", ""))
            output.data.pop("image/png", None)
            shown.append(id)
            last = output
        if last is not None:
            last.data["text/html"] += mount.script(models, shown)
        nb.metadata.pop("widgets", None)
        resources.update(widgets=len(shown), lost_widgets=lost)
        return nb, resources


class _Math(IPythonRenderer):
    """Formulas as MathML; what cannot be read as one stays as it was written."""

    def block_math(self, body: str) -> str:
        return _mathml(body, "block") or super().block_math(body)

    def inline_math(self, body: str) -> str:
        return _mathml(body, "inline") or super().inline_math(body)


def _mathml(tex: str, display: str) -> str:
    try:
        return str(convert(tex.strip(), display=display))
    except Exception:  # the package raises errors of many kinds for text that is no formula
        return ""


class OfflineExporter(HTMLExporter):
    """nbconvert's page of a notebook with nothing in it that is fetched."""

    raw_template = PAGE
    preprocessors = [StaticWidgets]
    embed_images = True

    @pass_context
    def markdown2html(self, context: Any, source: str) -> str:
        attachments = context.get("cell", {}).get("attachments", {})
        path = context.get("resources", {}).get("metadata", {}).get("path", "")
        renderer = _Math(escape=False, attachments=attachments, embed_images=True, path=path, exclude_anchor_links=True)
        return str(MarkdownWithMath(renderer=renderer).render(source))


@dataclass(frozen=True)
class Exported:
    """What one export wrote: the file, its size in bytes, the widgets that it shows, and those it has no state of."""

    path: Path
    size: int
    widgets: int
    lost: int


def export(notebook: Path, to: Literal["html"] = "html", output: Path | None = None) -> Exported:
    """Write `notebook` as one HTML page, by default beside it under the same name.

    Raises ExportError where the notebook cannot be read or the page cannot be written; an earlier page then stays.
    """
    try:
        node = nbformat.read(notebook, as_version=4)
    except FileNotFoundError:
        raise ExportError(
            f"There is no notebook {notebook}: name the file that JupyterLab shows, such as 04_block_pool.ipynb."
        ) from None
    except (OSError, ValueError, AttributeError, nbformat.ValidationError) as error:
        raise ExportError(
            f"{notebook} cannot be read as a notebook ({type(error).__name__}): name a file that JupyterLab saved."
        ) from None
    target = output or notebook.with_suffix(f".{to}")
    title = {"metadata": {"name": notebook.stem, "path": str(notebook.parent)}}
    text, resources = OfflineExporter().from_notebook_node(node, title)
    try:
        write_atomically(target, text)
    except OSError as error:
        raise ExportError(f"{target} cannot be written ({error.strerror}): name another file with --output.") from None
    return Exported(target, len(text.encode()), resources["widgets"], resources["lost_widgets"])
