"""Made-up requests with the shape of real ones.

Lengths and arrivals are drawn from statistics of a production trace, with a seed, so that a lesson needs no
download and two runs see the same requests. What is kept of the trace: how long prompts are, how long answers are
for prompts of about that length (in this trace they depend on each other, though their rank correlation is only
0.07: middling prompts get long answers, the longest get the shortest), how often requests come and how unevenly.
What is not kept: which prompts share a beginning, and how the load changes over the hour.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labkit.cache.checks import whole_number
from labkit.errors import LabkitError
from labkit.simulate.trace import Trace


@dataclass(frozen=True)
class WorkloadShape:
    """How long requests are and how they come.

    Attributes:
        input_quantiles: rows (share, tokens): this share of the prompts has at most so many tokens; shares from 0 to 1.
        output_shares: the shares that the rows of `output_quantiles` speak of, from 0 to 1.
        output_quantiles: rows (share, tokens by `output_shares`), one for each band of prompt lengths: the first for
            prompts up to its share of all prompts, the next for those above it up to its own, and so on to 1.
        arrivals_per_s: mean rate.
        inter_arrival_cv: standard deviation of the times between arrivals over their mean; 1 is a Poisson process.
        swing: how far the rate rises above its mean and falls below it within a period, as a share of the mean, less
            than 1: a sine that begins at the mean, rising. 0 is a steady rate.
        period_s: a day.
    """

    name: str
    source: str
    input_quantiles: tuple[tuple[float, int], ...]
    output_shares: tuple[float, ...]
    output_quantiles: tuple[tuple[float, tuple[int, ...]], ...]
    arrivals_per_s: float
    inter_arrival_cv: float
    swing: float = 0.0
    period_s: float = 86_400.0


AZURE_CONVERSATION = WorkloadShape(
    name="conversation (drawn)",
    source=(
        "drawn from the quantiles of the Azure LLM inference trace 2023, conversation "
        "(19,366 requests, Azure Public Dataset, CC-BY 4.0)"
    ),
    input_quantiles=(
        (0.0, 2),
        (0.01, 29),
        (0.05, 181),
        (0.1, 207),
        (0.2, 387),
        (0.25, 396),
        (0.3, 403),
        (0.4, 703),
        (0.5, 1_020),
        (0.6, 1_071),
        (0.7, 1_130),
        (0.75, 1_189),
        (0.8, 1_315),
        (0.85, 1_876),
        (0.9, 2_734),
        (0.93, 4_076),
        (0.95, 4_083),
        (0.97, 4_090),
        (0.98, 4_098),
        (0.99, 4_142),
        (0.995, 4_831),
        (0.999, 6_179),
        (1.0, 14_050),
    ),
    output_shares=(0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1.0),
    output_quantiles=(
        (0.1, (11, 12, 16, 67, 112, 161, 189, 217, 217, 295, 1_000, 1_000)),
        (0.2, (7, 14, 18, 18, 59, 76, 99, 162, 184, 217, 295, 436)),
        (0.4, (24, 52, 73, 81, 88, 97, 111, 135, 148, 184, 389, 739)),
        (0.5, (10, 35, 57, 82, 121, 395, 415, 448, 514, 609, 680, 921)),
        (0.7, (28, 56, 365, 377, 394, 407, 429, 491, 558, 666, 1_000, 1_000)),
        (0.8, (26, 42, 60, 92, 181, 396, 417, 453, 523, 643, 954, 992)),
        (1.0, (15, 27, 34, 39, 50, 77, 115, 162, 200, 407, 671, 918)),
    ),
    arrivals_per_s=5.53,
    inter_arrival_cv=1.09,
)


def draw(num_requests: int, seed: int = 0, shape: WorkloadShape = AZURE_CONVERSATION) -> Trace:
    """Draw `num_requests` requests.

    A length is drawn by inverting its distribution: a uniform number says which share of the requests is shorter,
    and the quantiles, joined by straight lines, say how long that is. Times between arrivals follow a gamma
    distribution, whose shape 1 / CV**2 makes them as uneven as the trace's.

    Args:
        num_requests: 1 or more.
        seed: equal seeds give equal requests; 0 or more.
        shape: what to draw from.

    Raises:
        LabkitError: a number that makes no sense.
    """
    num_requests = whole_number(num_requests, "num_requests", at_least=1, error=LabkitError)
    rng = np.random.default_rng(whole_number(seed, "seed", error=LabkitError))
    # Three streams of one seed: more requests then continue the same workload instead of making another.
    inputs, outputs, arrivals = rng.spawn(3)
    evenness = shape.inter_arrival_cv**-2
    arrival_s = np.cumsum(arrivals.gamma(evenness, 1 / (shape.arrivals_per_s * evenness), num_requests))
    if shape.swing:
        arrival_s = _swung(arrival_s, shape.swing, shape.period_s)

    prompt_share = inputs.random(num_requests)
    shares, lengths = np.array(shape.input_quantiles).T
    input_tokens = np.interp(prompt_share, shares, lengths)
    output_share = outputs.random(num_requests)
    output_tokens = np.empty(num_requests)
    below = 0.0
    for top, tokens in shape.output_quantiles:
        band = (prompt_share >= below) & (prompt_share < top)
        output_tokens[band] = np.interp(output_share[band], shape.output_shares, tokens)
        below = top

    return Trace(
        name=shape.name,
        source=f"{shape.source}, seed {seed}",
        arrival_s=arrival_s - arrival_s[0],
        input_tokens=np.rint(input_tokens).astype(np.int64),
        output_tokens=np.rint(output_tokens).astype(np.int64),
    )


def _swung(steady_s: np.ndarray, swing: float, period_s: float) -> np.ndarray:
    """Times of a steady rate moved to where a rate of 1 + swing * sin(2 pi t / period) has as many before them.

    That is a Poisson process of the changing rate where the steady one was Poisson (Cinlar, Introduction to Stochastic
    Processes, 1975, section 4.7). The rate's integral is inverted on a grid of one period, since it is the same in all.
    """
    grid_s = np.linspace(0, period_s, 4097)
    angle = 2 * np.pi * grid_s / period_s
    before = grid_s + swing * period_s / (2 * np.pi) * (1 - np.cos(angle))
    periods, within_s = np.divmod(steady_s, period_s)
    return periods * period_s + np.interp(within_s, before, grid_s)
