"""Lesson 12's roofline and kernel report in JupyterLab: keys, pointer, both themes, two sizes of window."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytest.importorskip("playwright.sync_api")
from playwright.sync_api import expect

ROOFLINE = """
from labkit.specs.bytes_are_time.scenes import SERVER, prompt_work
from labkit.attention.decode_bytes import decode_flops, expected_bytes
from labkit.widgets import Roofline
from labkit.widgets.roofline import Work
needed = expected_bytes(*SERVER)
flops = decode_flops(SERVER.lengths, 32, 128)
board = Roofline([Work("per query head", needed.per_query_head, flops), Work("per KV head", needed.per_kv_head, flops),
                  Work("a prompt of 4,096 tokens", *prompt_work(4096, 32, 8, 128))], title="Three kernels")
board
"""
REPORT = """
from labkit.kernels.offline import Compiled
from labkit.widgets import KernelReport
wide = Compiled("n", "bf16", "sm_90", "k", 118, 0, 39168, 128, {"32": 4, "128": 33}, 4, 1.0, "3.7.1")
narrow = Compiled("n", "bf16", "sm_90", "k", 255, 572, 22528, 128, {"16": 128, "32": 50, "128": 1}, 4, 1.0, "3.7.1")
KernelReport({"grouped, cache aligned": wide, "grouped, one number off": narrow})
"""


def test_a_card_and_a_kernel_are_chosen_by_keys_and_looked_at_by_pointer(lab: Any, page: Any, browse: Any) -> None:
    cells = [ROOFLINE, "board.card, board.point", REPORT]
    panel = browse.open_notebook(page, lab, lab.write_notebook("roofline.ipynb", cells))
    browse.run_all(page)
    board, report = panel.locator(".lk-roofline"), panel.locator(".lk-kernel-report")
    said = board.locator(".lkr-say")
    expect(said).to_contain_text("The ridge of the H100 is at 295, so memory is what it waits for")
    board.get_by_role("button", name="H100").focus()
    page.keyboard.press("ArrowRight")
    expect(said).to_contain_text("The ridge of the H200 is at 206")
    expect(board.get_by_role("button", name="H200")).to_have_attribute("aria-pressed", "true")
    board.locator(".lkr-dot").nth(2).hover()
    expect(said).to_contain_text("so arithmetic is what it waits for")
    board.get_by_role("button", name="A per query head").focus()
    page.keyboard.press("ArrowRight")
    expect(said).to_contain_text("per KV head: 538 MB")
    assert browse.run_cell(page, "cell-1").locator(".jp-OutputArea-output").inner_text() == "(3, 1)"

    expect(report).to_contain_text("572 bytes of a thread")
    expect(report.locator(".lkk-limits")).to_be_hidden()
    report.get_by_role("button", name="The limits of each architecture").click()
    expect(report.locator(".lkk-own")).to_contain_text("228 KiB")
    expect(report.locator(".lk-bad")).to_have_text([re.compile("255"), re.compile("572"), re.compile("16 bits")])
    for size in ((1400, 900), (1100, 700)):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        for dark in (False, True):
            browse.set_theme(page, dark)
            theme = "dark" if dark else "light"
            browse.shoot(page, f"roofline-{theme}-{size[0]}", board)
            browse.shoot(page, f"kernel-report-{theme}-{size[0]}", report)
    browse.assert_clean(page)
