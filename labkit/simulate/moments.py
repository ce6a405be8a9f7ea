"""One moment of a replay, kept whole: the one at which most memory was free and somebody was refused all the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.cache.base import ContiguousAllocator
from labkit.cache.contiguous import Hole, Reservation, Waste
from labkit.errors import ReservationError
from labkit.simulate.replay import ContiguousMemory, replay
from labkit.simulate.trace import Trace


@dataclass(frozen=True)
class Refusal:
    """Memory as it was when the first in the queue fitted nowhere.

    Attributes:
        num_slots: all of memory.
        wanted: slots that the first in the queue needs, in one piece.
        reservations: who held what, in order of start.
        holes: what was free, in order of start.
    """

    num_slots: int
    wanted: int
    reservations: tuple[Reservation, ...]
    holes: tuple[Hole, ...]

    @property
    def free(self) -> int:
        """Free slots in all."""
        return sum(length for _, length in self.holes)

    @property
    def longest(self) -> int:
        """The longest hole; 0 if there is none."""
        return max((length for _, length in self.holes), default=0)


class _Watched(ContiguousMemory):
    """A memory that remembers the worst moment it was asked about."""

    worst: Refusal | None = None

    def waste(self, wanted: int) -> Waste:
        if wanted:
            holes = tuple(Hole(*hole) for hole in self.allocator.holes())
            if self.worst is None or _free(holes) > self.worst.free:
                held = sorted(self.allocator.reservations().values())
                self.worst = Refusal(self.num_slots, wanted, tuple(held), holes)
        return super().waste(wanted)


def worst_refusal(trace: Trace, allocator: ContiguousAllocator) -> Refusal:
    """Serve a trace out of an allocator and return the refusal at which most memory was free.

    Args:
        trace: what to serve.
        allocator: an empty `FirstFit`, which reserves what is asked for; it is used up.

    Raises:
        ReservationError: nobody ever had to wait.
    """
    memory = _Watched(allocator)
    replay(trace, memory, sample_every=1)
    if memory.worst is None:
        raise ReservationError("Nobody was ever refused: take a longer trace or a smaller memory.")
    return memory.worst


def _free(holes: Sequence[Hole]) -> int:
    return sum(length for _, length in holes)
