"""A timing side channel of shared prefix caches: what the time to the first token tells about other people's prompts.

A block that somebody has computed is not computed again, so a prompt that begins like somebody else's is answered
sooner. Whoever can send prompts and read a clock can therefore ask: has anybody sent this beginning? The attack
here is that of CVE-2025-46570 (vLLM, pull requests 16016 and 17045): a guess a block, from the front. A salt that
the server sets for each tenant closes it, because equal tokens under another salt have other hashes.

Time is simulated: so many milliseconds a computed token, plus noise from a seeded generator. The cache is the real
one (`KVCacheManager`), and it alone decides what is computed.
"""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf
from numbers import Real

from labkit import theme
from labkit.cache.checks import whole_number
from labkit.cache.kv_cache_manager import KVCacheManager
from labkit.errors import CacheError
from labkit.simulate.pictures import Picture

QUESTION = 7
"""A token that ends every probe: one token at least is always computed."""

WORDS = range(100, 50_000)
"""Tokens that stand in blocks."""


@dataclass
class Clock:
    """Time to first token, simulated.

    Attributes:
        ms_per_token: of prefill, for each token that is computed.
        base_ms: what every request takes.
        noise_ms: standard deviation of the noise, as network and batching add it.
        seed: of the noise.

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
            if not (isinstance(value, Real) and 0 <= value < inf):
                raise CacheError(f"{name} is {value!r:.60}, but must be a number of 0 or more: give milliseconds.")
        self._rng = random.Random(whole_number(self.seed, "seed", error=CacheError))

    def ttft_ms(self, computed_tokens: int) -> float:
        """Time to first token of a request of which so many tokens had to be computed."""
        noise = self._rng.gauss(0.0, self.noise_ms) if self.noise_ms else 0.0
        return self.base_ms + self.ms_per_token * computed_tokens + noise


@dataclass(frozen=True)
class Probe:
    """One guess of the attacker: what was guessed, the time it took, and the truth, which the attacker never sees."""

    guess: int
    ttft_ms: float
    right: bool


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
    _count: int = field(default=0, repr=False)

    def ask(self, tenant: str, prompt: Sequence[int]) -> float:
        """Answer a prompt and let go of its blocks; the time to first token, in ms.

        Raises:
            CacheError: the prompt does not fit into the server's memory.
        """
        self._count += 1
        name = f"{tenant}-{self._count}"
        got = self.manager.allocate(name, prompt, salt=tenant.encode() if self.salts else b"")
        if not got:
            raise CacheError(f"A prompt of {len(prompt)} tokens has no room on this server: give it more blocks.")
        self.manager.free(name)
        return self.clock.ttft_ms(len(prompt) - got.num_cached_tokens)


def dictionary(size: int, block_size: int, seed: int = 7) -> list[list[int]]:
    """`size` different blocks of tokens: what the attacker thinks that a block of the secret may be.

    Raises:
        CacheError: there are not so many different blocks, or a number makes no sense.
    """
    size = whole_number(size, "size", error=CacheError)
    block_size = whole_number(block_size, "block_size", at_least=1, error=CacheError)
    rng = random.Random(whole_number(seed, "seed", error=CacheError))
    if size > len(WORDS) ** block_size:
        raise CacheError(
            f"{size:,} different blocks of {block_size} tokens were asked for, but there are "
            f"{len(WORDS) ** block_size:,}: ask for fewer."
        )
    found: dict[tuple[int, ...], None] = {}
    while len(found) < size:
        found[tuple(rng.randrange(WORDS.start, WORDS.stop) for _ in range(block_size))] = None
    return [list(block) for block in found]


def steal(server: Server, words: Sequence[Sequence[int]], blocks: int, known: Sequence[int] = (), *,
          secret: Sequence[int] = ()) -> tuple[list[int], list[list[Probe]]]:
    """Guess a prompt block by block, the fastest guess winning.

    Args:
        server: where a victim has sent its prompt before.
        words: what a block may be; the guesses are indices into it.
        blocks: how many blocks to guess.
        known: tokens in front of the secret that everybody knows (a public system prompt); whole blocks.
        secret: the right guesses, only for the record in `Probe.right`.

    Returns:
        (guesses, probes of each block). Each guess is sent once: the second time it would hit what the first has left.
    """
    prefix = list(known)
    guesses, record = [], []
    for i in range(blocks):
        probes = [
            Probe(g, server.ask("attacker", [*prefix, *word, QUESTION]), i < len(secret) and secret[i] == g)
            for g, word in enumerate(words)
        ]
        best = min(probes, key=lambda probe: probe.ttft_ms).guess
        guesses.append(best)
        record.append(probes)
        prefix += words[best]
    return guesses, record


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


def measure(
    block_size: int,
    salts: bool,
    trials: int = 1000,
    *,
    noise_ms: float = 1.0,
    ms_per_token: float = 0.4,
    seed: int = 7,
    make: Callable[[int, int], KVCacheManager] = KVCacheManager,
) -> tuple[list[float], list[float]]:
    """Times of right and of wrong guesses at one secret block, each on a fresh server.

    Args:
        block_size: tokens of the block that is guessed.
        salts: whether every tenant has a salt.
        trials: of each kind.
        make: (number of blocks, block size) -> the manager.

    Returns:
        (times of right guesses, times of wrong guesses), in ms.

    Raises:
        CacheError: a number that makes no sense.
    """
    block_size = whole_number(block_size, "block_size", at_least=1, error=CacheError)
    trials = whole_number(trials, "trials", at_least=1, error=CacheError)
    clock = Clock(ms_per_token=ms_per_token, noise_ms=noise_ms, seed=1000 * seed + 2 * block_size + salts)
    right: list[float] = []
    wrong: list[float] = []
    for trial in range(trials):
        secret, other = dictionary(2, block_size, seed=1000 * seed + trial)
        for guess, times in ((secret, right), (other, wrong)):
            server = Server(make(64, block_size), clock, salts)
            server.ask("victim", [*secret, QUESTION])
            times.append(server.ask("attacker", [*guess, QUESTION]))
    return right, wrong


def side_channel_picture(times: dict[str, tuple[Sequence[float], Sequence[float]]]) -> Picture:
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
    said = []
    for panel, (title, (right, wrong)) in zip(panels, times.items(), strict=True):
        panel.hist(wrong, bins, color="#dfe3e8", edgecolor=theme.LIGHT["dim"], linewidth=0.6, label="wrong guess")
        panel.hist(right, bins, color=theme.LIGHT["accent"], alpha=0.55, hatch="////", edgecolor=theme.LIGHT["accent"],
                   linewidth=0.6, label="right guess")
        panel.set(title=f"{title}: AUC {auc(right, wrong):.2f}", xlabel="time to first token (ms)")
        said.append(f"{title}, AUC {auc(right, wrong):.2f}")
    panels[0].set_ylabel("probes")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return Picture(figure, f"Times of right and of wrong guesses. {'; '.join(said)}.")
