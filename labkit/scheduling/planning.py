"""Who computes how many tokens in the next step: lesson 16.

A step is one pass through the model. It takes a token from each request that generates, and pieces of prompts from
those that begin; together they are at most `budget` tokens, so that a long prompt never holds up everybody's next
token. Source of the idea: Orca (Yu et al., OSDI 2022) for iteration-level batching, Sarathi-Serve (Agrawal et al., OSDI
2024) for chunked prefill and for serving decodes first.
"""

from __future__ import annotations

from collections.abc import Sequence

from labkit.scheduling.request import Request

Plan = list[tuple[Request, int]]
"""Who computes how many tokens, in order."""


def plan_decodes(running: Sequence[Request], budget: int) -> Plan:
    """One token for each running request that generates, in order of admission, as far as the budget goes."""
    return [(request, 1) for request in running if request.decodes][: max(0, budget)]


def plan_chunks(requests: Sequence[Request], budget: int, longest: int | None = None) -> Plan:
    """A piece of what each request misses, in order, until the budget is spent.

    Args:
        requests: those that do not decode.
        longest: tokens of one piece at most; None for as many as the budget has.
    """
    plan: Plan = []
    for request in requests:
        n = min(request.missing, budget, longest or budget)
        if n <= 0:
            break
        plan.append((request, n))
        budget -= n
    return plan
