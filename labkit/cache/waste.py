"""Where KV memory goes: every slot of it, at one moment, by what becomes of it.

The PagedAttention paper (Kwon et al., SOSP 2023, section 3.1 and Fig. 3) tells three kinds of waste apart:

- **reservation**: slots a sequence holds for tokens it has yet to generate. They will be used, but until then they
  could have served somebody else.
- **internal**: slots a sequence holds and never uses, because it was given more than it turned out to need. Which
  they are shows only when the sequence ends; here the final length is passed in, so the numbers are the verdict of
  hindsight, as the paper's are.
- **external**: free slots in runs too short for what is wanted. The allocator knows at once that they are lost, for
  now.

With them, the slots that hold a token (**used**) and those that are free and long enough (**free**) are all of memory.
The paper's Fig. 2 averages the shares over a run; `labkit.simulate.replay` does so, weighting each moment by how long
it lasted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import NamedTuple


class Reservation(NamedTuple):
    """Slots `start` to `start + length - 1`, held by one sequence.

    Attributes:
        start, length: the slots.
        used: of them, slots that hold a token now.
        final: tokens the sequence will have when it ends; used <= final <= length.
    """

    start: int
    length: int
    used: int
    final: int


@dataclass(frozen=True)
class Waste:
    """Slots by kind; the five add up to all of memory."""

    used: int
    reservation: int
    internal: int
    external: int
    free: int

    @property
    def num_slots(self) -> int:
        """All of memory."""
        return sum(self.as_dict().values())

    @property
    def useful_share(self) -> float:
        """Used slots over all that are not free (used, reservation, internal and external); 1.0 if all are free."""
        taken = self.num_slots - self.free
        return self.used / taken if taken else 1.0

    def as_dict(self) -> dict[str, int]:
        """Slots by the name of their kind, in the order in which figures stack them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def waste_by_kind(
    reservations: Iterable[tuple[int, int, int, int]], holes: Iterable[tuple[int, int]], wanted: int
) -> dict[str, int]:
    """Count every slot of memory by kind.

    Args:
        reservations: (start, length, used, final) for each sequence; see `Reservation`.
        holes: free runs (start, length).
        wanted: length of the run that the next sequence needs. A hole shorter than this serves nobody now; 0 if nobody
            waits, and then every hole counts as free.

    Returns:
        {"used", "reservation", "internal", "external", "free"}: slots; together all of memory.
    """
    slots = {"used": 0, "reservation": 0, "internal": 0, "external": 0, "free": 0}
    for _, length, used, final in reservations:
        slots["used"] += used
        slots["reservation"] += final - used
        slots["internal"] += length - final
    for _, length in holes:
        slots["free" if length >= wanted else "external"] += length
    return slots
