"""Requests that were served well, by the second, of requests whose lives were kept.

Source of the idea of goodput: Zhong et al., DistServe, OSDI 2024, which counts the requests that meet a target for the
first token and one for the tokens after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from labkit.simulate.clock import Life


class Outcome(NamedTuple):
    """What became of a request, by the clock of whoever asked; None for what did not happen.

    Attributes:
        arrival_s: when it was to be sent.
        first_s, end_s: when its first and its last token came.
        tokens: of its answer.
    """

    arrival_s: float
    first_s: float | None
    end_s: float | None
    tokens: int


def outcomes(lives: Iterable[Life]) -> list[Outcome]:
    """The same of requests that were simulated (`Simulation.lives`), refused and unfinished ones among them."""

    def known(seconds: float) -> float | None:
        return seconds if seconds == seconds else None

    return [
        Outcome(life.request.arrival, known(life.first_s), known(life.end_s), len(life.request.output))
        for life in lives
    ]


def goodput(requests: Sequence[Outcome], seconds: float, ttft_s: float, tpot_s: float) -> float:
    """Requests a second that were served well; what `Metrics` counts by `Target`, of requests that were kept.

    Args:
        requests: all that came, in any order.
        seconds: how long they were served, above 0.
        ttft_s: from its arrival to its first token at most.
        tpot_s: a token after the first at most, in the mean of the request.
    """
    good = 0
    for request in requests:
        if request.first_s is None or request.end_s is None:
            continue
        in_time = request.first_s - request.arrival_s <= ttft_s
        good += in_time and request.end_s - request.first_s <= (request.tokens - 1) * tpot_s
    return good / seconds
