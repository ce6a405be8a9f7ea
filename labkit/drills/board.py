"""A board as text: a line a figure, a column a window."""

from __future__ import annotations

import numpy as np

from labkit.drills.evidence import shown
from labkit.observe.series import FIGURES, Series

BARS = "▁▂▃▄▅▆▇█"
UNKNOWN = "·"


def sparkline(values: np.ndarray) -> str:
    """A bar for each number, the highest bar for the greatest of them, the lowest for 0."""
    known = values[np.isfinite(values)]
    most = float(known.max()) if len(known) and known.max() > 0 else 1.0
    return "".join(
        BARS[min(len(BARS) - 1, int(value / most * len(BARS)))] if np.isfinite(value) else UNKNOWN for value in values
    )


def board_lines(board: Series) -> list[str]:
    """The figures of a board that are known, each with its least and greatest value, over a scale of windows."""
    names = shown(board)
    wide = max(map(len, names))
    scale = "".join(str(at // 10) if at % 10 == 0 else "." if at % 5 else "5" for at in range(len(board)))
    lines = [f"{'window':{wide}}  {scale}  least to greatest ({board.seconds[0]:g} s a window)"]
    for name in names:
        values, figure = board[name], FIGURES[name]
        least, most = np.nanmin(values), np.nanmax(values)
        lines.append(f"{name:{wide}}  {sparkline(values)}  {least:.3g} to {most:.3g} {figure.unit}: {figure.title}")
    return lines
