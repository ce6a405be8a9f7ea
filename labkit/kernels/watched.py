"""A kernel launched in the interpreter while somebody looks at its addresses.

Triton's interpreter follows any address: a wrong one ends the process, and what a kernel raises comes back as a text
inside of another error. Here a wrong address is a `KernelError` before it is followed, and an error is the kernel's
own, with the line it came from. And a masked load that says no `other` gives NaN, or the largest whole number, in the
lanes that are off: Triton's language leaves open what stands there, and the interpreter alone would say 0.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

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
    with np.errstate(all="ignore"), warnings.catch_warnings(), _nothing_in_lanes_that_are_off(), ledger(keep) as book:
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            yield book
        except InterpreterError as error:
            raise _first(error) from None


GUARD = 1024
"""Numbers before and after a guarded tensor that belong to nobody."""


def guarded(tensor: Any, around: float = 0) -> Any:
    """The same tensor with nobody's memory around it, so that a step too far is not one into another tensor.

    Args:
        around: what stands in that memory.
    """
    larger = tensor.new_full((tensor.numel() + 2 * GUARD,), around)
    alone = larger[GUARD : GUARD + tensor.numel()].view(tensor.shape)
    alone.copy_(tensor)
    return alone


def _first(error: BaseException) -> BaseException:
    """What was raised first: a kernel that calls another one wraps an error twice."""
    from triton.runtime.errors import InterpreterError

    while isinstance(error, InterpreterError) and error.__cause__ is not None:
        error = error.__cause__
    return error


@contextmanager
def _nothing_in_lanes_that_are_off() -> Iterator[None]:
    from triton.runtime.interpreter import InterpreterBuilder, TensorHandle, _get_np_dtype

    load = InterpreterBuilder.create_masked_load
    signature = inspect.signature(load)

    @wraps(load)
    def loaded(self: Any, *args: Any, **kwargs: Any) -> Any:
        given = signature.bind(self, *args, **kwargs)
        pointers = given.arguments["ptrs"]
        kind = pointers.get_element_ty()
        if given.arguments["other"] is None and not given.arguments["mask"].data.all() and not kind.is_ptr():
            plain = np.dtype(_get_np_dtype(kind))
            # numpy has no bf16 and no fp8: the interpreter keeps their bits, and with all of them set they are NaN.
            value: Any = np.nan if plain.kind == "f" else True if plain.kind == "b" else np.iinfo(plain).max
            given.arguments["other"] = TensorHandle(np.full(pointers.data.shape, value, plain), kind)
        return load(*given.args, **given.kwargs)

    InterpreterBuilder.create_masked_load = loaded
    try:
        yield
    finally:
        InterpreterBuilder.create_masked_load = load
