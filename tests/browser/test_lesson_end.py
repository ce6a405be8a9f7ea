"""The end of a lesson: what can be said now, whose the parts are, and the next notebook, opened in place."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

from labkit import specs

END = 'from labkit.lesson import finish\nfinish("06")'


@pytest.mark.parametrize("folder", ["", "deeper/"])
def test_the_next_notebook_opens_beside_this_one(lab: Any, page: Any, browse: Any, folder: str) -> None:
    (lab.work / folder).mkdir(exist_ok=True)
    after = lab.write_notebook(f"{folder}07_hash_prefix_cache.ipynb", ["1 + 1"])
    name = lab.write_notebook(f"{folder}ends.ipynb", [END])
    browse.open_notebook(page, lab, name)
    browse.run_all(page)
    end = browse.cell(page, "cell-0").locator(".lk-lesson-end")
    expect(end).to_contain_text(specs.lesson("06").ending)
    expect(
        end.get_by_role("button", name=re.compile("^Sharing, lesson 06: .*lights up in this lesson"))
    ).to_be_visible()
    for dark in (False, True):
        browse.set_theme(page, dark)
        browse.shoot(page, f"lesson-end-{'dark' if dark else 'light'}", end)
    page.evaluate("() => { globalThis.stays = true; }")
    link = end.get_by_role("link", name="Lesson 07, Prefix cache I: hash chains")
    link.focus()
    page.keyboard.press("Enter")
    page.wait_for_function(
        "(path) => window.jupyterapp.shell.currentWidget?.context?.path === path", arg=after, timeout=60_000
    )
    assert page.evaluate("() => globalThis.stays"), "the page was loaded anew"
    browse.assert_clean(page)
