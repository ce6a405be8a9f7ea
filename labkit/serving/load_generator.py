"""A load on an endpoint in OpenAI's form, ours or another: who waited how long for what.

    found = put_load(server.url, [{"prompt": "the page table", "max_tokens": 20}] * 100, clients=16)
    print(found.statuses, found.tokens_per_s, found.percentile("ttft_s", 99))

Of the server it needs the address, and nothing else.
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
    """One call: the status of its last try, or of the error in its stream, 0 where that broke off; what came, and when
    (in seconds: `sent_s` and `end_s` after the load began, `ttft_s` after `sent_s`, `itl_s` between pieces of text).
    """

    status: int = 0
    tries: int = 0
    text: str = ""
    tokens: int = 0
    sent_s: float = float("nan")
    ttft_s: float = float("nan")
    itl_s: list[float] = field(default_factory=list)
    end_s: float = float("nan")

    def read(self, event: dict[str, Any], now: float) -> None:
        """An event of its stream has come."""
        if "error" in event:
            self.status = int(event["error"].get("code") or 500)
        self.tokens = (event.get("usage") or {}).get("completion_tokens", self.tokens)
        for choice in event.get("choices", ()):
            if text := choice.get("text") or choice.get("delta", {}).get("content"):
                if self.text:
                    self.itl_s.append(now - self.end_s)
                else:
                    self.ttft_s = now - self.sent_s
                self.text, self.end_s = self.text + text, now


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


def put_load(
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
        clients: so many send one call after the other (a closed loop: who answers slowly is asked less).
        rate_per_s: calls come so often on average, by chance, and do not wait for each other (an open loop, Poisson, as
            people do); `clients` means nothing then.
        retries: times that a call is sent again after a refusal, or where it broke off.
        seed: of when calls come in an open loop.
    """

    async def run() -> list[Call]:
        limits, headers = httpx.Limits(max_connections=None), {"authorization": f"Bearer {key}"} if key else {}
        made = httpx.AsyncClient(base_url=url, headers=headers, timeout=600, limits=limits, trust_env=False)
        seats, chance = asyncio.Semaphore(len(bodies) if rate_per_s else clients), random.Random(seed)
        waits = accumulate(chance.expovariate(rate_per_s) if rate_per_s else 0.0 for _ in bodies)

        async def one(body: dict[str, Any], after_s: float) -> Call:
            await asyncio.sleep(after_s)
            async with seats:
                call = Call(sent_s=time.perf_counter() - began)
                wait_s = await _send(client, body, call, began)
                while call.status in AGAIN and call.tries <= retries:
                    await asyncio.sleep(wait_s)
                    wait_s = await _send(client, body, call, began)
                return call

        async with made as client:
            return await asyncio.gather(*map(one, bodies, waits))

    began = time.perf_counter()
    with ThreadPoolExecutor(1) as pool:  # a notebook has an event loop of its own, in which none can be run
        calls = pool.submit(asyncio.run, run()).result()
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
                    call.read(json.loads(line.removeprefix("data: ")), time.perf_counter() - began)
    except httpx.HTTPError:
        call.status = 0
    return AGAIN_S
