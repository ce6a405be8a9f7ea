"""Lesson 15: who looks at pages of 8 bits number by number, and a memory of such pages that is used again."""

from __future__ import annotations

from typing import Any

from labkit.grading.display import Words
from labkit.grading.referee import Illegal, Referee
from labkit.specs.attention_by_hand.referees import TensorReferee, shape_of

BY_NAME = {"int8": 127.0, "e4m3": 448.0}
"""The largest number of each kind of page, by the name that witnesses use."""


def half_step(y: Any, name: str) -> Any:
    """Half of the distance between two neighbours of a number in units of the scale, int8 or e4m3."""
    import torch

    if name == "int8":
        return torch.full_like(y, 0.5)
    return 2.0 ** (torch.floor(torch.log2(y.abs().clamp_min(2.0**-6))) - 4)


class QuantizeReferee(TensorReferee):
    """Looks at the scales, then at each number: read back, it must be as near as the nearest that can be kept."""

    def judge(self, rule: str, seen: Any, expected: Any, args: dict[str, Any]) -> None:
        wrong = self._wrong(seen, expected, args)
        if wrong is not None:
            rule, told, due, cause = wrong
            self.require(rule, False, seen=told, expected=due, cause=cause)

    def _wrong(self, seen: Any, expected: Any, args: dict[str, Any]) -> tuple[str, Any, Any, str] | None:
        """(rule, what was seen, what is due, cause), the worst first."""
        import torch

        two = isinstance(seen, list | tuple) and len(seen) == 2 and all(isinstance(t, torch.Tensor) for t in seen)
        due = tuple(shape_of(t) for t in expected)
        if not two or tuple(shape_of(t) for t in seen) != due:
            told = Words(f"shapes {shape_of(seen[0])} and {shape_of(seen[1])}") if two else seen
            cause = "Pages of the shape of x and one scale for each KV head are due."
            return "pages-and-scales", told, Words(f"shapes {due[0]} and {due[1]}"), cause
        kinds = tuple(str(t.dtype).removeprefix("torch.") for t in seen)
        right = tuple(str(t.dtype).removeprefix("torch.") for t in expected)
        if kinds != right:
            cause = f"The pages are {kinds[0]} and the scales {kinds[1]}; {right[0]} and {right[1]} are due."
            return "dtypes-as-asked", Words(" and ".join(kinds)), Words(" and ".join(right)), cause
        x = self.spec.decode(args)["x"].float()
        return self._scales(seen[1], expected[1], x, args) or self._numbers(seen[0], seen[1], x, args)

    def _scales(self, seen: Any, due: Any, x: Any, args: dict[str, Any]) -> tuple[str, Any, Any, str] | None:
        import torch

        if args["scale"]:
            if torch.allclose(seen, due, rtol=1e-5, atol=0):
                return None
            return "a-given-scale-is-used", seen, due, "A scale was given, and another one came back."
        largest = BY_NAME[args["dtype"]]
        tops = x.abs().amax(dim=(0, 2))
        for head, (top, told) in enumerate(zip(tops.tolist(), seen.tolist(), strict=True)):
            if top == 0 and not 0 < told < float("inf"):
                cause = f"Head {head} has zeros only, and its scale is {told:g}: x / scale is not a number there."
                return "a-head-of-zeros", seen, due, cause
        filled = tops > 0
        if torch.allclose(seen[filled], due[filled], rtol=1e-5, atol=0):
            return None
        head = int((((seen - due).abs() / due) * filled).nan_to_num(1e9, 1e9).argmax())
        cause = f"The largest number of head {head} is {tops[head]:g}, and the largest that can be kept is {largest:g}."
        if args["came"] != "float32" and torch.allclose(seen[filled], due[filled], rtol=2e-2, atol=0):
            return "computed-in-float32", seen, due, f"{cause} The scale was rounded as {args['came']} is."
        others = {
            "one-scale-per-head": (tops.max().expand_as(tops), "The scale is that of all heads together."),
            "measured-on-all-tokens": (x[0].abs().amax(dim=1), "The scale is that of the first token alone."),
        }
        for rule, (top, told) in others.items():
            if torch.allclose(seen[filled], top[filled] / largest, rtol=1e-5, atol=0):
                return rule, seen, due, f"{cause} {told}"
        return "the-smallest-that-fits", seen, due, cause

    def _numbers(self, pages: Any, scale: Any, x: Any, args: dict[str, Any]) -> tuple[str, Any, Any, str] | None:
        name = args["dtype"]
        largest = BY_NAME[name]
        kept, y = pages.float(), x / scale[:, None]
        beyond = y.abs() > largest * (1 + 1e-5)
        rule = "within-half-a-step" if args["came"] == "float32" else "computed-in-float32"
        bad = ~beyond & ~((kept - y).abs() <= half_step(y, name) * (1 + 1e-4) + 1e-4 * (name == "int8"))
        if not bad.any():
            rule, bad = "saturates", beyond & (kept != y.sign() * largest)
        if not bad.any():
            return None
        token, head, d = bad.nonzero()[0].tolist()
        number, k, s = (float(t) for t in (x[token, head, d], kept[token, head, d], scale[head]))
        if float(x[:, head].abs().max()) == 0:
            rule = "a-head-of-zeros"
        near = float(half_step(y[token, head, d], name)) * s
        cause = f"Token {token}, head {head}, number {d}: {number:g} is kept as {k:g} with the scale {s:.4g}, "
        if rule == "saturates":
            cause += f"which reaches as far as {largest * s:.4g}; what lies beyond is cut to {largest:g}, sign kept."
        else:
            cause += f"so it is read as {k * s:.4g}; half a step is {near:.4g} there."
        # Of two numbers that are equally near, the learner's is as right as ours.
        due = bad.float() * self.spec.right(args)[0].float() + (~bad).float() * kept.nan_to_num()
        return rule, pages, due.to(pages.dtype), cause


