"""Words for counts and lists, so that every sentence counts and joins in the same way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def plural(n: int, one: str, several: str | None = None) -> str:
    """ "1 block", "3 blocks"; `several` where an s will not do: `plural(n, "child", "children")`."""
    return f"{n:,} {one if n == 1 else several or one + 's'}"


def choose(n: int, one: str, several: str) -> str:
    """The word that goes with so many: `choose(n, "is", "are")`."""
    return one if n == 1 else several


def listed(names: Iterable[object], none: str = "nobody", most: int | None = None) -> str:
    """ "A", "A and B", "A, B and C"; `none` for no name at all; of more than `most` the first, and how many others."""
    shown = [str(name) for name in names]
    if len(shown) < 2:
        return shown[0] if shown else none
    if most is not None and len(shown) > most:
        return f"{shown[0]} and {len(shown) - 1} others"
    return ", ".join(shown[:-1]) + f" and {shown[-1]}"


def blocks(ids: Sequence[int]) -> str:
    """ "no blocks", "block 3", "blocks 0, 1, 2"; of more than eight the first six, and how many more."""
    if len(ids) < 2:
        return f"block {ids[0]}" if ids else "no blocks"
    shown = ids if len(ids) <= 8 else ids[:6]
    return "blocks " + ", ".join(map(str, shown)) + (f" and {len(ids) - 6} more" if len(ids) > 8 else "")
