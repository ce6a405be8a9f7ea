"""Lesson 11, your first Triton kernel: its rules, witnesses and hints."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from labkit.grading.language import rules_from
from labkit.specs import Exercise, Lesson
from labkit.specs.first_kernel.referees import KernelSpecification, untouched


class CopyMasked(KernelSpecification):
    """The first n numbers of a tensor, a block per program."""

    exercise = "copy_masked"
    # A witness: numbers to copy, numbers per program, numbers that lie in both tensors beyond them.
    rules = rules_from(
        """
        copies-each-number: out[i] is src[i] for each i below n.
            4 4 0
            16 4 0
        only-the-first-n: No number at n or beyond is written.
            5 4 3
        stays-inside-its-tensors: No address outside of the tensors is read or written.
            5 4 0
            1 8 0
        """
    )
    hints = (
        "Which numbers is program 1 to copy, for blocks of 4? How many of them are there, for n = 5?",
        "Program p copies the numbers p * BLOCK to p * BLOCK + BLOCK - 1, and of those only what lies below n.",
        "at = tl.program_id(0) * ____ + tl.arange(0, ____)\nthere = at < ____\n"
        "tl.store(out + at, tl.load(src + at, mask=____), mask=____)",
    )
    search = {"n": (1, 20), "block": [2, 4, 8], "beyond": (0, 3)}

    def sized(self, n: int, block: int, beyond: int) -> None:
        """Sizes of one launch."""

    def decode(self, args: Mapping[str, Any]) -> dict[str, Any]:
        import torch

        draw = random.Random(3)
        n, beyond = args["n"], args["beyond"]
        return {"src": torch.tensor([draw.uniform(-2, 2) for _ in range(n + beyond)]), "n": n, "block": args["block"]}

    def launch(self, kernel: Any, src: Any, n: int, block: int) -> Any:
        out = untouched(len(src))
        kernel[(-(-n // block),)](out, src, n, BLOCK=block)
        return out

    def oracle(self, src: Any, n: int, block: int) -> Any:
        out = untouched(len(src))
        out[:n] = src[:n]
        return out


LESSON = Lesson(
    key="11_first_kernel",
    title="Your first Triton kernel",
    part="II. Attention kernels",
    minutes=65,
    builds="A kernel.",
    symptom="x",
    exercises=(
        Exercise("copy_masked", "A masked copy", 8, 2, 4, CopyMasked(), "kvkernels.first_steps:copy_masked"),
    ),
    ending="x",
)
