"""Workloads by name and parameters: `workload("bursty", per_s=8, cv=5)`.

They are drawn by the two functions that also imitate the public traces: requests that share nothing by
`labkit.simulate.workload.draw`, conversations and agents by `labkit.simulate.prefix_workload.draw_conversations`. Here
parameters take the place of measured tables. Small workloads for cache policies, whose one property is known
beforehand, are in `labkit.simulate.prefix_patterns`.

Lengths and pauses are log-normal, given by their median and the value that one in a hundred exceeds.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from numbers import Real
from statistics import NormalDist

from labkit.cache.checks import whole_number
from labkit.errors import LabkitError
from labkit.simulate.prefix_workload import ConversationShape, Quantiles, draw_conversations
from labkit.simulate.trace import Trace
from labkit.simulate.workload import WorkloadShape, draw

MedianAndP99 = tuple[float, float]

CUT = 0.0002
SHARES = (0.001, 0.005, 0.01, 0.025, *(n / 20 for n in range(1, 20)), 0.975, 0.99, 0.995, 0.999)


def independent(
    num_requests: int = 1000,
    seed: int = 0,
    *,
    per_s: float = 4.0,
    cv: float = 1.0,
    swing: float = 0.0,
    period_s: float = 86_400.0,
    input_tokens: MedianAndP99 = (1000, 4000),
    output_tokens: MedianAndP99 = (150, 600),
) -> Trace:
    """Requests that share nothing.

    Args:
        num_requests: 1 or more.
        seed: equal seeds give equal requests, and more requests continue the fewer.
        per_s: requests per second, on average.
        cv: standard deviation of the times between requests over their mean: 1 is a Poisson process, more are bursts
            with pauses between them, less is more even. More than 0. (Times are gamma distributed.)
        swing: how far the rate rises above its mean and falls below it, as a share of the mean, less than 1: a sine
            that begins at the mean, rising.
        period_s: its period, a day.
        input_tokens, output_tokens: (median, 99th percentile).

    Raises:
        LabkitError: a number that makes no sense.
    """
    _above_zero(per_s=per_s, cv=cv, period_s=period_s)
    if not (isinstance(swing, Real) and 0 <= swing < 1):
        raise LabkitError(f"swing is {swing!r}, but must be a share of the mean rate, from 0 to less than 1: 0.5, say.")
    shares, outputs = zip(*_log_normal("output_tokens", output_tokens), strict=True)
    shape = WorkloadShape(
        name="requests (drawn)",
        source="drawn from parameters (labkit.simulate.generators)",
        input_quantiles=_log_normal("input_tokens", input_tokens),
        output_shares=shares,
        output_quantiles=((1.0, outputs),),
        arrivals_per_s=per_s,
        inter_arrival_cv=cv,
        swing=swing,
        period_s=period_s,
    )
    return draw(num_requests, seed, shape)


def conversations(
    num_requests: int = 1000,
    seed: int = 0,
    *,
    starts_per_s: float = 0.5,
    turns: float = 4.0,
    gap_s: MedianAndP99 = (60, 900),
    system_tokens: int = 512,
    first_tokens: MedianAndP99 = (400, 8000),
    added_tokens: MedianAndP99 = (500, 4000),
    output_tokens: MedianAndP99 = (150, 600),
    max_prompt_tokens: int = 131_072,
    block_tokens: int = 16,
) -> Trace:
    """Conversations: each prompt is the one before it, with the answer and a new message behind.

    Nobody is in the middle of a conversation at time 0, so the rate rises until as many end as begin, to
    starts_per_s * turns; `Trace.between` cuts the beginning off.

    Args:
        num_requests, seed: as for `independent`.
        starts_per_s: conversations that begin a second, a Poisson process.
        turns: prompts of a conversation, on average; each is the last with the same probability.
        gap_s: seconds from one prompt to the next.
        system_tokens: with which all prompts begin; of them only full blocks are shared.
        first_tokens: the first message behind them.
        added_tokens: answer and next message.
        output_tokens: the answer.
        max_prompt_tokens: a conversation ends before a prompt is longer.
        block_tokens: tokens that one of hash_ids stands for.

    Raises:
        LabkitError: a number that makes no sense.
    """
    _above_zero(starts_per_s=starts_per_s, turns=turns)
    if turns < 1:
        raise LabkitError(f"turns is {turns!r}, but a conversation has one prompt at least: pass 1 or more.")
    system_tokens, max_prompt_tokens, block_tokens = (
        whole_number(value, key, least, LabkitError)
        for key, value, least in (
            ("system_tokens", system_tokens, 0),
            ("max_prompt_tokens", max_prompt_tokens, 1),
            ("block_tokens", block_tokens, 1),
        )
    )
    if system_tokens >= max_prompt_tokens:
        raise LabkitError(
            f"system_tokens is {system_tokens:,}, but no prompt may be longer than {max_prompt_tokens:,} tokens: raise "
            "max_prompt_tokens."
        )
    first = [(share, system_tokens + tokens) for share, tokens in _log_normal("first_tokens", first_tokens)]
    shape = ConversationShape(
        name="conversations (drawn)",
        source="drawn from parameters (labkit.simulate.generators)",
        block_tokens=block_tokens,
        system_tokens=system_tokens,
        conversations_per_s=starts_per_s,
        first=tuple((share, min(tokens, max_prompt_tokens)) for share, tokens in first),
        goes_on=((max_prompt_tokens, (1 - 1 / turns,)),),
        added=_log_normal("added_tokens", added_tokens),
        gap_s=_log_normal("gap_s", gap_s, least=0),
        branches=((max_prompt_tokens, 0.0),),
        branch_goes_on=0.0,
        kept=(),
        branch_added=(),
        branch_gap_s=(),
        output=_log_normal("output_tokens", output_tokens),
        max_prompt_tokens=max_prompt_tokens,
    )
    return draw_conversations(num_requests, seed, shape)


# Medians and 99th percentiles (of first prompts the 90th) of 20 of Weka's agent sessions, without their subagents: 689
# requests (github.com/callanjfox/kv-cache-tester, Apache-2.0). Tools and system prompt take 8,400 to 21,000 tokens.
agents = partial(
    conversations,
    starts_per_s=0.02,
    turns=34.0,
    gap_s=(19, 1800),
    system_tokens=14_976,
    first_tokens=(2_500, 80_000),
    added_tokens=(900, 26_000),
    output_tokens=(214, 3575),
    max_prompt_tokens=500_000,
    block_tokens=64,
)

WORKLOADS: dict[str, Callable[..., Trace]] = {
    "poisson": independent,
    "bursty": partial(independent, cv=4.0),
    "diurnal": partial(independent, swing=0.8, period_s=600.0),  # a day of ten minutes, so that a short trace sees it
    "long tail": partial(independent, input_tokens=(600, 60_000), output_tokens=(150, 8000)),
    "conversations": conversations,
    "agents": agents,
}


def workload(kind: str, num_requests: int = 1000, seed: int = 0, **parameters: object) -> Trace:
    """A workload of a kind, with other parameters than its own where they are given.

    Args:
        kind: one of `WORKLOADS`.
        num_requests, seed: as for `independent`.
        parameters: those of `independent`, or, for conversations and agents, of `conversations`.

    Raises:
        LabkitError: another kind, a parameter that it does not have, or a number that makes no sense.
    """
    if kind not in WORKLOADS:
        raise LabkitError(f"There is no workload {kind!r:.60}: take one of {', '.join(WORKLOADS)}.")
    make = WORKLOADS[kind]
    known = [name for name in inspect.signature(make).parameters if name not in ("num_requests", "seed")]
    if unknown := set(parameters) - set(known):
        raise LabkitError(f"The workload {kind} has no {min(unknown)}: its parameters are {', '.join(known)}.")
    return replace(make(num_requests, seed, **parameters), name=f"{kind} (drawn)")


def _log_normal(name: str, median_and_p99: MedianAndP99, least: float = 1) -> Quantiles:
    """Quantiles of a log-normal distribution, joined by straight lines; the last of its tails, one in 5,000, is cut."""
    try:
        median, p99 = map(float, median_and_p99)
    except (TypeError, ValueError):
        median = p99 = math.nan
    if not 0 < median <= p99 < math.inf:
        raise LabkitError(
            f"{name} is {median_and_p99!r:.60}, but must be a median above 0 and a 99th percentile that is not less: "
            "(150, 600), say."
        )
    normal = NormalDist()
    sigma = math.log(p99 / median) / normal.inv_cdf(0.99)

    def value(share: float) -> float:
        return max(least, median * math.exp(sigma * normal.inv_cdf(share)))

    return ((0.0, value(CUT)), *((share, value(share)) for share in SHARES), (1.0, value(1 - CUT)))


def _above_zero(**numbers: float) -> None:
    for name, value in numbers.items():
        if not (isinstance(value, Real) and 0 < value < math.inf):
            raise LabkitError(f"{name} is {value!r:.60}, but must be a number above 0: pass one that is.")
