"""SplitView: the programs of a decode step over the multiprocessors of a card, in waves."""

from __future__ import annotations

from typing import Any, ClassVar

import traitlets

from labkit.attention.split import choose_splits, pages_in_a_row, state_bytes
from labkit.errors import LabkitError
from labkit.simulate.cost_model import CARDS
from labkit.widgets.base import LabWidget
from labkit.widgets.token_cost import size_text
from labkit.words import plural

PAGE, HEAD_DIM, GROUP, NUMBER = 16, 128, 4, 2
"""Tokens per page, numbers of a head, query heads that share a KV head, and bytes of a number in the pages."""

CHOICES: dict[str, list[Any]] = {
    "card": list(CARDS),
    "seqs": [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64],
    "kv_heads": [1, 2, 4, 8, 16],
    "tokens": [128, 512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072],
    "splits": [*range(1, 41), 48, 64, 96, 128],
}
"""What each number in the sentence can be."""


class SplitView(LabWidget):
    """A column for each multiprocessor, a box for each program, as high as the pages that it reads.

    It counts pages and knows no time: one program at a time on a multiprocessor, all of them as long as the longest
    range. The counts are those of `labkit.attention.split`, made here in Python: the page only shows them.

    Args:
        seqs, kv_heads, tokens, splits, card: what the sentence says at first; values of `CHOICES`. Each sequence has so
            many tokens, in pages of 16.

    Raises:
        LabkitError: a value that is not among them.
    """

    _name: ClassVar[str] = "split_view"

    choices = traitlets.Dict().tag(sync=True)
    choice = traitlets.Dict().tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)

    def __init__(
        self, seqs: int = 1, kv_heads: int = 8, tokens: int = 131_072, splits: int = 1, card: str = "H100"
    ) -> None:
        choice = {"card": card, "seqs": seqs, "kv_heads": kv_heads, "tokens": tokens, "splits": splits}
        for name, value in choice.items():
            if value not in CHOICES[name]:
                raise LabkitError(f"{name} is {value!r}; choose one of {', '.join(map(str, CHOICES[name]))}.")
        super().__init__(choices=CHOICES, choice=choice, answer=answer_for(choice))

    @traitlets.observe("choice")
    def _changed(self, change: dict[str, Any]) -> None:
        self.answer = answer_for(change["new"])

    def summary(self) -> str:
        c, a = self.choice, self.answer
        return (
            f"SplitView({plural(c['seqs'], 'sequence')} of {c['tokens']:,} tokens, {plural(c['kv_heads'], 'KV head')}, "
            f"{c['card']}, {plural(c['splits'], 'range')}: {a['say']})"
        )


def answer_for(choice: dict[str, Any]) -> dict[str, Any]:
    """What follows from a choice: counts to draw, and words. `for` repeats the choice that it answers."""
    seqs, kv_heads, tokens, splits = (int(choice[name]) for name in ("seqs", "kv_heads", "tokens", "splits"))
    chip, pages = CARDS[choice["card"]].multiprocessors, -(-tokens // PAGE)
    longest = -(-pages // splits)
    used = -(-pages // longest)  # ranges that are not empty: the programs of the others are over at once
    whole, programs = seqs * kv_heads, seqs * kv_heads * used
    waves = -(-programs // chip)
    row, uncut = waves * longest, pages_in_a_row(whole, pages, chip, 1)
    without = max(0, chip - programs)
    added = state_bytes(seqs, GROUP * kv_heads, HEAD_DIM, splits)
    share = added / (seqs * tokens * kv_heads * 2 * HEAD_DIM * NUMBER)
    idle = 1 - whole * pages / (chip * row)
    best = choose_splits(whole, pages, chip)
    count = plural(programs, "program")
    if used < splits:
        count += f" (and {whole * (splits - used):,} with nothing to read)"
    return {
        "for": dict(choice), "multiprocessors": chip, "programs": programs, "waves": waves, "without": without,
        "longest": longest, "scale": max(uncut, row), "row": f"{row:,}", "count": count,
        "rounds": plural(waves, "wave"), "idle": f"{idle:.0%}",
        "states": f"{size_text(added)}, {share:.1%} of the keys and values" if added else "none",
        "compare": f"In one range each: {uncut:,} pages in a row. By the rule of this lesson: {plural(best, 'range')}.",
        "say": f"{count} in {plural(waves, 'wave')}, {row:,} pages in a row, {without} of {chip} "
        f"multiprocessors without a program",
    }  # fmt: skip