class BlocksReferee(Referee):
    """A memory of int8 blocks for one head. A sequence takes a block for each write; the block that was given back last
    is taken first."""

    RULE = "read-within-half-a-step"
    TOKENS = 4

    def _begin(self) -> None:
        if not hasattr(self, "blocks"):
            self.blocks = self.implementation()
            self.free: list[int] = []
            self.made = 0
            self.held: dict[str, list[tuple[int, Any]]] = {}

    def do_write(self, seq: str, size: int) -> None:
        import torch

        self._begin()
        if not self.free:
            self.free.append(self.made)
            self.made += 1
        block = self.free.pop()
        x = size * torch.tensor([0.37, -1.0, 0.11, 0.74])
        self.call(self.RULE, f"write({seq}, {size})", "write", block, x.clone(), on=self.blocks)
        self.steps[-1].seen = f"block {block}, numbers up to {size}"
        self.held.setdefault(seq, []).append((block, x))

    def do_end(self, seq: str) -> None:
        given = [block for block, _ in self.held.pop(seq)]
        self.free += given[::-1]
        self._line(f"end({seq})").seen = f"blocks {given} are free"

    def do_read(self, seq: str) -> None:
        for block, x in self.held[seq]:
            seen = self.call(self.RULE, f"read({seq}), block {block}", "read", block, on=self.blocks)
            step = float(x.abs().max()) / 127
            off = float((seen - x).abs().max())
            cause = (
                f"The numbers of {seq} in block {block} go up to {127 * step:g}, so half a step is {step / 2:.3g}, and "
                f"one of them is off by {off:.3g}."
            )
            self.require(self.RULE, off <= step / 2 * 1.001, expected=x, cause=cause)

    def resolve(self, op: Any, bend: bool = True) -> Any:
        seq = str(op.args.get("seq"))
        if op.name != "write" and seq not in getattr(self, "held", {}):
            raise Illegal(
                f"is about {seq}, which has no block to read or give back: it has written nothing, or has ended."
            )
        return op
