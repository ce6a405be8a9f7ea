"""A kernel launched in the interpreter while somebody looks at its addresses.

Triton's interpreter follows any address: a wrong one ends the process, and what a kernel raises comes back as a text
inside of another error. Here a wrong address is a `KernelError` before it is followed, and an error is the kernel's
own, with the line it came from.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from labkit.kernels.ledger import Ledger, ledger


@contextmanager
def watched(keep: bool = True) -> Iterator[Ledger]:
    """A ledger (`labkit.kernels.ledger`) under which a launch raises what went wrong itself.

    Args:
        keep: keep each load and store, as `LaunchTraffic.accesses`.

    Raises:
        KernelError: kernels of this process are compiled; or an address lies in none of the tensors of its launch.
        Exception: whatever the kernel raised.
    """
    from triton.runtime.errors import InterpreterError

    # numpy warns of each NaN that the interpreter meets; whoever looks at the answer sees it.
    with np.errstate(all="ignore"), warnings.catch_warnings(), ledger(keep) as book:
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            yield book
        except InterpreterError as error:
            raise _first(error) from None


def _first(error: BaseException) -> BaseException:
    """What was raised first: a kernel that calls another one wraps an error twice."""
    from triton.runtime.errors import InterpreterError

    while isinstance(error, InterpreterError) and error.__cause__ is not None:
        error = error.__cause__
    return error
