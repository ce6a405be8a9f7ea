"""QuantPlay: eight numbers of one head, the grid that 8 bits and a scale lay under them, and an outlier to drag."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import traitlets

from labkit.errors import LabkitError
from labkit.widgets.base import LabWidget

NUMBERS = (-0.71, -0.43, -0.18, 0.05, 0.32, 0.5, 0.94)
"""The seven that stay where they are."""
LARGEST = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0)
"""What the eighth can be."""
NEIGHBOUR = 24.0
"""The largest number of another head, which counts where one scale serves all heads."""
FORMATS = ("int8", "e4m3", "4 bits")
SCOPES = ("head", "all")


class QuantPlay(LabWidget):
    """Two lines of numbers: the whole head with its outlier, and the other seven enlarged over the grid of the page.

    What is kept and read is computed here for every choice; the page only shows it.

    Args:
        quantize: as `labkit.attention.head_scales.quantize_heads`, which it is unless told otherwise.
        largest: one of `LARGEST`.
        format: "int8", "e4m3" or "4 bits".
        scope: "head" for a scale per head, "all" for one that another head shares.

    Raises:
        LabkitError: a choice that is not offered.
    """

    _name: ClassVar[str] = "quant_play"

    numbers = traitlets.List().tag(sync=True)
    largests = traitlets.List().tag(sync=True)
    neighbour = traitlets.Float().tag(sync=True)
    levels = traitlets.Dict(help="by format: what a page can hold, from 0 up, in units of the scale").tag(sync=True)
    answers = traitlets.Dict(help="by `key`: scale, kept, read, worst, say").tag(sync=True)
    largest = traitlets.Float().tag(sync=True)
    format = traitlets.Unicode().tag(sync=True)
    scope = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        quantize: Callable[..., Any] | None = None,
        largest: float = 1.0,
        format: str = "int8",
        scope: str = "head",
    ) -> None:
        for name, value, offered in (
            ("largest", largest, LARGEST),
            ("format", format, FORMATS),
            ("scope", scope, SCOPES),
        ):
            if value not in offered:
                raise LabkitError(f"{name} is {value!r:.60}; choose one of {', '.join(map(str, offered))}.")
        super().__init__(
            numbers=list(NUMBERS),
            largests=list(LARGEST),
            neighbour=NEIGHBOUR,
            levels=_levels(),
            answers={
                key(*choice): _answer(quantize, *choice)
                for choice in ((f, s, top) for f in FORMATS for s in SCOPES for top in LARGEST)
            },
            largest=float(largest),
            format=format,
            scope=scope,
        )

    def summary(self) -> str:
        return f"QuantPlay({self.answers[key(self.format, self.scope, self.largest)]['say']})"


def key(format: str, scope: str, largest: float) -> str:
    """Under which name an answer stands."""
    return f"{format} {scope} {largest:g}"


def _levels() -> dict[str, list[float]]:
    import torch

    e4m3 = torch.arange(127, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    return {"int8": [float(i) for i in range(128)], "e4m3": e4m3.tolist(), "4 bits": [float(i) for i in range(8)]}


def _answer(quantize: Callable[..., Any] | None, format: str, scope: str, largest: float) -> dict[str, Any]:
    import torch

    from labkit.attention.head_scales import quantize_heads

    x = torch.tensor([*NUMBERS, largest]).reshape(1, 1, 8)
    top = max(largest, NEIGHBOUR) if scope == "all" else largest
    holds = {"int8": 127.0, "e4m3": 448.0, "4 bits": 7.0}[format]
    dtype = torch.float8_e4m3fn if format == "e4m3" else torch.int8
    pages, scale = (quantize or quantize_heads)(x, dtype, torch.tensor([top / holds]))
    kept, read = pages.float().flatten(), (pages.float() * scale[:, None]).flatten()
    off = (read - x.flatten()).abs()[:7]
    worst = int(off.argmax())
    whose = "this head" if scope == "head" else "all heads"
    say = (
        f"{format}, one scale for {whose}: {top:g} / {holds:g} = {float(scale):.4f}. The worst of the other seven: "
        f"{NUMBERS[worst]:g} is kept as {float(kept[worst]):g} and read as {float(read[worst]):.4f}, off by "
        f"{float(off[worst]):.4f}. {4 if format == '4 bits' else 8} bytes for the eight numbers, 16 in bfloat16."
    ).replace("-", "\u2212")
    return {"scale": float(scale), "kept": kept.tolist(), "read": read.tolist(), "worst": worst, "say": say}
