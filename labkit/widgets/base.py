"""What every widget of the course shares: how its page code is put together, its text and its still picture.

A widget is a Python class here and three plain files in `static/`: an ES module, a style sheet, and the parts it
shares with others. There is no build step and no network: Python joins the files into one module, because a module
inside a notebook has no address from which it could import a second one.

Where no kernel runs (a repository's web page, an exported notebook) the reader sees the picture that
`LabWidget.static_figure` draws with matplotlib from the same data and the same tokens.
"""

from __future__ import annotations

import base64
import io
import warnings
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import anywidget

from labkit import theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

STATIC = Path(__file__).with_name("static")
"""The folder of page code and style sheets; it travels in the wheel."""

VIEW_MIME = "application/vnd.jupyter.widget-view+json"
STILL_WIDTH = 7.5
"""Width of a still picture in inches; at the style's 120 dots an inch that is 900 pixels."""


@cache
def _read(filename: str) -> str:
    path = STATIC / filename
    return path.read_text(encoding="utf-8") if path.exists() else ""


def module_text(name: str, parts: tuple[str, ...] = ()) -> str:
    """One ES module: `common.js`, each part in order, then `NAME.js`, which must end in `export default`."""
    return "\n".join(_read(f"{piece}.js") for piece in ("common", *parts, name))


def style_text(name: str, parts: tuple[str, ...] = ()) -> str:
    """One style sheet: the tokens, then `common.css`, the parts' and the widget's own where they have one."""
    return "\n".join([theme.css(), *(_read(f"{piece}.css") for piece in ("common", *parts, name))])


class LabWidget(anywidget.AnyWidget):
    """Base of the course's widgets.

    A subclass sets `_name` (its files are `static/NAME.js` and `static/NAME.css`) and, if it needs them, `_parts`
    (files joined in before it), keeps its state in traits tagged `sync=True`, and overrides:

    - `summary()`: one line that says what is shown. It is the `repr`, so it must be the same in every run: no
      memory address, no time.
    - `static_figure()`: the still picture.
    - `handle(content, buffers)`: messages that the page sends with `model.send`.

    In the page every widget finds the helpers of `static/common.js`.
    """

    _name: ClassVar[str] = ""
    _parts: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if cls.__dict__.get("_name"):
            cls._esm = module_text(cls._name, cls._parts)
            cls._css = style_text(cls._name, cls._parts)
        super().__init_subclass__(**kwargs)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.on_msg(self._on_page_message)

    # What a subclass gives.

    def summary(self) -> str:
        """One stable line that says what is shown."""
        return type(self).__name__

    def text_form(self) -> str:
        """The widget as text, for a terminal and for `text/plain`; the summary unless overridden."""
        return self.summary()

    def static_figure(self) -> Figure:
        """The still picture, on a figure from `blank_figure`."""
        figure = blank_figure(height=0.8)
        figure.text(0.01, 0.5, self.summary(), va="center")
        return figure

    def handle(self, content: dict[str, Any], buffers: list[memoryview]) -> None:
        """Answer a message from the page: `content` is what `model.send(content)` was given."""

    # What the base does with it.

    def __repr__(self) -> str:
        return self.text_form()

    def static_png(self) -> bytes:
        """The still picture as PNG bytes, about 900 pixels wide, in the light theme."""
        from matplotlib import rc_context

        with rc_context(theme.rc_params()), warnings.catch_warnings():
            # A letter that the font lacks is drawn as a box; that is no news for whoever looks at the notebook.
            warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
            figure = self.static_figure()
            out = io.BytesIO()
            # No Software or date chunk: the same widget gives the same bytes on every machine with the same matplotlib.
            figure.savefig(out, format="png", metadata={"Software": None})
        figure.clear()
        return out.getvalue()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data = {
            "text/plain": repr(self),
            "image/png": base64.b64encode(self.static_png()).decode("ascii"),
            VIEW_MIME: {"version_major": 2, "version_minor": 1, "model_id": self.model_id},
        }
        return data, {}

    def _on_page_message(self, _widget: Any, content: Any, buffers: list[memoryview]) -> None:
        if not isinstance(content, dict):
            return
        try:
            self.handle(content, buffers)
        except Exception as error:  # an exception here would vanish into the kernel's log
            self.send({"type": "problem", "text": f"{type(error).__name__}: {error}"})


def blank_figure(height: float, width: float = STILL_WIDTH) -> Figure:
    """An empty figure of `width` by `height` inches that belongs to no window and no pyplot state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="none")
    FigureCanvasAgg(figure)
    return figure


def pixel_axes(figure: Figure, width: float, height: float) -> Any:
    """Axes over the whole figure in CSS-like pixels: origin at the top left, `y` down, nothing drawn around them."""
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    return axes
