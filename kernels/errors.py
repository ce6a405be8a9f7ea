"""What can be wrong with a launch, as exceptions with one sentence each."""

from __future__ import annotations


class KernelInputError(ValueError):
    """Arguments that a kernel cannot work on: a shape, dtype, device or layout, or a page that is not there."""


class KernelPlatformError(RuntimeError):
    """This machine, or this release of Triton, cannot run the kernel."""


def need(holds: bool, sentence: str) -> None:
    """Raise `KernelInputError` with the sentence where something does not hold."""
    if not holds:
        raise KernelInputError(sentence)
