"""ChunkPlay: a prompt that comes in chunks, queries against keys, and what each chunk reads, computes and hides."""

from __future__ import annotations

from typing import Any, ClassVar

import traitlets

from labkit.errors import LabkitError
from labkit.widgets.base import LabWidget
from labkit.words import plural

SIZES = (1, 2, 3, 4, 5, 6, 8, 12, 16)
"""What the size of a chunk can be."""
WINDOWS = (1, 3, 5, 8, 0)
"""What the window can be; 0 for none."""
TOKENS, PAGE = 16, 4
BLOCKS = (6, 1, 3, 4)
"""Where the four pages of the prompt lie."""


class ChunkPlay(LabWidget):
    """Queries (rows) against keys (columns) of a prompt of 16 tokens over four pages, chunk by chunk.

    A tile of keys is a page here. What a chunk sees is worked out in Python for every size and window; the page of the
    browser colours cells by the bounds that it is given.

    Args:
        chunk: tokens of a chunk, one of `SIZES`.
        window: keys that a token sees, itself among them, one of `WINDOWS`; None and 0 for all.
        step: how many chunks have come at first.

    Raises:
        LabkitError: a size or a window that cannot be chosen.
    """

    _name: ClassVar[str] = "chunk_play"

    tokens = traitlets.Int(TOKENS).tag(sync=True)
    page = traitlets.Int(PAGE).tag(sync=True)
    blocks = traitlets.List(list(BLOCKS)).tag(sync=True)
    sizes = traitlets.List(list(SIZES)).tag(sync=True)
    windows = traitlets.List(list(WINDOWS)).tag(sync=True)
    chunk = traitlets.Int().tag(sync=True)
    window = traitlets.Int().tag(sync=True)
    step = traitlets.Int().tag(sync=True)
    answers = traitlets.Dict(help='by "chunk/window": what each chunk does').tag(sync=True)

    def __init__(self, chunk: int = 5, window: int | None = None, step: int = 0) -> None:
        for name, value, known in (("chunk", chunk, SIZES), ("window", window or 0, WINDOWS)):
            if value not in known:
                raise LabkitError(f"{name} is {value!r}; choose one of {', '.join(map(str, known))}.")
        answers = {f"{size}/{width}": _chunks(size, width) for size in SIZES for width in WINDOWS}
        most = len(answers[f"{chunk}/{window or 0}"])
        super().__init__(chunk=chunk, window=window or 0, step=max(0, min(int(step), most)), answers=answers)

    def summary(self) -> str:
        width = f"window of {self.window}" if self.window else "no window"
        end = self.answers[f"{self.chunk}/{self.window}"][-1]["total"]
        return (
            f"ChunkPlay({TOKENS} tokens in chunks of {self.chunk}, {width}: {end['cells']} cells computed, "
            f"{end['masked']} of them hidden, {end['past'] + end['own']} keys read)"
        )

    def text_form(self) -> str:
        chunks = self.answers[f"{self.chunk}/{self.window}"]
        lines = [self.summary(), "o: a key of the same chunk, p: one of earlier pages, -: computed and hidden"]
        for chunk in chunks:
            for query in range(chunk["first"], chunk["stop"]):
                lines.append(
                    f"{query:3} " + "".join(_cell(chunk, query, key, self.window) for key in range(TOKENS)).rstrip()
                )
        return "\n".join([*lines, *(chunk["say"] for chunk in chunks)])


def _sees(query: int, key: int, window: int) -> bool:
    return key <= query and (not window or key > query - window)


def _cell(chunk: dict[str, Any], query: int, key: int, window: int) -> str:
    if not chunk["from"] <= key < chunk["to"]:
        return " "
    if not _sees(query, key, window):
        return "-"
    return "o" if key >= chunk["first"] else "p"


def _chunks(size: int, window: int) -> list[dict[str, Any]]:
    """For each chunk: its tokens `first` to `stop`, the keys of its tiles `from` to `to`, counts, and a sentence."""
    found: list[dict[str, Any]] = []
    total = dict.fromkeys(("past", "own", "cells", "masked"), 0)
    for first in range(0, TOKENS, size):
        stop = min(first + size, TOKENS)
        low = max(0, first - window + 1) if window else 0
        chunk: dict[str, Any] = {
            "first": first, "stop": stop, "low": low, "from": low // PAGE * PAGE, "to": -(-stop // PAGE) * PAGE,
            "past": first - low, "own": stop - first,
        }  # fmt: skip
        chunk["cells"] = (stop - first) * (chunk["to"] - chunk["from"])
        chunk["masked"] = chunk["cells"] - sum(
            _sees(query, key, window) for query in range(first, stop) for key in range(low, stop)
        )
        total = {name: value + chunk[name] for name, value in total.items()}
        chunk["total"] = total
        chunk["say"] = _sentence(chunk, len(found))
        found.append(chunk)
    return found


def _sentence(chunk: dict[str, Any], number: int) -> str:
    first, last = chunk["first"], chunk["stop"] - 1
    which = f"token {first}" if first == last else f"tokens {first} to {last}"
    own = "its own" if first == last else f"{chunk['own']} of its own"
    past = f"{plural(chunk['past'], 'key')} of earlier chunks" if chunk["past"] else "no key of earlier chunks"
    tiles = (chunk["to"] - chunk["from"]) // PAGE
    said = (
        f"Chunk {number} brings {which} and reads {past} and {own}. {plural(tiles, 'tile')} of {PAGE} keys make "
        f"{plural(chunk['cells'], 'cell')}, {chunk['masked']} of them hidden."
    )
    if chunk["from"]:
        said += f" Keys 0 to {chunk['from'] - 1} lie before every window and are not read."
    if chunk["stop"] == TOKENS:
        total = chunk["total"]
        said += (
            f" In all {total['past'] + total['own']} keys were read and {total['cells'] - total['masked']} cells seen."
        )
    return said
