"""Sequences by name over counted blocks: what lesson 06 shows at work, made of the parts that it builds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labkit.errors import BlockError


class Drafts:
    """Tables by name over the counts `refs`, whose blocks may be shared; `table`, `fork`, `append_cow` make them."""

    def __init__(
        self,
        refs: Any,
        block_size: int,
        table: Callable[[Any, int], Any],
        fork: Callable[[Any], Any],
        append_cow: Callable[[Any, int], Any],
    ) -> None:
        self.refs, self.block_size = refs, block_size
        self.tables: dict[str, Any] = {}
        self._make, self._fork, self._append_cow = table, fork, append_cow

    def prompt(self, name: str, n: int = 0) -> bool:
        """A new sequence of `n` tokens; False, and no sequence, if there is no room."""
        self._new(name)
        self.tables[name] = self._make(self.refs, self.block_size)
        if self.append(name, n):
            return True
        del self.tables[name]
        return False

    def append(self, name: str, n: int = 1) -> bool:
        """Room for `n` more tokens; False, and nothing changed, if there is none."""
        return self._append_cow(self._table(name), n) is not None

    def fork(self, name: str, child: str) -> None:
        """`child` continues where `name` stands now."""
        table = self._table(name)
        self._new(child)
        self.tables[child] = self._fork(table)

    def release(self, name: str) -> None:
        """The sequence ends and lets go of its blocks."""
        self._table(name).release()
        del self.tables[name]

    def sequences(self) -> list[str]:
        """Who is in memory."""
        return list(self.tables)

    def blocks(self, name: str) -> list[int]:
        """The blocks of a sequence in logical order."""
        return self.tables[name].blocks

    def num_tokens(self, name: str) -> int:
        """Tokens that a sequence has room for."""
        return self.tables[name].num_tokens

    def _table(self, name: str) -> Any:
        if name not in self.tables:
            known = ", ".join(self.tables) or "none"
            raise BlockError(f"There is no sequence {name!r} here, there are: {known}; name one of these.")
        return self.tables[name]

    def _new(self, name: str) -> None:
        if name in self.tables:
            raise BlockError(f"There is a sequence {name!r} already: give the new one another name.")
