"""The environment in which solved notebooks are executed, by the build and by the tests alike."""

from __future__ import annotations

import os
from pathlib import Path

SEED = "2024"
"""Seed of the learner whom a solved notebook shows; seeded quiz numbers are drawn from it."""


def kernel_environment(home: Path, scratch: Path) -> dict[str, str]:
    """Environment variables for a kernel whose outputs must come out the same at every run.

    `home` becomes LABKIT_HOME; caches and IPython's own folder go below `scratch`, so that a start-up file of the
    person who builds cannot show in a notebook. One thread: the order of a floating-point sum depends on how many
    share it.
    """
    return {
        **os.environ,
        "LABKIT_HOME": str(home),
        "LABKIT_NO_BROWSER": "1",
        "LABKIT_SEED": SEED,
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "IPYTHONDIR": str(scratch / "ipython"),
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }
