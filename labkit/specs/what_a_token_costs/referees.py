"""Lesson 02: who watches a model decode, and a server let requests in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from labkit.grading.compare import whole
from labkit.grading.display import show
from labkit.grading.referee import Referee
from labkit.words import plural

if TYPE_CHECKING:
    from torch import Tensor


class DecodeReferee(Referee):
    """Watches which tokens the model is asked to compute, and compares the text with that from scratch."""

    most_lines = 8

    def do_call(self, seed: int, heads: list[int], prompt: list[int], num_new: int) -> None:
        from labkit.attention.decode_by_hand import decode_from_scratch
        from labkit.attention.toy_model import ToyModel

        model = ToyModel(seed, *heads)
        prompt = [token % model.vocab_size for token in prompt]  # 139..0 is a long text of the model's tokens
        expected = decode_from_scratch(ToyModel(seed, *heads), prompt, num_new)
        self.setup_text = (
            f"a model with {plural(heads[0], 'query head')} and {plural(heads[1], 'KV head')} (seed {seed})"
        )
        given, chosen = list(prompt), _watch(model)
        right, many = "tokens-as-from-scratch", "as-many-as-asked"
        label = f"decode_cached(model, {show(prompt)}, {num_new})"
        seen = self.call(right if num_new else many, label, self.implementation, model, given, num_new, keep=False)
        cause = f"The list that the caller passed in is {show(given)} after the call."
        if not self.require("the-prompt-is-left-alone", given == prompt, expected=prompt, seen=given, cause=cause):
            return
        ids = _ids(seen)
        if ids is None:
            self.require(many, False, expected=expected, kind="wrong-type", cause=_type_cause(seen))
        elif not self._places(model, prompt, expected if ids == expected else None, chosen):
            return
        elif len(ids) != len(expected):
            self.require(many, False, expected=expected, cause=_count_cause(ids, expected, prompt))
        elif ids != expected:
            i = next(i for i, (a, b) in enumerate(zip(ids, expected, strict=True)) if a != b)
            cause = f"New token {i + 1} is {ids[i]}; computed from scratch it is {expected[i]}."
            self.require(right, False, expected=expected, cause=cause)

    def _places(self, model: Any, prompt: list[int], right: list[int] | None, chosen: list[tuple[int, int]]) -> bool:
        """Every token at its place, and each computed once; the calls of `project` become lines of the trace.

        Args:
            right: the new tokens where the answer is right; then nothing is asked about the order of the calls.
            chosen: what next_token said, each with the number of calls of `project` before it.
        """
        sequence = prompt + (right or [])
        done: set[int] = set()
        left = list(chosen) if right is None else []
        for n, (tokens, start) in enumerate(model.calls):
            while left and left[0][0] <= n:
                if missing := self._missing(sequence, done):
                    return self._told(model, n - 1, *missing)
                sequence = [*sequence, left.pop(0)[1]]
            ahead = max(done, default=-1) + 1
            fits = sequence[ahead : ahead + len(tokens)] == tokens
            for position, token in enumerate(tokens, start):
                rule, shown = "each-at-its-own-position", (f"start={ahead}", f"start={start}")
                cause = f"Token {token} is computed as if it stood at position {position}, but "
                if position >= len(sequence):
                    cause += f"the sequence has {len(sequence)} tokens so far, at positions 0 to {len(sequence) - 1}."
                    other = ("tokens of the sequence", str(tokens))
                elif sequence[position] != token:
                    cause += f"token {sequence[position]} stands there."
                    other = (f"token {sequence[position]} at position {position}", f"token {token}")
                elif position in done:
                    rule, shown = "each-key-computed-once", ("only new tokens", "computed before")
                    cause = f"Position {position} is computed a second time: its key and value do not change, and were "
                    return self._told(model, n, rule, *shown, f"{cause}there already.")
                else:
                    done.add(position)
                    continue
                return self._told(model, n, rule, *(shown if fits else other), cause)
        for _, token in left:
            if missing := self._missing(sequence, done):
                return self._told(model, len(model.calls) - 1, *missing)
            sequence = [*sequence, token]
        return True

    def _missing(self, sequence: list[int], done: set[int]) -> tuple[str, str, str, str] | None:
        """What to say where a next token was asked for and some token before it had not been computed."""
        position = next((p for p in range(len(sequence)) if p not in done), None)
        if position is None:
            return None
        return (
            "each-key-computed-once",
            f"token {sequence[position]} at position {position} as well",
            "not computed",
            f"The next token was asked for while token {sequence[position]}, at position {position}, had not been "
            "computed: there is no key and no value of it.",
        )

    def _told(self, model: Any, n: int, rule: str, expected: str, seen: str, cause: str) -> bool:
        """Write the calls of `project` up to number n, and that the last broke the rule."""
        if n >= self.most_lines:
            self._line(f"... {n - self.most_lines + 1} more calls of project", observe=True)
        first = 0 if n < self.most_lines else n - self.most_lines + 1
        for tokens, start in model.calls[first : n + 1]:
            self._line(f"model.project({show(tokens, 50)}, {start})", observe=True)
        if n < 0:
            self._line("model.next_token(...)", observe=True)
        self.steps[-1].expected, self.steps[-1].seen = expected, seen
        return self.require(rule, False, cause=cause)


def _watch(model: Any) -> list[tuple[int, int]]:
    """Have the model note, in the list that comes back, each token it chooses: (calls of project so far, token)."""
    chosen: list[tuple[int, int]] = []
    choose = model.next_token

    def next_token(row: Tensor) -> int:
        token = choose(row)
        chosen.append((len(model.calls), token))
        return token

    model.next_token = next_token
    return chosen


def _type_cause(seen: Any) -> str:
    text = "The answer is a list of token ids."
    if seen is None:
        return text + " Yours is None: is a return missing?"
    if isinstance(seen, list | tuple):
        odd = next((x for x in seen if _ids([x]) is None), None)
        return text + f" Yours holds {show(odd, 60)}, which is none."
    return text + f" Yours is {show(seen, 60)}."


def _ids(seen: Any) -> list[int] | None:
    """A learner's answer as plain ids, None where it is no list of whole numbers."""
    ids = [whole(token) for token in seen] if isinstance(seen, list | tuple) else [None]
    return None if None in ids else [id for id in ids if id is not None]


