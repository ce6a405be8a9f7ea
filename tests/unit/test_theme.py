"""The tokens: one source for page and figure, readable in both themes."""

from __future__ import annotations

import re

import matplotlib
import pytest
from contrast import contrast

from labkit import theme

THEMES = [
    pytest.param(theme.LIGHT, theme.SEQUENCE_LIGHT, "#ffffff", id="light"),
    pytest.param(theme.DARK, theme.SEQUENCE_DARK, "#111111", id="dark"),  # JupyterLab's own dark page
]


@pytest.mark.parametrize(("colors", "sequences", "page"), THEMES)
def test_every_text_colour_reaches_aa(colors, sequences, page):
    text = {name: colors[name] for name in ("ink", "dim", "accent", "ok", "bad", "warn")}
    text |= {f"s{i}": value for i, value in enumerate(sequences)}
    # The accent is never set as text on the sunk surface, and JupyterLab's accent replaces it in the page.
    for name, color in text.items():
        for surface in (page, colors["panel"], colors["sunk"]):
            assert contrast(color, surface) >= 4.5 or (name == "accent" and surface == colors["sunk"]), (name, surface)


@pytest.mark.parametrize(("colors", "sequences", "page"), THEMES)
def test_a_letter_can_be_read_on_every_fill(colors, sequences, page):
    for fill in (*sequences, colors["held"]):
        assert contrast(colors["onfill"], fill) >= 4.5, fill
    assert contrast(colors["onaccent"], colors["accent"]) >= 4.5


@pytest.mark.parametrize(("colors", "sequences", "page"), THEMES)
def test_the_rim_of_a_control_can_be_seen(colors, sequences, page):
    assert contrast(colors["edge"], page) >= 3.0


def test_both_themes_name_the_same_tokens():
    assert theme.LIGHT.keys() == theme.DARK.keys()
    assert len(theme.SEQUENCE_LIGHT) == len(theme.SEQUENCE_DARK) == len(set(theme.SEQUENCE_LIGHT))


def test_a_sequence_keeps_its_colour():
    assert theme.sequence_color("A") == theme.SEQUENCE_LIGHT[0] == theme.sequence_color("a")
    assert theme.sequence_color("B", dark=True) == theme.SEQUENCE_DARK[1]
    assert theme.sequence_slot("I") == theme.sequence_slot("A"), "eight colours, then from the first again"
    assert theme.sequence_slot("req-3") == theme.sequence_slot("seq 11") == 3
    assert theme.sequence_slot("chat") == theme.sequence_slot("chat")
    assert {theme.sequence_slot(name) for name in "ABCDEFGH"} == set(range(8))


def test_css_defines_every_token_for_both_themes():
    text = theme.css()
    light, dark = text.split('body[data-jp-theme-light="false"] .lk')
    for name in theme.LIGHT:
        assert f"--lk-{name}: " in light and f"--lk-{name}: " in dark
    for slot in range(8):
        assert f"--lk-s{slot}: {theme.SEQUENCE_LIGHT[slot]};" in light
        assert f"--lk-s{slot}: {theme.SEQUENCE_DARK[slot]};" in dark
    assert "var(--jp-layout-color0, #ffffff)" in light
    assert not re.search(r"https?:", text)


def test_style_file_is_the_one_the_tokens_give():
    assert theme.STYLE_FILE.read_text(encoding="utf-8") == theme.mplstyle_text()


def test_matplotlib_takes_the_sequence_colours():
    with matplotlib.rc_context():
        theme.use_mpl()
        assert matplotlib.rcParams["axes.prop_cycle"].by_key()["color"] == list(theme.SEQUENCE_LIGHT)
        theme.use_mpl(dark=True)
        assert matplotlib.rcParams["axes.prop_cycle"].by_key()["color"] == list(theme.SEQUENCE_DARK)
        assert matplotlib.colors.to_hex(matplotlib.rcParams["figure.facecolor"]) == theme.DARK["bg"]
