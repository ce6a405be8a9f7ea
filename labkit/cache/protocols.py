"""What the parts of the cache must be able to do, whoever wrote them.

The engine is wired together by these protocols only. Anything that has the methods fits: the reference
in this package, or the class that you wrote in a lesson. Nobody inherits from a protocol, and nobody
looks at a private name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from labkit.cache.holes import Hole
    from labkit.cache.waste import Reservation, Waste


@runtime_checkable
class BlockPoolLike(Protocol):
    """Hands out blocks of equal size; see `labkit.cache.block_pool`.

    Law: free and held blocks together are always exactly 0 .. num_blocks - 1, each once.
    """

    @property
    def num_blocks(self) -> int:
        """Blocks in all."""
        ...

    @property
    def num_free(self) -> int:
        """Blocks that can be allocated now."""
        ...

    def allocate(self, n: int) -> list[int] | None:
        """`n` different free blocks, now the caller's; None, and nothing changed, if there are fewer."""
        ...

    def free(self, blocks: Iterable[int]) -> None:
        """Take back blocks that the caller holds."""
        ...


@runtime_checkable
class BlockTableLike(Protocol):
    """Maps the positions of one sequence to slots; see `labkit.cache.block_table`.

    Law: len(blocks) is what num_tokens need and no more; a refused append changes neither table nor pool.
    """

    blocks: list[int]
    num_tokens: int

    def append(self, n: int = 1) -> bool:
        """Make room for `n` more tokens; False, and nothing changed, if the pool is too empty."""
        ...

    def slot(self, position: int) -> int:
        """Where token `position` lies in KV memory, in slots."""
        ...

    def slots(self, start: int, stop: int) -> list[int]:
        """Where tokens `start` to `stop - 1` lie."""
        ...

    def release(self) -> None:
        """Give every block back; the table is empty afterwards."""
        ...


@runtime_checkable
class ContiguousAllocator(Protocol):
    """Gives each sequence one unbroken run of slots, as engines did before paging.

    See `labkit.cache.contiguous`.

    Law: reservations never overlap, and reservations and holes together are all of memory. A refused
    call changes nothing.
    """

    @property
    def num_slots(self) -> int:
        """Slots in all; one slot holds the keys and values of one token."""
        ...

    def reserve(self, seq: str, tokens: int) -> int | None:
        """Slots for a sequence that may grow to `tokens` tokens: the first of them, None if no hole fits."""
        ...

    def use(self, seq: str, tokens: int) -> None:
        """Say that `seq` has now written `tokens` of its slots."""
        ...

    def release(self, seq: str) -> None:
        """Return the whole reservation of `seq`."""
        ...

    def holes(self) -> list[Hole]:
        """The free runs (start, length), from low slots to high."""
        ...

    def reservations(self) -> dict[str, Reservation]:
        """Who holds which run."""
        ...

    def waste(self, wanted: int = 0) -> Waste:
        """Every slot by what becomes of it, while somebody waits for `wanted` tokens (0: nobody)."""
        ...
