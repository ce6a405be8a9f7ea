"""Lessons 11 to 15: who launches a learner's kernel, and says which rule its numbers and its addresses break."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from labkit.errors import KernelError
from labkit.grading.display import Words
from labkit.grading.referee import StopSequence, Unjudgeable
from labkit.grading.specification import GENERAL
from labkit.specs.attention_by_hand.referees import TensorReferee
from labkit.specs.paged_attention.referees import SizedSpecification


class KernelReferee(TensorReferee):
    """Launches the kernel in the interpreter, watched: first its numbers are compared, then where it looked.

    An address outside of all tensors of the launch breaks `spec.inside`, with the ledger's sentence.
    """

    spec: KernelSpecification
    book: Any = None  # the ledger of the last launch

    @property
    def implementation(self) -> Any:
        """What takes the inputs of a launch and gives back what the learner's kernel wrote."""
        kernel = self.namespace[self.spec.target]
        if not hasattr(kernel, "fn"):
            raise Unjudgeable(
                "not-a-kernel",
                f"{self.spec.target} cannot be launched: keep the line @triton.jit directly above its def.",
            )
        return partial(self._launch, kernel)

    def _launch(self, kernel: Any, **inputs: Any) -> Any:
        from labkit.kernels.watched import guarded, watched

        alone = {
            name: guarded(value, UNTOUCHED) if hasattr(value, "new_full") else value for name, value in inputs.items()
        }
        try:
            with watched(keep=not self.thorough) as self.book:
                return self.spec.launch(kernel, **alone)
        finally:
            for name, value in alone.items():
                if value is not inputs[name]:
                    inputs[name].copy_(value)  # what the kernel has written into it is seen by who looks at arguments

    def ask(self, rule: str, args: Mapping[str, Any]) -> tuple[Any, Any]:
        # A kernel takes pointers and assumes rows that lie one behind the other: nobody hands it slices.
        self.thorough = self.thorough - {"slices"}
        return super().ask(rule, args)

    def call(self, rule: str, label: str, function: Callable[..., Any] | str, *args: Any, **kwargs: Any) -> Any:
        if args and not isinstance(function, str):
            names = self.spec.decode(self._op.args) if self._op else {}
            kwargs |= dict(zip(names, args, strict=True))
        try:
            return super().call(rule, label, function, **kwargs)
        except StopSequence as stop:
            for failure in self.failures:
                if isinstance(stop.__cause__, KernelError):
                    inside = self.spec.rule_outside(**(self._op.args if self._op else {}))
                    failure.rule, failure.kind, failure.cause = inside, "address", str(stop.__cause__)
                    failure.seen, failure.expected = "an address of nobody", None
            raise

    def judge(self, rule: str, seen: Any, expected: Any, args: dict[str, Any]) -> None:
        wrong = None if self.thorough else self.spec.looked(self.book.launches, **args)
        if wrong is None or not _has_nan(seen):  # what lies where nobody may look is NaN: then the address says more
            super().judge(rule, seen, expected, args)
        if wrong is not None and not self.failures:
            broken, told, cause = wrong
            self.require(broken, False, seen=Words(told), expected=Words("no such access"), cause=cause)


class KernelSpecification(SizedSpecification):
    """A Triton kernel: a witness gives sizes, `decode` makes the inputs of a launch, `oracle` what is due.

    To override beside them: `launch`, and `looked` where an exercise has rules about addresses.
    """

    referee = KernelReferee
    prelude = "from kvkernels import tl, triton"
    needs_triton = True
    examples = 10
    op_seconds = 8.0
    tolerance = 1e-4
    stay = GENERAL[0].name
    inside = "stays-inside-its-tensors"
    """The rule that an address outside of all tensors of the launch breaks."""

    def launch(self, kernel: Any, **inputs: Any) -> Any:
        """Launch the kernel on inputs that `decode` made, and return what it wrote: a tensor or a tuple of them.

        What it writes into comes from `untouched`, so that what it leaves out is seen.
        """
        raise NotImplementedError

    def oracle(self, **inputs: Any) -> Any:
        """What `launch` returns for a right kernel, computed in PyTorch."""
        raise NotImplementedError

    def rule_outside(self, **args: Any) -> str:
        """The rule that such an address breaks, in a launch of these sizes."""
        return self.inside

    def looked(self, launches: list[Any], **args: Any) -> tuple[str, str, str] | None:
        """(rule, what was seen, cause) where a launch has looked at what it must not; None where all is right.

        Args:
            launches: `labkit.kernels.ledger.LaunchTraffic` of the call, each load and store kept.
        """
        return None


def _has_nan(seen: Any) -> bool:
    return any(bool(part.isnan().any()) for part in (seen if isinstance(seen, tuple) else (seen,)))


UNTOUCHED = -77
"""Stands in every place that a kernel has not written."""


def untouched(*shape: int, dtype: Any = None) -> Any:
    """A tensor to write into, full of `UNTOUCHED`; float32 by default."""
    import torch

    from labkit.kernels.watched import guarded

    return guarded(torch.full(shape, UNTOUCHED, dtype=dtype or torch.float32), UNTOUCHED)
