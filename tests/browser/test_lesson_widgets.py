"""The calculators of lessons 01, 02 and 05 in a real JupyterLab: by keyboard and by drag."""

from __future__ import annotations

import json
import re
from typing import Any

from playwright.sync_api import expect

PLAY = """
from labkit.widgets import AttentionPlay
play = AttentionPlay(maskable=True, title="One query, three keys")
play
"""
COST = """
from labkit.widgets.token_cost import TokenCost
cost = TokenCost()
cost
"""
TOLD = """
import json
print("TOLD" + json.dumps({
    "q": play.q, "K": play.K, "hidden": play.hidden, "scores": [str(s) for s in play.scores()],
    "weights": play.weights(), "mixture": play.mixture(), "choice": cost.choice, "answer": cost.answer,
}))
"""


def active_cell(page: Any) -> int:
    return page.evaluate("() => window.jupyterapp.shell.currentWidget.content.activeCellIndex")


def told(page: Any, browse: Any) -> dict[str, Any]:
    """What Python holds now."""
    browse.wait_idle(page)
    text = browse.run_cell(page, "cell-2").locator(".jp-OutputArea-output", has_text="TOLD").inner_text()
    return json.loads(text.split("TOLD", 1)[1])


def drag(page: Any, locator: Any, dx: float, dy: float = 0) -> None:
    """Press in the middle of something, move in steps, let go."""
    locator.scroll_into_view_if_needed()
    box = locator.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for part in (0.25, 0.5, 0.75, 1.0):
        page.mouse.move(x + dx * part, y + dy * part)
    page.mouse.up()


def number(text: str) -> float:
    """A number as the page writes it."""
    return float(text.replace("\N{MINUS SIGN}", "-").replace("\N{INFINITY}", "inf").replace(",", "").rstrip("%"))


def shown_of_play(card: Any) -> dict[str, Any]:
    """What the table and the line below it say."""
    rows = card.locator("tbody tr:first-child")
    cells = [[number(t) for t in rows.nth(i).locator("td").all_inner_texts()[-3:]] for i in range(rows.count())]
    mixture = re.search(r"\(([^,]+), ([^)]+)\)", card.locator(".lka-key").inner_text())
    return {
        "products": [c[0] for c in cells],
        "scores": [c[1] for c in cells],
        "weights": [c[2] for c in cells],
        "mixture": [number(mixture.group(1)), number(mixture.group(2))],
    }


def assert_play_agrees(card: Any, python: dict[str, Any]) -> None:
    shown = shown_of_play(card)
    for i, (score, weight) in enumerate(zip(python["scores"], python["weights"], strict=True)):
        assert shown["scores"][i] == round(float(score), 2) or abs(shown["scores"][i] - float(score)) < 0.006
        assert abs(shown["weights"][i] - 100 * weight) < 0.51
    for seen, right in zip(shown["mixture"], python["mixture"], strict=True):
        assert abs(seen - right) < 0.006


def assert_cost_agrees(card: Any, python: dict[str, Any]) -> None:
    """Every number in the sentence, and each line below the bar, is the one that Python computed."""
    answer, choice = python["answer"], python["choice"]
    assert answer["for"] == choice
    outs = card.locator(".lk-out").all_inner_texts()
    assert outs == [answer[name] for name in ("token", "weights", "peak", "cache", "blocks", "requests")]
    lines = card.locator(".lk-parts li").all_inner_texts()
    assert [line.split() for line in lines] == [f"{p['size']} {p['words']}".split() for p in answer["parts"]]
    widths = card.locator(".lk-part").evaluate_all("(nodes) => nodes.map((n) => parseFloat(n.style.width))")
    assert all(abs(w - 100 * p["share"]) < 0.01 for w, p in zip(widths, answer["parts"], strict=True))


