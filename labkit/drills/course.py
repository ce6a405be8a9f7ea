"""Which drill is played: drawn from a seed, in an order of the learner's own, and with numbers that can be played."""

from __future__ import annotations

from collections.abc import Collection
from itertools import count, pairwise

import numpy as np

from labkit.cache.checks import whole_number
from labkit.drills.bots import proved
from labkit.drills.catalog import DRILLS, twin
from labkit.drills.drill import Drill
from labkit.errors import DrillError

SEEDS = 10_000
TRIES = 20
UNLABELLED = "19"
"""The lesson whose drills come without their names."""


def order(learner_seed: int) -> tuple[str, ...]:
    """The names of the unlabelled drills, in an order drawn from the learner's seed; twins never side by side.

    Raises:
        DrillError: no seed.
    """
    names = [name for name, drill in DRILLS.items() if drill.lesson == UNLABELLED]
    rng = np.random.default_rng(_seed(learner_seed))
    while True:
        drawn = [names[place] for place in rng.permutation(len(names))]
        if all(DRILLS[one].case is not DRILLS[other].case for one, other in pairwise(drawn)):
            return tuple(drawn)


def drawn(seed: int) -> Drill:
    """The drill that a seed draws from all of them: who has the seed has the play, and no name gives it away."""
    return list(DRILLS.values())[np.random.default_rng(_seed(seed)).integers(len(DRILLS))]


def seed_that_draws(drill: Drill, start: int) -> int:
    """The first seed from `start` on that draws this drill with numbers that can be played."""
    return next(seed for seed in count(_seed(start)) if drawn(seed) is drill and proved(drill, seed))


def following(learner_seed: int, played: Collection[str], last: Drill | None = None) -> Drill:
    """What comes after those that were played: the next of the learner's order, then any that was not played, and when
    all were, any; never one of the last one's case.
    """
    for name in order(learner_seed):
        if name not in played and (last is None or DRILLS[name].case is not last.case):
            return DRILLS[name]
    others = [drill for drill in DRILLS.values() if last is None or drill not in (last, twin(last))]
    others = [drill for drill in others if drill.name not in played] or others
    return others[np.random.default_rng([_seed(learner_seed), len(played)]).integers(len(others))]


def playable(drill: Drill, seed: int) -> int:
    """The seed itself, or the next one whose board shows what convicts.

    Raises:
        DrillError: none of the next twenty does, which is a fault of the drill, or it is no seed.
    """
    for found in range(_seed(seed), seed + TRIES):
        if proved(drill, found):
            return found
    raise DrillError(f"No board of {drill.name} from seed {seed} on shows what convicts: choose another seed.")


def _seed(seed: int) -> int:
    return whole_number(seed, "seed", error=DrillError)
