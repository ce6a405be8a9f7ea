"""Lesson 19: a server whose alarm counts preemptions, and what a preemption can cost.

Source of the idea: vLLM issue 25538, where few preemptions threw away a prompt of 100,000 tokens each, and dashboards
that paint preemptions red from one per second on.
"""

from __future__ import annotations

import numpy as np

from labkit import engine
from labkit.cache.geometry import MODELS
from labkit.grading.language import Op
from labkit.grading.referee import Illegal, Referee
from labkit.scheduling.admission import can_ever_fit
from labkit.scheduling.request import Request
from labkit.simulate.clock import simulate
from labkit.simulate.cost_model import CARDS, cost_model

SHARE = 1 / 3


def alarm(preempted: int, computed: int, recomputed: int, seconds: float) -> bool:
    """The right alarm: a third of what was computed had been computed before."""
    return recomputed >= SHARE * computed


class RedLineReferee(Referee):
    """Serves requests on blocks of 16 tokens, on one L4 and without a prefix cache, and asks the alarm at the end."""

    def do_new(self, num_blocks: int) -> None:
        self.num_blocks = num_blocks
        self.requests: dict[str, Request] = {}
        self._line(f"a server with {num_blocks} blocks of 16 tokens")

    def do_come(self, name: str, prompt: int, answer: int) -> None:
        tokens = np.full(prompt, len(self.requests), np.uint32).tobytes()
        self.requests[name] = Request(name, tokens, answer)
        self._line(f"{name} comes: {prompt} tokens, and {answer} to generate")

    def do_run(self) -> None:
        rule = self.spec.rules[0].name
        manager = engine.kv_cache_manager(self.num_blocks, 16, prefix_cache=None, yours=False)
        scheduler = engine.scheduler(manager, yours=False)
        requests, self.requests = [*self.requests.values()], {}
        run = simulate(requests, scheduler, cost_model(CARDS["L4"], MODELS["Llama-3.1-8B"]))
        totals, preempted = scheduler.totals, manager.counters.preemptions
        twice, seconds = totals.recomputed / max(1, totals.computed), round(run.seconds, 1)
        self._line(
            f"served in {seconds:.1f} s: {totals.computed:,} tokens computed, {totals.recomputed:,} of them again"
        )
        args = preempted, totals.computed, totals.recomputed, seconds
        label = f"alarm({preempted}, {totals.computed}, {totals.recomputed}, {seconds})"
        if seconds < 1:
            self.note("less than a second: nobody looks at a board for that")
            return
        red = self.call(rule, label, self.implementation, *args, keep=False)
        self.require(
            rule,
            bool(red) or twice < SHARE,
            cause=f"{twice:.0%} of all that was computed had been computed before, with {preempted / seconds:.1f} "
            "preemptions per second, and the alarm is not red.",
        )

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if op.name == "new" and hasattr(self, "num_blocks"):
            raise Illegal("makes a second server: have one only.")
        if op.name == "come":
            name, sizes = op.args["name"], (op.args["prompt"], op.args["answer"])
            if name in self.requests:
                raise Illegal(f"brings {name}, which is there already: take another letter.")
            if not can_ever_fit(*sizes, self.num_blocks, 16):
                raise Illegal(f"brings {name}, which never fits into {self.num_blocks} blocks: ask for fewer tokens.")
        return op
