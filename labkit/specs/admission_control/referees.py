"""Lesson 17: a server that never takes memory back, and the gate in front of it.

One block is one token here. A request takes the blocks of its prompt when it starts and one more with each token; at
its end it gives all of them back. Source of the idea: vLLM pull request 57104, where two requests had their memory
before either was running, so that nobody could be preempted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.grading.display import show
from labkit.grading.language import Op
from labkit.grading.referee import Illegal, Referee, StopSequence
from labkit.words import choose, listed, plural


@dataclass
class Asking:
    """A request at the gate.

    Attributes:
        prompt: blocks that it takes when it starts; more: blocks that it takes afterwards, one per step.
        held: blocks that it has.
    """

    name: str
    prompt: int
    more: int
    held: int = 0

    def __repr__(self) -> str:
        return self.name


def may_start(request: Asking, running: Sequence[Asking], free: int, num_blocks: int) -> bool:
    """The right gate: all that were promised their end, and this one, could come to it."""
    promised = sum(other.prompt + other.more - other.held for other in running)
    return request.prompt + request.more + promised <= free


class StuckReferee(Referee):
    """Runs the server behind a gate until everybody has ended, or nothing moves any more."""

    def do_new(self, num_blocks: int) -> None:
        self.num_blocks = self.free = num_blocks
        self.running: list[Asking] = []
        self.waiting: list[Asking] = []
        self._line(f"a server with {plural(num_blocks, 'block')}")

    def do_come(self, name: str, prompt: int, more: int) -> None:
        self.waiting.append(Asking(name, prompt, more))
        self._line(f"{name} comes: {plural(prompt, 'block')} to start, {more} more to end")

    def do_run(self) -> None:
        rule = self.spec.rules[0].name
        while self.waiting or self.running:
            while self.waiting and self._asked(self.waiting[0]):
                started = self.waiting.pop(0)
                started.held = started.prompt
                self.free -= started.held
                self.running.append(started)
            if not self.running:
                return  # who waits does so for good, and holds nothing
            moved = [request for request in [*self.running] if self._moves(request)]
            holds = ", ".join(f"{r} holds {r.held} and wants {r.prompt + r.more - r.held} more" for r in self.running)
            self._line(f"a step: {holds or 'all have ended'}; {self.free} free")
            names = listed([str(request) for request in self.running])
            stuck = f"{names} {choose(len(self.running), 'waits', 'wait')} for a block, {self.free} "
            stuck += f"{choose(self.free, 'is', 'are')} free, and nobody gives any back: nothing moves again."
            if not self.require(rule, bool(moved), cause=stuck):
                raise StopSequence

    def resolve(self, op: Op, bend: bool = True) -> Op:
        if op.name == "new" and hasattr(self, "num_blocks"):
            raise Illegal("makes a second server: have one only.")
        if op.name == "come":
            name, most = op.args["name"], op.args["prompt"] + op.args["more"]
            if name in {request.name for request in (*self.running, *self.waiting)}:
                raise Illegal(f"brings {name}, which is there already: take another letter.")
            if most > self.num_blocks:
                raise Illegal(f"brings {name}, which never fits into {self.num_blocks} blocks: ask for fewer.")
        return op

    def _asked(self, request: Asking) -> bool:
        args = request, tuple(self.running), self.free, self.num_blocks
        label = f"may_start({request}, {show(self.running)}, {self.free}, {self.num_blocks})"
        return bool(self.call(self.spec.rules[0].name, label, self.implementation, *args, keep=False))

    def _moves(self, request: Asking) -> bool:
        """One more block, or the end. False: there is no block."""
        if request.held == request.prompt + request.more:
            self.running.remove(request)
            self.free += request.held
            return True
        if not self.free:
            return False
        self.free -= 1
        request.held += 1
        return True
