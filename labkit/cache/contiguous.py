"""The world before paging: each sequence lives in one unbroken run of slots.

A run cannot grow once somebody sits behind it, so it must be as long as the sequence will ever be, before the first
token is written, and how long that is nobody knows. The three allocators differ in what they reserve:

    ReserveMax   the longest a sequence may get            waste: internal
    Buddy        the next power of two                     waste: internal (less), external
    FirstFit     exactly what was asked for                waste: external

They are the three baselines of the PagedAttention paper (Kwon et al., SOSP 2023, section 6.1, "Max", "Pow2" and
"Oracle"), except that there all three lay their runs out by the buddy method.

Slots are counted in tokens: one slot holds the keys and values of one token in all layers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from labkit.cache.checks import whole_number
from labkit.cache.holes import Hole, carve, first_fit, release_coalesce
from labkit.cache.waste import Reservation, Waste, waste_by_kind
from labkit.errors import ReservationError

__all__ = [
    "Buddy",
    "FirstFit",
    "Hole",
    "Reservation",
    "ReserveMax",
    "Waste",
    "carve",
    "first_fit",
    "release_coalesce",
    "waste_by_kind",
]


class _Reservations(ABC):
    """What the three have in common: who holds which run, and how much of it is written.

    A subclass says how long a run must be (`run_length`) and finds and returns runs (`_take`, `_give_back`, `holes`).
    """

    def __init__(self, num_slots: int) -> None:
        self.num_slots = whole_number(num_slots, "num_slots", at_least=1, error=ReservationError)
        self._held: dict[str, Reservation] = {}

    @abstractmethod
    def run_length(self, tokens: int) -> int:
        """Slots that are reserved for a sequence that may grow to `tokens` tokens."""

    def reserve(self, seq: str, tokens: int, final: int | None = None) -> int | None:
        """Reserve a run for a new sequence.

        Args:
            seq: its name.
            tokens: how long it may get, prompt included; 1 or more.
            final: how long it will in truth have got when it ends, if that is known (from a trace, in hindsight). It
                changes nothing but what `waste` says. By default `tokens`.

        Returns:
            The first slot, or None if no hole is long enough; then nothing has changed.

        Raises:
            ReservationError: `seq` has a reservation already, or a number makes no sense.
        """
        tokens = whole_number(tokens, "tokens", at_least=1, error=ReservationError)
        final = tokens if final is None else whole_number(final, "final", error=ReservationError)
        if seq in self._held:
            raise ReservationError(f"Sequence {seq} has a reservation already: release it before reserving again.")
        if final > tokens:
            raise ReservationError(
                f"Sequence {seq} will have {final} tokens in the end, but asks for {tokens}: ask for at least {final}."
            )
        length = self.run_length(tokens)
        start = self._take(length)
        if start is not None:
            self._held[seq] = Reservation(start, length, 0, final)
        return start

    def use(self, seq: str, tokens: int) -> None:
        """Say that `seq` has written `tokens` tokens in all, from the start of its run.

        Raises:
            ReservationError: no such sequence, fewer tokens than before, or more than were reserved.
        """
        held = self._of(seq)
        tokens = whole_number(tokens, "tokens", error=ReservationError)
        if not held.used <= tokens <= held.length:
            raise ReservationError(
                f"Sequence {seq} cannot have {tokens} tokens, it has {held.used} in a run of {held.length} slots: "
                "a sequence only grows, and not beyond its reservation."
            )
        self._held[seq] = held._replace(used=tokens, final=max(held.final, tokens))

    def release(self, seq: str) -> None:
        """Return the run of `seq`.

        Raises:
            ReservationError: no such sequence.
        """
        held = self._of(seq)
        self._give_back(held.start, held.length)
        del self._held[seq]

    def reservations(self) -> dict[str, Reservation]:
        """Who holds what, by name, in the order in which they came."""
        return dict(self._held)

    @abstractmethod
    def holes(self) -> list[Hole]:
        """Free runs as they could be handed out, from low slots to high."""

    def waste(self, wanted: int = 0) -> Waste:
        """Every slot by what becomes of it, at this moment; see `labkit.cache.waste`.

        Args:
            wanted: tokens that the next sequence asks for, 0 if nobody waits. What counts is the run this allocator
                would reserve for it: that is what a hole must be able to hold.
        """
        run = self.run_length(wanted) if wanted else 0
        return Waste(**waste_by_kind(self._held.values(), self.holes(), run))

    @abstractmethod
    def _take(self, length: int) -> int | None:
        """Take a run of `length` slots out of the holes: its first slot, or None and nothing changed."""

    @abstractmethod
    def _give_back(self, start: int, length: int) -> None:
        """Make a run part of the holes again."""

    def _of(self, seq: str) -> Reservation:
        if seq not in self._held:
            raise ReservationError(f"Sequence {seq} has no reservation: reserve one before using or releasing it.")
        return self._held[seq]


class FirstFit(_Reservations):
    """Reserves exactly what is asked for, in the lowest hole that is long enough.

    Nothing is rounded, so nothing is lost inside a run if the length asked for was right. But runs of all lengths leave
    holes of all lengths, and after a while most are too short for most who ask.

    Args:
        num_slots: all of memory.
        find: which hole; by default `first_fit`.
        give_back: how a run returns to the holes; by default `release_coalesce`.
    """

    def __init__(
        self,
        num_slots: int,
        find: Callable[[Sequence[Hole], int], int | None] = first_fit,
        give_back: Callable[[Sequence[Hole], int, int], list[Hole]] = release_coalesce,
    ) -> None:
        super().__init__(num_slots)
        self._holes = [Hole(0, self.num_slots)]
        self._find = find
        self._join = give_back

    def run_length(self, tokens: int) -> int:
        """As many slots as tokens."""
        return tokens

    def holes(self) -> list[Hole]:
        """Free runs, no two touching."""
        return list(self._holes)

    def _take(self, length: int) -> int | None:
        start = self._find(self.holes(), length)
        if start is not None:
            self._holes = carve(self._holes, start, length)
        return start

    def _give_back(self, start: int, length: int) -> None:
        self._holes = [Hole(*hole) for hole in self._join(self.holes(), start, length)]


class ReserveMax(FirstFit):
    """Reserves the maximum for everyone, whatever they ask for.

    All runs are equal, so no hole between them is ever too short. The price is paid inside: a sequence of 100 tokens
    holds as much as one of 2,048.

    Args:
        num_slots: all of memory.
        max_tokens: the longest that any sequence may get.
        find, give_back: as for `FirstFit`.
    """

    def __init__(
        self,
        num_slots: int,
        max_tokens: int,
        find: Callable[[Sequence[Hole], int], int | None] = first_fit,
        give_back: Callable[[Sequence[Hole], int, int], list[Hole]] = release_coalesce,
    ) -> None:
        super().__init__(num_slots, find, give_back)
        self.max_tokens = whole_number(max_tokens, "max_tokens", at_least=1, error=ReservationError)

    def run_length(self, tokens: int) -> int:
        """The maximum; ReservationError for a sequence that may get longer."""
        if tokens > self.max_tokens:
            raise ReservationError(
                f"A sequence of {tokens} tokens is longer than the maximum of {self.max_tokens}: turn it away before "
                "it asks for memory, or raise the maximum."
            )
        return self.max_tokens


class Buddy(_Reservations):
    """Reserves the next power of two, by splitting larger runs in halves.

    Every run is a power of two long and starts at a multiple of its length. Halving one makes two *buddies*, whose
    starts differ in one bit only: start ^ length. So a returned run finds its buddy at once, and if that is free
    the two are one again, and so on up (Knowlton, 1965). Rounding up wastes up to half a run; in return, merging
    needs no search.

    A memory that is no power of two long begins as several runs, one for each bit of its length.

    Args:
        num_slots: all of memory.
    """

    def __init__(self, num_slots: int) -> None:
        super().__init__(num_slots)
        self._free: dict[int, set[int]] = {}  # starts of the free runs, by length
        start = 0
        # Long runs first: each then starts at a multiple of its own length.
        for bit in reversed(range(self.num_slots.bit_length())):
            length = 1 << bit
            self._free[length] = set()
            if self.num_slots & length:
                self._free[length].add(start)
                start += length

    def run_length(self, tokens: int) -> int:
        """The smallest power of two that is not below `tokens`."""
        return 1 << (tokens - 1).bit_length()

    def holes(self) -> list[Hole]:
        """Free runs; two that touch but are no buddies stay two, because they cannot be handed out as one."""
        return sorted(Hole(start, length) for length, starts in self._free.items() for start in starts)

    def _take(self, length: int) -> int | None:
        found = length
        while not self._free.get(found):
            found *= 2
            if found > self.num_slots:
                return None
        start = min(self._free[found])
        self._free[found].remove(start)
        while found > length:  # keep the lower half, free the upper
            found //= 2
            self._free[found].add(start + found)
        return start

    def _give_back(self, start: int, length: int) -> None:
        while (buddy := start ^ length) in self._free.get(length, ()):
            self._free[length].remove(buddy)
            start = min(start, buddy)
            length *= 2
        self._free[length].add(start)
