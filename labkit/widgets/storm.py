"""Storm: a small simulated server with knobs, and its board."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from labkit import engine
from labkit.cache.eviction_policies import POLICIES
from labkit.errors import BoardError
from labkit.observe.alerts import RULES, Rule, rule_of
from labkit.observe.series import Series
from labkit.scheduling.preemption import VICTIMS
from labkit.simulate.storm import GATES, StormSettings, run_storm
from labkit.widgets.storm_board import Knob, StormBoard

KNOBS: tuple[Knob, ...] = (
    Knob("seats", "Seats", (16, 32, 48, 64, 80, 96, 128, 192, 256)),
    Knob("arrivals_per_s", "Requests a second", (0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0)),
    Knob("blocks", "Blocks", (1500, 2000, 2500, 3000, 3500, 4000, 5000, 6000)),
    Knob("watermark", "Watermark", (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)),
    Knob("token_budget", "Tokens a step", (256, 512, 1024, 2048, 4096, 8192)),
    Knob("admission", "Starts if it fits", tuple(GATES)),
    Knob("victim", "Who is preempted", tuple(VICTIMS)),
    Knob("policy", "Who is evicted", tuple(POLICIES)),
)
"""All knobs, by the settings that they turn."""


class Storm(StormBoard):
    """A board whose knobs run a simulation again: Llama 3.1 8B on one L4 for two minutes (`labkit.simulate.storm`).

    It runs on the parts in use, yours where they have passed, your alert among them.

    Args:
        knobs: the settings that can be turned, in this order; all by default.
        title: what stands above.
        yours: False for the reference parts alone.
        settings: where it begins; see `StormSettings`.

    Raises:
        BoardError: a knob that there is not, or a setting that its knob does not have.
        SimulationError, SchedulerError: settings that cannot be.
    """

    def __init__(
        self,
        knobs: Sequence[str] | None = None,
        title: str = "Storm board",
        *,
        yours: bool = True,
        **settings: Any,
    ) -> None:
        known = {knob.name: knob for knob in KNOBS}
        wanted = list(known) if knobs is None else list(knobs)
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise BoardError(f"There is no knob {unknown[0]!r:.60}: choose among {', '.join(known)}.")
        known_settings = asdict(StormSettings())
        strange = sorted(set(settings) - set(known_settings))
        if strange:
            raise BoardError(f"A storm has no setting {strange[0]:.60}; its settings are {', '.join(known_settings)}.")
        begin = asdict(StormSettings(**settings))

        def rerun(chosen: dict[str, Any]) -> Series:
            return run_storm(StormSettings(**{**begin, **chosen}), yours=yours)

        turned = [known[name] for name in wanted]
        super().__init__(rerun({}), title, knobs=turned, settings=begin, rerun=rerun, rules=alert_rules(yours))


def alert_rules(yours: bool = True) -> tuple[Rule, ...]:
    """The rules of a board, and your `thrash_alert` of lesson 19 beside them, if it has passed."""
    parts = engine.Parts(yours)
    if not parts.is_yours("thrash_alert"):
        return RULES
    return (rule_of(parts.part("thrash_alert"), "yours", "Your alert"), *RULES)
