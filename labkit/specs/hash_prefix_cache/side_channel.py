"""A timing side channel of shared prefix caches: what the time to the first token tells about other people's prompts.

A block that somebody has computed is not computed again, so a prompt that begins like somebody else's is answered
sooner. Whoever can send prompts and read a clock can therefore ask: has anybody sent this beginning? The attack
here is that of CVE-2025-46570 (vLLM, issue 16016 and pull request 17045): block by block, from the front. A salt that
the server sets for each tenant closes it, because equal tokens under another salt have other hashes.

Time is simulated: so many milliseconds per computed token, plus noise from a seeded generator. The cache is the real
one (`KVCacheManager`), and it alone decides what is computed.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from numbers import Real
from typing import NamedTuple

from labkit import theme
from labkit.cache.base import NoRoom
from labkit.cache.checks import whole_number
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.engine import Parts, kv_cache_manager
from labkit.errors import CacheError
from labkit.simulate.pictures import Picture

QUESTION = 7
"""A token that ends every probe: one token at least is always computed."""

WORDS = range(100, 50_000)
"""Tokens that stand in blocks."""

Times = tuple[Sequence[float], Sequence[float]]
"""Times to the first token of right guesses and of wrong ones, in ms."""


@dataclass
class Clock:
    """Time to first token, simulated: so much for each computed token, beside what every request takes, and noise.

    The noise, as network and batching add it, is normal with the standard deviation `noise_ms`.

    Raises:
        CacheError: a number that makes no sense.
    """

    ms_per_token: float = 0.4
    base_ms: float = 20.0
    noise_ms: float = 1.0
    seed: int = 7

    def __post_init__(self) -> None:
        for name in ("ms_per_token", "base_ms", "noise_ms"):
            value = getattr(self, name)
            if not (isinstance(value, Real) and 0 <= float(value) < inf):
                raise CacheError(f"{name} is {value!r:.60}, but must be a number of 0 or more: give milliseconds.")
        self._rng = random.Random(whole_number(self.seed, "seed", error=CacheError))

    def ttft_ms(self, computed_tokens: int) -> float:
        """Time to first token of a request of which so many tokens had to be computed."""
        noise = self._rng.gauss(0.0, self.noise_ms) if self.noise_ms else 0.0
        return self.base_ms + self.ms_per_token * computed_tokens + noise


class Probe(NamedTuple):
    """One guess of the attacker, and the time that it took."""

    guess: int
    ttft_ms: float


@dataclass
class Server:
    """A server with one prefix cache for all its tenants.

    Attributes:
        manager: whose cache is shared.
        clock: what a request takes.
        salts: True if every tenant has a salt of its own; the server sets it, no client can.
    """

    manager: KVCacheManager
    clock: Clock
    salts: bool = False

    def ask(self, tenant: str, prompt: Sequence[int]) -> float:
        """Answer a prompt and let go of its blocks; the time to first token, in ms.

        Raises:
            CacheError: the prompt does not fit into the server's memory.
        """
        got = self.manager.allocate(tenant, prompt, salt=tenant.encode() if self.salts else b"")
        if isinstance(got, NoRoom):
            raise CacheError(f"A prompt of {len(prompt)} tokens has no room on this server: give it more blocks.")
        self.manager.free(tenant)
        return self.clock.ttft_ms(len(prompt) - got.num_cached_tokens)


def dictionary(size: int, block_size: int, seed: int = 7) -> list[list[int]]:
    """`size` different blocks of tokens: what the attacker thinks that a block of the secret may be.

    Raises:
        CacheError: there are not so many different blocks, or a number makes no sense.
    """
    size = whole_number(size, "size", error=CacheError)
    block_size = whole_number(block_size, "block_size", at_least=1, error=CacheError)
    if size > (there := len(WORDS) ** block_size):
        raise CacheError(
            f"{size:,} blocks of {block_size} tokens are to differ, and there are {there:,}: ask for fewer."
        )
    rng = random.Random(whole_number(seed, "seed", error=CacheError))
    found: set[tuple[int, ...]] = set()
    words: list[list[int]] = []
    while len(words) < size:
        word = tuple(rng.randrange(WORDS.start, WORDS.stop) for _ in range(block_size))
        words += [] if word in found else [list(word)]
        found.add(word)
    return words


def steal(server: Server, words: Sequence[Sequence[int]], blocks: int) -> tuple[list[int], list[list[Probe]]]:
    """Guess so many blocks of a prompt that a victim has sent, one after another, the fastest guess winning.

    Returns:
        (guesses, probes of each block); a guess is an index into `words`, which are what a block may be. Each guess is
        sent once: the second time it would hit what the first has left.
    """
    prefix: list[int] = []
    record = []
    for _ in range(blocks):
        probes = [Probe(g, server.ask("attacker", [*prefix, *word, QUESTION])) for g, word in enumerate(words)]
        record.append(probes)
        prefix += words[min(probes, key=lambda probe: probe.ttft_ms).guess]
    return [min(probes, key=lambda probe: probe.ttft_ms).guess for probes in record], record


def auc(right: Sequence[float], wrong: Sequence[float]) -> float:
    """How well one threshold on the time tells right guesses from wrong ones (area under the ROC curve).

    The probability that a right guess was faster than a wrong one, ties counted half: 0.5 is a coin, 1 is certainty.

    Raises:
        CacheError: one of the two is empty.
    """
    if not right or not wrong:
        raise CacheError("The AUC compares right guesses with wrong ones, and one of the two is missing: probe both.")
    times, count = sorted(wrong), len(wrong)
    slower = sum(count - 0.5 * (bisect_left(times, t) + bisect_right(times, t)) for t in right)
    return slower / (len(right) * count)


def measure(block_size: int, salts: bool, trials: int = 1000, *, noise_ms: float = 1.0) -> Times:
    """Times of so many right and so many wrong guesses at one secret block, each on a fresh server.

    Raises:
        CacheError: a number that makes no sense.
    """
    block_size = whole_number(block_size, "block_size", at_least=1, error=CacheError)
    trials = whole_number(trials, "trials", at_least=1, error=CacheError)
    clock = Clock(noise_ms=noise_ms, seed=7000 + 2 * block_size + salts)
    parts = Parts()  # progress is read once, and not for each server
    right: list[float] = []
    wrong: list[float] = []
    for trial in range(trials):
        secret, other = dictionary(2, block_size, seed=7000 + trial)
        for guess, times in ((secret, right), (other, wrong)):
            server = Server(kv_cache_manager(64, block_size, parts=parts), clock, salts)
            server.ask("victim", [*secret, QUESTION])
            times.append(server.ask("attacker", [*guess, QUESTION]))
    return right, wrong


def side_channel_picture(times: dict[str, Times]) -> Picture:
    """Times of right and wrong guesses, one panel a server."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    theme.use_mpl()
    figure = Figure(figsize=(8.2, 2.6))
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(times), sharex=True, sharey=True, squeeze=False)[0]
    everything = [t for pair in times.values() for part in pair for t in part]
    low, high = min(everything), max(everything)
    bins = [low + (high - low) * i / 24 for i in range(25)]
    accent = theme.LIGHT["accent"]
    plain = {"color": "#dfe3e8", "edgecolor": theme.LIGHT["dim"], "linewidth": 0.6}
    hatched = {"color": accent, "alpha": 0.55, "hatch": "////", "edgecolor": accent}
    said = []
    for panel, (title, (right, wrong)) in zip(panels, times.items(), strict=True):
        panel.hist(wrong, bins, label="wrong guess", **plain)
        panel.hist(right, bins, label="right guess", **hatched)
        panel.set(title=f"{title}: AUC {auc(right, wrong):.2f}", xlabel="time to first token (ms)")
        said.append(f"{title}, AUC {auc(right, wrong):.2f}")
    panels[0].set_ylabel("probes")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return Picture(figure, f"Times of right and of wrong guesses. {'; '.join(said)}.")