def test_attention_and_cost_by_keyboard_and_by_drag(lab: Any, page: Any, browse: Any) -> None:
    panel = browse.open_notebook(page, lab, lab.write_notebook("lesson-widgets.ipynb", (PLAY, COST, TOLD)))
    browse.set_theme(page, dark=False)
    browse.run_all(page)
    play, cost = panel.locator(".lk-attention-play"), panel.locator(".lk-token-cost")
    expect(play).to_be_visible()

    # AttentionPlay by keyboard: arrows move the query, in small and in large steps, and the cell stays where it is.
    query = play.locator('[data-name="q"]')
    query.focus()
    before = active_cell(page)
    for key in ("ArrowRight", "ArrowUp", "ArrowUp", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    python = told(page, browse)
    assert python["q"] == [0.6, 1.2] and before == 0
    assert_play_agrees(play, python)
    expect(query).to_have_attribute("aria-valuetext", "0.60, 1.20")
    page.keyboard.press("Escape")

    # A hidden key has a score of minus infinity and no weight; the last one that is seen cannot be hidden.
    boxes = [play.get_by_role("checkbox", name=f"key {i} can be seen") for i in range(3)]
    boxes[1].focus()
    page.keyboard.press("Space")
    python = told(page, browse)
    assert python["hidden"] == [1] and python["weights"][1] == 0 and python["scores"][1] == "-inf"
    assert_play_agrees(play, python)
    for box in (boxes[0], boxes[2]):
        box.focus()
        page.keyboard.press("Space")
    expect(boxes[2]).to_be_checked()
    assert told(page, browse)["hidden"] == [0, 1]
    play.get_by_role("button", name="Reset").focus()
    page.keyboard.press("Enter")
    assert told(page, browse)["hidden"] == []

    # By drag: a key follows the pointer, snaps to tenths, and does not leave the plane.
    key = play.locator('[data-name="k0"] circle').nth(1)
    drag(page, key, -60, 40)
    python = told(page, browse)
    assert python["K"][0] != [2.0, 0.5] and all(abs(10 * x - round(10 * x)) < 1e-9 for x in python["K"][0])
    assert_play_agrees(play, python)
    drag(page, key, 900, -900)
    assert told(page, browse)["K"][0] == [3, 3]
    browse.shoot(page, "attention-play-light", play)

    # TokenCost by keyboard: sliders and the list of models; the answers come from Python.
    first = told(page, browse)["answer"]
    slider = cost.locator('[data-key="gpus"]')
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(slider).to_have_text("2 GPUs")
    page.keyboard.press("End")
    expect(slider).to_have_attribute("aria-valuetext", "16 GPUs")
    page.keyboard.press("ArrowRight")  # the end is the end
    page.keyboard.press("Home")
    page.keyboard.press("ArrowUp")
    expect(slider).to_have_text("2 GPUs")
    expect(cost).not_to_have_class(re.compile("lk-waits"))
    python = told(page, browse)
    assert python["choice"]["gpus"] == 2 and python["answer"]["token"] != first["token"]
    assert_cost_agrees(cost, python)
    models = cost.get_by_role("combobox", name="model")
    models.focus()
    page.keyboard.type("Llama-2-7B")
    python = told(page, browse)
    assert python["choice"]["model"] == "Llama-2-7B"
    assert_cost_agrees(cost, python)

    # By drag: 14 pixels are a step, both ways. Where nothing fits, a sentence says why and no bar is left standing.
    context = cost.locator('[data-key="context"]')
    at = int(context.get_attribute("aria-valuenow"))
    drag(page, context, 14 * 2)
    expect(context).to_have_attribute("aria-valuenow", str(at + 2))
    drag(page, context, -14)
    expect(context).to_have_attribute("aria-valuenow", str(at + 1))
    assert_cost_agrees(cost, told(page, browse))
    browse.shoot(page, "token-cost-light", cost)
    drag(page, cost.locator('[data-key="gpu_gib"]'), -14 * 20)
    models.focus()
    page.keyboard.type("Llama-3.1-70B")
    python = told(page, browse)
    assert python["choice"]["gpu_gib"] == 16 and python["answer"]["problem"]
    expect(cost.locator(".lk-problem")).to_have_text(python["answer"]["problem"])
    expect(cost.locator(".lk-bar")).to_be_hidden()

    # The dark theme: other colours, the same numbers, and both still move.
    light = [
        play.evaluate("(n) => getComputedStyle(n).backgroundColor"),
        cost.evaluate("(n) => getComputedStyle(n).color"),
    ]
    browse.set_theme(page, dark=True)
    assert light[0] != play.evaluate("(n) => getComputedStyle(n).backgroundColor")
    assert light[1] != cost.evaluate("(n) => getComputedStyle(n).color")
    models.focus()
    page.keyboard.type("Gemma-2-9B")
    drag(page, cost.locator('[data-key="gpu_gib"]'), 14 * 4)
    query.focus()
    page.keyboard.press("Shift+ArrowDown")
    drag(page, play.locator('[data-name="v1"] circle').nth(1), 30, 50)
    python = told(page, browse)
    assert python["choice"]["gpu_gib"] == 80 and python["choice"]["model"] == "Gemma-2-9B"
    assert_cost_agrees(cost, python)
    assert_play_agrees(play, python)
    browse.shoot(page, "attention-play-dark", play)
    browse.shoot(page, "token-cost-dark", cost)
    browse.assert_clean(page)


def test_the_block_size_follows_keys_and_pointer_and_the_sentence_follows_it(lab: Any, page: Any, browse: Any) -> None:
    size = "from labkit.widgets import BlockSizePlay\nBlockSizePlay([17, 64, 100])"
    panel = browse.open_notebook(page, lab, lab.write_notebook("block-size.ipynb", [size]))
    browse.run_all(page)
    number = panel.get_by_role("slider", name="tokens per block")
    number.focus()
    page.keyboard.press("Home")
    expect(number).to_have_attribute("aria-valuetext", "1 token per block")
    expect(panel).to_contain_text("leave 0 slots empty")
    box = number.bounding_box()
    page.mouse.move(box["x"] + 4, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + 4 + 18 * 4, box["y"] + 8, steps=6)
    page.mouse.up()
    expect(number).to_have_text("16")
    expect(panel).to_contain_text("(B \N{MINUS SIGN} 1) / 2 is 7.5")
    browse.assert_clean(page)


def test_softmax_over_pages_steps_by_keyboard_in_both_themes(lab: Any, page: Any, browse: Any) -> None:
    make = """
from labkit.specs.paged_attention.scenes import one_request
from labkit.widgets import OnlineSoftmax
board = OnlineSoftmax(*one_request(), title="One query over four pages")
board
"""
    panel = browse.open_notebook(page, lab, lab.write_notebook("softmax.ipynb", [make, "board.step"]))
    browse.run_all(page)
    board = panel.locator(".lk-online-softmax")
    expect(board).to_contain_text("Nothing is read yet")
    board.get_by_role("slider", name="Step", exact=True).focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    expect(board).to_contain_text("Page 2 lies in block 5 and has a larger score, 2.70")
    assert board.locator(".lko-read").count() == 3
    expect(board.locator(".lko-weight").first).to_have_text("0.10")
    for dark in (True, False):
        browse.set_theme(page, dark)
        browse.shoot(page, f"softmax-{'dark' if dark else 'light'}", board)
    page.keyboard.press("End")
    expect(board).to_contain_text("The output is what two passes give.")
    page.keyboard.press("ArrowLeft")
    expect(board).to_contain_text("Page 2 lies in block 5")
    assert browse.run_cell(page, "cell-1").locator(".jp-OutputArea-output").inner_text() == "3"
    browse.assert_clean(page)


def test_a_prompt_in_chunks_steps_and_is_dragged_by_keyboard_in_both_themes(lab: Any, page: Any, browse: Any) -> None:
    make = "from labkit.widgets import ChunkPlay\nboard = ChunkPlay(chunk=5, step=2)\nboard"
    panel = browse.open_notebook(
        page, lab, lab.write_notebook("chunks.ipynb", [make, "board.chunk, board.window, board.step"])
    )
    browse.run_all(page)
    board = panel.locator(".lk-chunk-play")
    expect(board).to_contain_text("Chunk 1 brings tokens 5 to 9 and reads 5 keys of earlier chunks and 5 of its own.")
    drawn = {kind: board.locator(f".lkc-mask .lkc-{kind}").count() for kind in ("past", "own", "masked", "done")}
    assert drawn == {"past": 25, "own": 15, "masked": 20, "done": 15}
    for dark in (True, False):
        browse.set_theme(page, dark)
        browse.shoot(page, f"chunks-{'dark' if dark else 'light'}", board)
    board.get_by_role("slider", name="window").focus()
    page.keyboard.press("Home")
    expect(board).to_contain_text("Keys 0 to 3 lie before every window and are not read.")
    board.get_by_role("slider", name="tokens of a chunk").focus()
    page.keyboard.press("End")
    expect(board).to_contain_text("Chunk 0 brings tokens 0 to 15")
    assert browse.run_cell(page, "cell-1").locator(".jp-OutputArea-output").inner_text() == "(16, 1, 1)"
    board.get_by_role("slider", name="Step", exact=True).focus()
    page.keyboard.press("ArrowLeft")
    expect(board).to_contain_text("No chunk has come yet")
    browse.assert_clean(page)


def test_programs_over_multiprocessors_follow_keys_and_pointer_in_both_themes(lab: Any, page: Any, browse: Any) -> None:
    make = "from labkit.widgets import SplitView\nview = SplitView()\nview"
    panel = browse.open_notebook(
        page, lab, lab.write_notebook("split.ipynb", [make, "view.choice['splits'], view.answer['row']"])
    )
    browse.run_all(page)
    view = panel.locator(".lk-split-view")
    expect(view).to_contain_text("8 programs in 1 wave")
    ranges = view.get_by_role("slider", name="ranges of each context")
    ranges.focus()
    for _ in range(15):
        page.keyboard.press("ArrowRight")
    expect(ranges).to_have_text("16")
    expect(view).to_contain_text("512 pages one after another; 3% of the chip")
    page.keyboard.press("ArrowUp")
    expect(view).to_contain_text("136 programs in 2 waves")
    assert "(17, '964')" in browse.run_cell(page, "cell-1").locator(".jp-OutputArea-output").inner_text()
    drag(page, view.get_by_role("slider", name="sequences", exact=True), 14 * 3)
    expect(view).to_contain_text("4 sequences of 131,072 tokens")
    view.get_by_role("combobox", name="card").select_option("L4")
    expect(view).to_contain_text("with its 58 multiprocessors")
    for dark in (True, False):
        browse.set_theme(page, dark)
        for width, height in ((1100, 700), (1400, 900)):
            page.set_viewport_size({"width": width, "height": height})
            browse.shoot(page, f"split-view-{'dark' if dark else 'light'}-{width}", view)
    browse.assert_clean(page)


def test_an_outlier_is_dragged_by_keyboard_and_mouse_and_the_others_pay(lab: Any, page: Any, browse: Any) -> None:
    make = "from labkit.widgets import QuantPlay\nplay = QuantPlay()\nplay"
    panel = browse.open_notebook(page, lab, lab.write_notebook("quant.ipynb", [make, "play"]))
    browse.run_all(page)
    board = panel.locator(".lk-quant-play").first
    handle = board.get_by_role("slider", name="the eighth number")
    expect(board).to_contain_text("1 / 127 = 0.0079")
    handle.focus()
    page.keyboard.press("End")
    expect(board).to_contain_text("16 / 127 = 0.1260")
    assert handle.get_attribute("aria-valuetext") == "16"
    page.keyboard.press("ArrowLeft")
    expect(board).to_contain_text("12 / 127 = 0.0945")
    box = handle.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] - 60, box["y"] + 10)
    page.mouse.up()
    expect(board).not_to_contain_text("12 / 127")
    board.get_by_role("radio", name="e4m3").check(force=True)
    expect(board).to_contain_text("/ 448")
    board.get_by_role("radio", name="one for all heads").check(force=True)
    expect(board).to_contain_text("e4m3, one scale for all heads: 24 / 448")
    assert "one scale for all heads" in browse.run_cell(page, "cell-1").inner_text()
    for width, height in ((1100, 700), (1400, 900)):
        page.set_viewport_size({"width": width, "height": height})
        for dark in (True, False):
            browse.set_theme(page, dark)
            browse.shoot(page, f"quant-{width}-{'dark' if dark else 'light'}", board)
    browse.assert_clean(page)


