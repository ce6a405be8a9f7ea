"""OnlineSoftmax: one query over the pages of a request, one page at a time, beside what two passes give."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from labkit.errors import LabkitError
from labkit.widgets.base import LabWidget
from labkit.words import plural

if TYPE_CHECKING:
    from torch import Tensor

MOST = 24
"""Slots that are drawn; more would not fit beside each other."""


class OnlineSoftmax(LabWidget):
    """Scores in the order of the block table, and the state (m, l, acc) after each page.

    The state is computed here, page by page, by `update`; the page of the browser only shows it.

    Args:
        scores: of one query, [tokens], finite.
        values: [tokens, dv], dv 1 to 4.
        block_table: the block of each page; as many as the tokens need.
        block_size: slots of a page.
        update: what folds a page in, as `labkit.attention.paged.online_update`; that one unless told otherwise.
        step: how many pages are read at first.
        title, subtitle: above the picture.

    Raises:
        LabkitError: tables, tokens and values do not fit, or there is too much to draw.
    """

    _name: ClassVar[str] = "online_softmax"

    title = traitlets.Unicode().tag(sync=True)
    subtitle = traitlets.Unicode().tag(sync=True)
    pages = traitlets.List(help="{block, scores}; None where a slot holds no token").tag(sync=True)
    states = traitlets.List(help="{m, l, out, say} after 0, 1, ... pages").tag(sync=True)
    exact = traitlets.Dict(help="{m, l, out} of two passes").tag(sync=True)
    step = traitlets.Int(0).tag(sync=True)

    def __init__(
        self,
        scores: Tensor,
        values: Tensor,
        block_table: Sequence[int],
        block_size: int = 4,
        update: Callable[..., tuple[Tensor, Tensor, Tensor]] | None = None,
        step: int = 0,
        title: str = "Softmax, one page at a time",
        subtitle: str = "",
    ) -> None:
        tokens = len(scores)
        if len(block_table) != -(-tokens // block_size) or len(values) != tokens or not 1 <= values.shape[-1] <= 4:
            raise LabkitError(
                f"{plural(tokens, 'score')}, {plural(len(values), 'value')} of {values.shape[-1]} and "
                f"{plural(len(block_table), 'page')} of {block_size} do not fit: give a value of 1 to 4 numbers for "
                "each score, and a block for each page."
            )
        if len(block_table) * block_size > MOST:
            raise LabkitError(f"{plural(len(block_table) * block_size, 'slot')} cannot be drawn: give at most {MOST}.")
        parts = [slice(i, min(i + block_size, tokens)) for i in range(0, tokens, block_size)]
        states, exact = _states(scores, values, parts, update)
        for k, state in enumerate(states):
            state["say"] = _sentence(states, k, block_table, parts, block_size, exact)
        super().__init__(
            title=title,
            subtitle=subtitle,
            pages=[
                {"block": int(b), "scores": scores[p].tolist() + [None] * (block_size - (p.stop - p.start))}
                for b, p in zip(block_table, parts, strict=True)
            ],
            states=states,
            exact=exact,
            step=max(0, min(int(step), len(parts))),
        )

    def summary(self) -> str:
        tokens = sum(score is not None for page in self.pages for score in page["scores"])
        end = self.states[-1]
        return (
            f"OnlineSoftmax({plural(tokens, 'token')} in {plural(len(self.pages), 'page')}; in the end "
            f"m {_short(end['m'])}, l {_short(end['l'])}, output ({', '.join(map(_short, end['out']))}))"
        )

    def text_form(self) -> str:
        return "\n".join([self.summary(), *(state["say"] for state in self.states)])


def _states(
    scores: Tensor, values: Tensor, parts: list[slice], update: Callable[..., Any] | None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The state after 0, 1, ... pages, and that of two passes."""
    import torch

    from labkit.attention.paged import online_update

    m, l, acc = scores.new_full((1,), -math.inf), scores.new_zeros(1), scores.new_zeros(1, values.shape[1])  # noqa: E741
    states: list[dict[str, Any]] = [{"m": None, "l": 0.0, "out": None}]
    for part in parts:
        m, l, acc = (update or online_update)(m, l, acc, scores[None, part], values[part])  # noqa: E741
        states.append({"m": float(m), "l": float(l), "out": (acc / l[:, None])[0].tolist()})
    p = torch.exp(scores - scores.max())
    return states, {"m": float(scores.max()), "l": float(p.sum()), "out": ((p @ values) / p.sum()).tolist()}


def _sentence(
    states: list[dict[str, Any]], k: int, blocks: Sequence[int], parts: list[slice], size: int, exact: dict[str, Any]
) -> str:
    """What the page that was read last has changed."""
    if k == 0:
        return "Nothing is read yet: m is minus infinity, l and acc are 0."
    old, new = states[k - 1]["m"], states[k]["m"]
    said = f"Page {k - 1} lies in block {blocks[k - 1]}"
    if old is None:
        said += f": its largest score, {_short(new)}, is the first m, and nothing is there to rescale."
    elif new > old:
        said += (
            f" and has a larger score, {_short(new)}: l and acc so far are multiplied by exp({_short(old)} \u2212 "
            f"{_short(new)}) = {math.exp(old - new):.2f}, then its terms are added."
        )
    else:
        said += f" and has no score above {_short(old)}: its terms are added, and what was summed stays as it is."
    if k == len(parts):
        full = parts[-1].stop - parts[-1].start
        said += f" Only {full} of its {size} slots are read." if full < size else ""
        meets = all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(states[k]["out"], exact["out"], strict=True))
        said += f" The output is {'what' if meets else 'not what'} two passes give."
    return said


def _short(x: float) -> str:
    return f"{x:.2f}".replace("-", "\u2212")
