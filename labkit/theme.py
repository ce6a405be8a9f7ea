"""The look of the course, in one place: colours, type, spacing, radius and motion.

Widgets read the tokens as CSS variables (`css()`), figures as matplotlib settings (`use_mpl()`, or the file
`labkit.mplstyle`, which `mplstyle_text()` writes). Both come from the same tables below, so a sequence keeps its
colour wherever it is drawn.

Contrast: every colour that carries text reaches 4.5:1 on the panel and on the sunk surface of its theme, and the
letter drawn on a sequence's fill reaches 4.5:1 on that fill (WCAG 2.2, 1.4.3). Colour never stands alone: letters,
fill height, slash, badge and dash carry the same message.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

LIGHT: dict[str, str] = {
    "bg": "#ffffff",
    "panel": "#ffffff",
    "sunk": "#f6f7f9",
    "line": "#dfe3e8",
    "edge": "#8b95a2",  # the rim of a control that must be seen: 3:1 on the panel
    "ink": "#1b2430",
    "dim": "#5d6876",
    "faint": "#98a2af",  # never text
    "accent": "#2a66d1",
    "onaccent": "#ffffff",
    "ok": "#1a7d44",
    "bad": "#c2332a",
    "warn": "#8f5d0c",
    "free": "#eef1f4",
    "cached": "#dfe5ec",
    "held": "#66717f",  # held, but by no sequence that has a name
    "onfill": "#ffffff",
}
"""Surface and status colours of the light theme."""

DARK: dict[str, str] = {
    "bg": "#11161d",
    "panel": "#171d26",
    "sunk": "#1d2530",
    "line": "#2c3643",
    "edge": "#6d7a89",
    "ink": "#e6ebf1",
    "dim": "#a2afbd",
    "faint": "#6d7a89",
    "accent": "#6ea2ff",
    "onaccent": "#0b1220",
    "ok": "#4cc381",
    "bad": "#ff7a6b",
    "warn": "#e2b04a",
    "free": "#222b37",
    "cached": "#2f3a48",
    "held": "#8492a2",
    "onfill": "#0d131b",
}
"""Surface and status colours of the dark theme."""

SEQUENCE_LIGHT: tuple[str, ...] = (
    "#41719f", "#b35617", "#24795b", "#a23f77", "#7d6c17", "#1c7a9f", "#6b57b8", "#7f5b40",
)  # fmt: skip
"""Fill of a sequence in the light theme, by slot."""

SEQUENCE_DARK: tuple[str, ...] = (
    "#6ba3dd", "#f29a5e", "#4fc39a", "#d879ad", "#c9b64f", "#6cc9ec", "#a796f2", "#cda683",
)  # fmt: skip
"""Fill of a sequence in the dark theme, by slot."""

SPACE: dict[str, int] = {"u1": 4, "u2": 8, "u3": 12, "u4": 16, "u5": 24}
"""Spacing in CSS pixels, multiples of one unit."""

RADIUS: dict[str, int] = {"r1": 3, "r2": 6, "r3": 10}
"""Corner radius in CSS pixels: a block, a control, a card."""

MOTION: dict[str, int] = {"quick": 90, "change": 150}
"""Milliseconds. Nothing moves longer than `change`, and nothing at all under reduced motion."""

TYPE: dict[str, float] = {"small": 11.5, "note": 12.0, "body": 13.0, "title": 14.0, "big": 22.0}
"""Font sizes in CSS pixels."""

FONT = 'system-ui, "Segoe UI", Inter, "DejaVu Sans", sans-serif'
MONO = 'ui-monospace, "JetBrains Mono", "DejaVu Sans Mono", monospace'

# JupyterLab's own variables, where it has one with the same meaning. Its success and warning colours are left out:
# as text on its own background they miss 4.5:1.
_FROM_JUPYTER: dict[str, str] = {
    "bg": "--jp-layout-color0",
    "panel": "--jp-layout-color0",
    "ink": "--jp-content-font-color1",
    "accent": "--jp-brand-color1",
}

STYLE_FILE = Path(__file__).with_name("labkit.mplstyle")
"""The matplotlib style written from these tokens."""


def sequence_slot(name: str) -> int:
    """Index into the sequence colours for a sequence called `name`.

    A, B, C ... take the colours in order, and so do names that end in a number (`req-3`, `seq 11`). Any other name
    is hashed, so that it has the same colour in every session.
    """
    count = len(SEQUENCE_LIGHT)
    text = name.strip()
    if len(text) == 1 and text.isascii() and text.isalpha():
        return (ord(text.upper()) - ord("A")) % count
    number = re.search(r"(\d+)$", text)
    if number:
        return int(number.group(1)) % count
    return zlib.crc32(text.encode()) % count


def sequence_color(name: str, dark: bool = False) -> str:
    """The colour, as `#rrggbb`, that the sequence `name` has in every widget and figure."""
    return (SEQUENCE_DARK if dark else SEQUENCE_LIGHT)[sequence_slot(name)]


def palette(dark: bool = False) -> dict[str, str]:
    """Surface and status colours of one theme, as `#rrggbb` by token name."""
    return dict(DARK if dark else LIGHT)


def css() -> str:
    """The tokens as CSS variables on `.lk`, the class that every widget's root carries.

    JupyterLab says which theme it wears on `body[data-jp-theme-light]`; anywhere else the light one holds.
    """

    def block(selector: str, colors: dict[str, str], sequences: tuple[str, ...], scheme: str) -> str:
        lines = [f"  color-scheme: {scheme};"]
        for name, value in colors.items():
            source = _FROM_JUPYTER.get(name)
            lines.append(f"  --lk-{name}: var({source}, {value});" if source else f"  --lk-{name}: {value};")
        lines += [f"  --lk-s{i}: {value};" for i, value in enumerate(sequences)]
        return selector + " {\n" + "\n".join(lines) + "\n}\n"

    shape = [f"  --lk-{name}: {value}px;" for name, value in {**SPACE, **RADIUS}.items()]
    shape += [f"  --lk-{name}: {value}ms;" for name, value in MOTION.items()]
    shape += [f"  --lk-size-{name}: {value:g}px;" for name, value in TYPE.items()]
    shape.append(f"  --lk-font: var(--jp-ui-font-family, {FONT});")
    shape.append(f"  --lk-mono: var(--jp-code-font-family, {MONO});")
    return (
        ".lk {\n"
        + "\n".join(shape)
        + "\n}\n"
        + block(".lk", LIGHT, SEQUENCE_LIGHT, "light")
        + block('body[data-jp-theme-light="false"] .lk', DARK, SEQUENCE_DARK, "dark")
    )


def mpl_settings(dark: bool = False) -> dict[str, Any]:
    """The tokens as matplotlib rcParams. Colours are written without `#`, which starts a comment in a style file."""
    colors = {name: value.lstrip("#") for name, value in palette(dark).items()}
    sequences = [value.lstrip("#") for value in (SEQUENCE_DARK if dark else SEQUENCE_LIGHT)]
    return {
        "figure.facecolor": colors["bg"],
        "figure.dpi": 100,
        "figure.figsize": "7.5, 3.6",
        "figure.constrained_layout.use": True,
        "savefig.facecolor": colors["bg"],
        "savefig.dpi": 120,
        "font.family": "sans-serif",
        "font.sans-serif": "DejaVu Sans",
        "font.size": 10,
        "text.color": colors["ink"],
        "axes.facecolor": colors["panel"],
        "axes.edgecolor": colors["edge"],
        "axes.linewidth": 0.8,
        "axes.labelcolor": colors["dim"],
        "axes.labelsize": 10,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.titlecolor": colors["ink"],
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.prop_cycle": "cycler('color', [" + ", ".join(f"'{value}'" for value in sequences) + "])",
        "grid.color": colors["line"],
        "grid.linewidth": 0.8,
        "xtick.color": colors["edge"],
        "xtick.labelcolor": colors["dim"],
        "ytick.color": colors["edge"],
        "ytick.labelcolor": colors["dim"],
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "lines.linewidth": 1.8,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "hatch.linewidth": 0.7,
    }


def mplstyle_text() -> str:
    """The text of `labkit.mplstyle`; a test keeps the file equal to it."""
    head = "# Written by labkit.theme.write_mplstyle() from the tokens in labkit/theme.py: change those, not this.\n"
    return head + "".join(f"{key}: {value}\n" for key, value in mpl_settings().items())


def write_mplstyle(path: Path = STYLE_FILE) -> None:
    """Write the style file again after a token has changed."""
    path.write_text(mplstyle_text(), encoding="utf-8")


def use_mpl(dark: bool = False) -> None:
    """Give every matplotlib figure from here on the look of the course (light unless `dark`)."""
    import matplotlib

    matplotlib.rcParams.update(rc_params(dark))


def rc_params(dark: bool = False) -> Any:
    """The same settings as parsed `RcParams`, for `matplotlib.rc_context(rc_params())`."""
    import matplotlib

    if not dark:
        return matplotlib.rc_params_from_file(STYLE_FILE, use_default_template=False)
    settings = mpl_settings(dark=True)
    cycle = settings.pop("axes.prop_cycle")
    colors = re.findall(r"'([0-9a-f]{6})'", cycle)
    params = matplotlib.rc_params_from_file(STYLE_FILE, use_default_template=False)
    params.update({key: value for key, value in settings.items() if isinstance(value, str) and key in params})
    params["axes.prop_cycle"] = matplotlib.cycler("color", colors)
    return params


if __name__ == "__main__":
    write_mplstyle()
