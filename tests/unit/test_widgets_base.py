"""The base of the widgets: one module, one style sheet, a stable text and a picture that is not blank."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from matplotlib import image as mpl_image

from labkit.widgets import base


class Example(base.LabWidget):
    """A widget with no page code of its own."""

    _name = "example"

    def summary(self) -> str:
        return "Example(3 things)"

    def handle(self, content, buffers) -> None:
        if content["type"] == "break":
            raise ValueError("no such thing")


def picture(widget: base.LabWidget) -> np.ndarray:
    """The still picture of a widget as an array (height, width, 3 or 4) of floats in 0..1."""
    data, _ = widget._repr_mimebundle_()
    return mpl_image.imread(io.BytesIO(base64.b64decode(data["image/png"])))


def test_module_and_style_are_joined():
    assert "function h(tag" in Example._esm
    assert "--lk-ink" in Example._css and ".lk-card" in Example._css


def test_repr_is_stable_and_the_bundle_has_three_forms():
    widget = Example()
    assert repr(widget) == "Example(3 things)" == repr(Example())
    data, metadata = widget._repr_mimebundle_()
    assert set(data) == {"text/plain", "image/png", base.VIEW_MIME} and metadata == {}
    assert data[base.VIEW_MIME]["model_id"] == widget.model_id


def test_picture_is_wide_and_not_blank_and_opens_no_window():
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    pixels = picture(Example())
    assert pixels.shape[1] == 900
    assert pixels[..., :3].std() > 0.005
    assert plt.get_fignums() == before


def test_same_widget_same_bytes():
    assert Example().static_png() == Example().static_png()


def test_an_error_in_a_handler_is_told_to_the_page(monkeypatch: pytest.MonkeyPatch):
    widget, sent = Example(), []
    monkeypatch.setattr(widget, "send", lambda content, buffers=None: sent.append(content))
    widget._on_page_message(widget, {"type": "break"}, [])
    assert sent == [{"type": "problem", "text": "ValueError: no such thing"}]
    widget._on_page_message(widget, "not a dict", [])
    assert len(sent) == 1


def test_page_code_reaches_for_nothing_outside():
    for path in base.STATIC.iterdir():
        text = path.read_text(encoding="utf-8")
        assert "innerHTML" not in text, path.name
        for word in ("http://", "https://", "import(", "@import", "fetch("):
            assert word not in text.replace("http://www.w3.org/2000/svg", ""), (path.name, word)
