"""Photographs of widgets, for readers of a stored notebook who have no kernel: GitHub, an editor, a diff.

Each widget is shown by `labkit/widgets/static/mount.js` from its saved state in headless Chromium, asked for the form
in which it is photographed (the trait `photo`), and kept as a PNG with an alternative text: what the picture says, in
the words of the page. Only `labkit author build` needs a browser; learners do not.

The same state gives the same picture on one machine: motion, caret, subpixel text and colour profile are switched off.
Another version of Chromium or other fonts give other pixels, so nothing compares pixels.
"""

from __future__ import annotations

import base64
import io
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labkit.chromium import find_chromium
from labkit.errors import AuthorError
from labkit.widgets import mount

FLAGS = (
    "--no-sandbox",
    "--font-render-hinting=none",
    "--disable-lcd-text",
    "--force-color-profile=srgb",
    "--disable-partial-raster",  # else a rounded corner comes out a grey level lighter now and then
)
WIDTH = 900
"""CSS pixels across a page of widgets, about what a reader's page leaves for an output."""
SECONDS = 60
SETTLED = 2
"""Seconds by the page's clock after which no widget changes by itself any more."""
STYLE = "body { margin: 0; } [data-widget] { margin: 8px; } .lk-keys, .lkq-key { display: none !important; }"
# The bar under a replay is in the picture, but a list of its buttons says nothing.
TEXT = """(card) => {
  const bars = [...card.querySelectorAll(".lk-transport")];
  for (const bar of bars) bar.style.display = "none";
  const text = card.innerText;
  for (const bar of bars) bar.style.display = "";
  const name = card.getAttribute("aria-label");
  return text.startsWith(name) ? text : `${name}: ${text}`;
}"""


def browser() -> str:
    """The browser that takes the photographs.

    Raises AuthorError where there is none, or nothing to drive it with.
    """
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        raise AuthorError(
            "Solved notebooks hold photographs of their widgets, and playwright, which takes them, is not installed: "
            "pip install -e '.[dev]', or build the learner's notebooks alone with --learner-only."
        ) from None
    found = find_chromium()
    if found is not None:
        return found
    raise AuthorError(
        "Solved notebooks hold photographs of their widgets, and there is no Chromium to take them: install it (apt "
        "install chromium), name one in CHROME, or build the learner's notebooks alone with --learner-only."
    )


def photograph(node: Any) -> None:
    """Put a PNG and its alternative text into every output of an executed notebook that shows a saved widget.

    Raises AuthorError where there is no browser, or a widget cannot be shown; the notebook is then as it was.
    """
    models = mount.saved_models(node)
    outputs = [output for cell in node.cells for output in cell.get("outputs", []) if mount.model_id(output) in models]
    if not outputs:
        return
    ids = [str(mount.model_id(output)) for output in outputs]
    for output, (png, text) in zip(outputs, list(_taken(_page(models, ids), len(ids))), strict=True):
        output.data["image/png"] = base64.b64encode(png).decode("ascii")
        output.metadata["image/png"] = {"alt": text}


def _page(models: mount.Models, ids: list[str]) -> str:
    places = "\n".join(mount.place(id, "") for id in ids)
    head = f'<meta charset="utf-8"><style>{STYLE}</style>'
    return (
        f'<!doctype html><html lang="en"><head>{head}</head><body data-jp-theme-light="true">{places}'
        f"{mount.script(models, ids, photo=True)}</body></html>"
    )


def _taken(page_text: str, count: int) -> Iterator[tuple[bytes, str]]:
    """PNG and alternative text of each widget of the page, in order."""
    from playwright.sync_api import Error, sync_playwright

    chromium = browser()
    with tempfile.TemporaryDirectory(prefix="labkit-photographs-") as folder, sync_playwright() as playwright:
        file = Path(folder) / "widgets.html"
        file.write_text(page_text, encoding="utf-8")
        chrome = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        try:
            page = chrome.new_context(
                viewport={"width": WIDTH + 16, "height": 1200}, device_scale_factor=1, reduced_motion="reduce",
                color_scheme="light", locale="en-US", timezone_id="UTC", offline=True,
            ).new_page()  # fmt: skip
            page.clock.install()  # what a widget says a moment after it was drawn is said before its picture is taken
            said: list[str] = []
            page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
            page.goto(file.as_uri())
            page.wait_for_function(
                "document.documentElement.dataset.labkitMounted !== undefined", timeout=SECONDS * 1000
            )
            mounted = page.evaluate("document.documentElement.dataset.labkitMounted")
            if mounted != f"{count}/{count}":
                why = said[0].splitlines()[0] if said else "the page does not say why"
                raise AuthorError(f"Not every widget of a notebook can be photographed ({mounted} can): {why}")
            page.evaluate("document.fonts.ready")
            page.clock.run_for(SETTLED * 1000)
            for card in page.query_selector_all("[data-widget] .lk-card"):
                png = in_256_colours(card.screenshot(animations="disabled", caret="hide"))
                yield png, re.sub(r"\s+", " ", card.evaluate(TEXT))
        except Error as error:
            raise AuthorError(f"The browser could not photograph the widgets of a notebook: {error.message}") from error
        finally:
            chrome.close()


def in_256_colours(png: bytes) -> bytes:
    """The same picture, of which a widget has few colours and their mixtures at edges, in less than half the bytes."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    smaller = io.BytesIO()
    picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(smaller, "PNG", optimize=True)
    return smaller.getvalue()
