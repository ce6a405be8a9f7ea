"""What every widget of the course shares: how its page code travels, its text and its output.

A widget is a Python class here and plain files in `static/`: an ES module, a style sheet, and parts that several
widgets use. There is no build step and no network. Python joins all of them into one module, and one `Library` model
carries it once for the whole notebook; a widget carries the few lines that fetch it there (`static/loader.js`), its
kind and its state.

A picture is drawn once, there. What shows it where no kernel runs draws it with the same code from the saved state:
`static/mount.js` in an exported page, and in the browser that photographs it for a stored notebook.
"""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import anywidget
import ipywidgets
import traitlets

from labkit import theme

STATIC = Path(__file__).with_name("static")
"""The folder of page code and style sheets; it travels in the wheel."""

EXPORT = "export default { render };"
"""How the file of a widget ends; a file without it is a part."""

VIEW_MIME = "application/vnd.jupyter.widget-view+json"


class Bundle(NamedTuple):
    """The page code of all widgets: an ES module whose default export maps a kind to its widget, and a style sheet."""

    code: str
    style: str
    hash: str


@cache
def bundle() -> Bundle:
    """`common.js`, every part, then every widget (a file that ends in `export default`) in a scope of its own.

    Parts share one scope, so their names at the top are unique, and at the top they use nothing but `common.js`.
    """
    sources = {path.stem: path.read_text(encoding="utf-8") for path in sorted(STATIC.glob("*.js"))}
    del sources["loader"], sources["library"], sources["mount"]
    common = sources.pop("common")
    widgets = {name: text for name, text in sources.items() if EXPORT in text}
    parts = [text for name, text in sources.items() if name not in widgets]
    scopes = [
        f"const widget_{name} = (() => {{\n{text.replace(EXPORT, 'return { render };')}\n}})();"
        for name, text in widgets.items()
    ]
    table = ", ".join(f"{name}: widget_{name}" for name in widgets)
    code = "\n".join([common, *parts, *scopes, f"export default {{ {table} }};\n"])
    styles = {path.stem: path.read_text(encoding="utf-8") for path in sorted(STATIC.glob("*.css"))}
    style = "\n".join([theme.css(), styles.pop("common"), *styles.values()])
    return Bundle(code, style, hashlib.sha256((code + style).encode()).hexdigest()[:16])


class Library(anywidget.AnyWidget):
    """The one model of a notebook that holds the page's code; `static/library.js` says what it does in the page."""

    _esm = (STATIC / "library.js").read_text(encoding="utf-8")
    bundle = traitlets.Unicode("").tag(sync=True)
    style = traitlets.Unicode("").tag(sync=True)


_library: Library | None = None


def library() -> Library:
    """This kernel's library, made anew where the last one was closed (`ipywidgets.Widget.close_all()`)."""
    global _library
    if _library is None or _library.comm is None:
        _library = Library(bundle=bundle().code, style=bundle().style)
    return _library


class LabWidget(anywidget.AnyWidget):
    """Base of the course's widgets.

    A subclass sets `_name` (its files are `static/NAME.js` and `static/NAME.css`), keeps its state in traits tagged
    `sync=True`, and overrides:

    - `summary()`: one line that says what is shown. It is the `repr`, so it must be the same in every run: no
      memory address, no time.
    - `text_form()`: what a reader sees who has no browser, or a notebook that is not trusted.
    - `handle(content, buffers)`: messages that the page sends with `model.send`.

    In the page every widget finds the helpers of `static/common.js` and of every part beside it.
    """

    _name: ClassVar[str] = ""
    _esm = (STATIC / "loader.js").read_text(encoding="utf-8")
    _library = traitlets.Instance(Library).tag(sync=True, **ipywidgets.widget_serialization)
    _code = traitlets.Unicode().tag(sync=True)
    _kind = traitlets.Unicode().tag(sync=True)

    def __init__(self, **kwargs: Any) -> None:
        shared = library()
        # A layout each would double the models that a page has to restore.
        super().__init__(_library=shared, _code=bundle().hash, _kind=self._name, layout=shared.layout, **kwargs)
        self.on_msg(self._on_page_message)

    # What a subclass gives.

    def summary(self) -> str:
        """One stable line that says what is shown."""
        return type(self).__name__

    def text_form(self) -> str:
        """The widget as text, for a terminal and for `text/plain`; the summary unless overridden."""
        return self.summary()

    def handle(self, content: dict[str, Any], buffers: list[memoryview]) -> None:
        """Answer a message from the page: `content` is what `model.send(content)` was given."""

    # What the base does with it.

    def __repr__(self) -> str:
        return self.text_form()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data = {
            "text/plain": repr(self),
            VIEW_MIME: {"version_major": 2, "version_minor": 1, "model_id": self.model_id},
        }
        return data, {}

    def _on_page_message(self, _widget: Any, content: Any, buffers: list[memoryview]) -> None:
        if not isinstance(content, dict):
            return
        if content.get("type") == "hello":
            # The page waits for this, and says that the kernel is gone where it does not come: `static/kernel.js`.
            self.send({"type": "heard"})
            return
        try:
            self.handle(content, buffers)
        except Exception as error:  # an exception here would vanish into the kernel's log
            self.send({"type": "problem", "text": f"{type(error).__name__}: {error}"})
