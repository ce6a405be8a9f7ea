"""A load on an endpoint in OpenAI's form, ours or another: who waited how long for what.

    found = load(server.url, [{"prompt": "the page table", "max_tokens": 20}] * 100, clients=16)
    print(found.statuses, found.tokens_per_s, found.percentile("ttft_s", 99))

With `clients`, so many send one call after the other (a closed loop: whoever is slow is asked less). With `rate_per_s`,
calls come by chance and do not wait for each other, as people do (an open loop, Poisson).
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import httpx
import numpy as np

AGAIN, AGAIN_S = (0, 429, 503), 0.2
"""Statuses after which a call is sent again, and seconds to wait where the server does not say."""


@dataclass
class Call:
    """One call. Seconds; NaN for what never came.

    Attributes:
        status: of the last try, or of the error in its stream; 0 where it broke off.
        sent_s: when it was sent first, after the load began; end_s: when its last text came.
        ttft_s: from `sent_s` to the first text; itl_s: between two pieces of text.
    """

    status: int = 0
    sent_s: float = float("nan")
    ttft_s: float = float("nan")
    itl_s: list[float] = field(default_factory=list)
    end_s: float = float("nan")
    text: str = ""
    tokens: int = 0
    tries: int = 0


@dataclass
class Load:
    """All calls, in the order of what was sent, and how many seconds they took together."""

    calls: list[Call]
    seconds: float

    @property
    def statuses(self) -> Counter[int]:
        """How many calls ended with which status."""
        return Counter(call.status for call in self.calls)

    @property
    def tokens_per_s(self) -> float:
        """Tokens that were delivered, a second."""
        return sum(call.tokens for call in self.calls) / self.seconds

    def percentile(self, what: str, share: float) -> float:
        """Of `ttft_s` or `itl_s` over the calls that went well, in seconds; NaN where there is none."""
        values = np.hstack([getattr(call, what) for call in self.calls if call.status == 200] or [[]])
        return float(np.percentile(values, share)) if values.size else float("nan")


def load(
    url: str,
    bodies: Sequence[dict[str, Any]],
    *,
    clients: int = 8,
    rate_per_s: float | None = None,
    retries: int = 0,
    key: str = "",
    seed: int = 0,
) -> Load:
    """Send calls and read their streams.

    Args:
        url: of the server, http://HOST:PORT.
        bodies: of /v1/chat/completions where there are `messages`, else of /v1/completions.
        clients: that send at once, in a closed loop.
        rate_per_s: calls a second on average, in an open loop; `clients` means nothing then.
        retries: times that a call is sent again after a refusal (429, 503), or where it broke off.
        seed: of when calls come in an open loop.
    """
    with ThreadPoolExecutor(1) as pool:  # a notebook has an event loop of its own, in which none can be run
        return pool.submit(asyncio.run, _load(url, bodies, clients, rate_per_s, retries, key, seed)).result()


async def _load(
    url: str, bodies: Sequence[Any], clients: int, rate: float | None, retries: int, key: str, seed: int
) -> Load:
    chance, began = random.Random(seed), time.perf_counter()
    seats = asyncio.Semaphore(len(bodies) if rate else clients)
    headers = {"authorization": f"Bearer {key}"} if key else {}

    async def one(body: dict[str, Any], after_s: float) -> Call:
        await asyncio.sleep(after_s)
        async with seats:
            call = Call(sent_s=time.perf_counter() - began)
            wait_s = await _send(client, body, call, began)
            while call.status in AGAIN and call.tries <= retries:
                await asyncio.sleep(wait_s)
                wait_s = await _send(client, body, call, began)
            return call

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=600, limits=limits, trust_env=False) as client:
        waits = accumulate(chance.expovariate(rate) if rate else 0.0 for _ in bodies)
        calls = await asyncio.gather(*map(one, bodies, waits))
    return Load(calls, time.perf_counter() - began)


async def _send(client: httpx.AsyncClient, body: dict[str, Any], call: Call, began: float) -> float:
    """One try; seconds after which another is worth it."""
    path = "/v1/chat/completions" if "messages" in body else "/v1/completions"
    asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
    call.tries, call.status, call.text, call.tokens, call.itl_s = call.tries + 1, 0, "", 0, []
    try:
        async with client.stream("POST", path, json=asked) as answer:
            if answer.status_code != 200:
                call.status = answer.status_code
                return float(answer.headers.get("retry-after", AGAIN_S))
            async for line in answer.aiter_lines():
                if line == "data: [DONE]":
                    call.status = call.status or 200
                elif line:
                    _read(json.loads(line.removeprefix("data: ")), call, time.perf_counter() - began)
    except httpx.HTTPError:
        call.status = 0
    return AGAIN_S


def _read(event: dict[str, Any], call: Call, now: float) -> None:
    """An event of a stream."""
    if "error" in event:
        call.status = int(event["error"].get("code") or 500)
    call.tokens = (event.get("usage") or {}).get("completion_tokens", call.tokens)
    for choice in event.get("choices", ()):
        text = choice.get("text") or choice.get("delta", {}).get("content")
        if not text:
            continue
        if call.text:
            call.itl_s.append(now - call.end_s)
        else:
            call.ttft_s = now - call.sent_s
        call.text, call.end_s = call.text + text, now