def test_addresses_step_and_are_walked_by_keyboard_in_both_themes(lab: Any, page: Any, browse: Any) -> None:
    make = """
from labkit.kernels.recording import can_launch, record
from labkit.widgets import AddressPicture
can_launch()
from kvkernels import tl, triton

@triton.jit
def wrong(out, cache, block_table, length, HEAD_DIM: tl.constexpr, PAGE: tl.constexpr):
    page = tl.program_id(0)
    block = tl.load(block_table + page).to(tl.int64) + page // 2 * 2
    lane = tl.arange(0, PAGE * HEAD_DIM)
    tl.load(cache + (block - page % 2 * 3) * PAGE * HEAD_DIM + lane)

board = AddressPicture.of(record(wrong, "labkit.specs.first_kernel.scenes:one_request"), step=0, title="Addresses")
board
"""
    panel = browse.open_notebook(page, lab, lab.write_notebook("addresses.ipynb", [make, "board.step"]))
    browse.run_all(page)
    board = panel.locator(".lk-address-picture")
    expect(board).to_contain_text("Nothing has run yet.")
    slider = board.get_by_role("slider", name="Step", exact=True)
    slider.focus()
    page.keyboard.press("ArrowRight")
    expect(board.locator(".lkap-say")).to_have_text(
        "Program 0 reads 32 numbers of cache: slots 0 to 3 of block 4, page 0."
    )
    page.keyboard.press("End")
    expect(board.locator(".lkap-say.lkap-bad")).to_contain_text("Program (1, 0, 0) reads")
    board.locator(".lkap-stage").focus()
    expect(board).to_have_class(re.compile("lk-walks"))
    page.keyboard.press("ArrowRight")
    expect(board.locator(".lkap-tip")).to_contain_text("Program 0, block 0: not touched.")
    for width, height in ((1100, 700), (1400, 900)):
        page.set_viewport_size({"width": width, "height": height})
        for dark in (True, False):
            browse.set_theme(page, dark)
            browse.shoot(page, f"addresses-{'dark' if dark else 'light'}-{width}", board)
    page.keyboard.press("Escape")
    expect(slider).to_be_focused()
    page.keyboard.press("Home")
    expect(board).to_contain_text("Nothing has run yet.")
    assert browse.run_cell(page, "cell-1").locator(".jp-OutputArea-output").inner_text() == "0"
    browse.assert_clean(page)
