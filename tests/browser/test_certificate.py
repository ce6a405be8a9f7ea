"""The certificate in a browser: from its file, without a network; in both themes, on paper, and held to WCAG."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from made_up import made_up

from labkit.reports.certificate import write_certificate

pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.base")

NAME = "Ada </bdi><script>document.title = 'hacked'</script>"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
RUN = """async (rules) => {
  const found = await axe.run(document, { runOnly: rules });
  return [found.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html}`)),
          found.passes.map((rule) => rule.id)];
}"""
A4 = {"width": 680, "height": 1000}
"""180 mm, which is what the margins leave, in pixels of CSS."""


def test_the_certificate_opens_alone_in_both_themes_and_fits_on_paper(page: Any, browse: Any, tmp_path: Path) -> None:
    made_up(tmp_path)
    file = tmp_path / "certificate.html"
    write_certificate(file, NAME, date(2026, 3, 1))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.context.set_offline(True)
    page.goto(file.as_uri())
    assert asked == [file.as_uri()] and page.title() == "Certificate so far"
    assert page.locator(".who").inner_text() == NAME
    page.evaluate(Path(axe.__file__).with_name("axe.min.js").read_text(encoding="utf-8"))
    seen = set()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        seen.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        broken, passed = page.evaluate(RUN, RULES if scheme == "light" else ["color-contrast"])
        assert broken == [] and "color-contrast" in passed, scheme
        browse.shoot(page, f"certificate-{scheme}")
    assert len(seen) == 2
    page.set_viewport_size(A4)
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.scrollWidth") <= A4["width"]
    assert not page.page_errors and not page.console_errors