def _count_cause(ids: list[int], expected: list[int], prompt: list[int]) -> str:
    if ids[: len(prompt)] == prompt and len(ids) >= len(expected) + len(prompt):
        return "The prompt is in the answer; only the new tokens were asked for."
    asked = f"{plural(len(expected), 'new token')} {'was' if len(expected) == 1 else 'were'} asked for"
    return f"{asked}; yours has {len(ids)}."


class GateReferee(Referee):
    """A server at its start: a request at the door, then on the empty cache."""

    def do_new(self, num_blocks: int, full_layers: int, window_layers: int, window: int) -> None:
        from labkit.cache.gate import Gate

        shape = num_blocks, full_layers, window_layers, window
        self.right = Gate(*shape)
        self.setup_text = f"an empty cache of {num_blocks} blocks of 16 tokens"
        self.gate = self.call("let-in-means-may-start", f"Gate{shape}", self.implementation, *shape)

    def do_request(self, tokens: int) -> None:
        let_in = self.call("what-fits-is-let-in", f"accepts({tokens})", "accepts", tokens, on=self.gate)
        due, needs = self.right.accepts(tokens), f"{self.right.blocks(tokens)} of {self.right.num_blocks} blocks"
        cause = f"A sequence of {tokens} tokens holds {needs}."
        if not self.require("what-fits-is-let-in", bool(let_in) == due, expected=due, cause=cause):
            return
        if not let_in:
            self.note("turned away at the door")
            return
        starts = self.call("let-in-means-may-start", f"starts({tokens})", "starts", tokens, on=self.gate)
        cause = f"The request was let in, the cache is empty, it needs {needs}, and it may not start: "
        cause += "Running 0, Waiting 1, for ever."
        self.require("let-in-means-may-start", bool(starts), expected=True, cause=cause)
