"""The environment in which solved notebooks are executed, by the build and by the tests alike."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

SEED = 2024
"""Seed of the learner whom a solved notebook shows; seeded quiz numbers are drawn from it."""


def prepare_home(home: Path) -> Path:
    """Make `home` the LABKIT_HOME of a learner who has done nothing yet and whose seed is `SEED`; returns it.

    A model that was fetched into the home in use now is linked into the new one: it is 100 MB and does not depend on
    who learns.
    """
    from labkit import paths
    from labkit.grading.progress import Progress

    home.mkdir(parents=True, exist_ok=True)
    file = home / "seed.json"
    Progress(home).export(file)
    data = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**data, "seed": SEED}), encoding="utf-8")
    Progress(home).import_(file)
    file.unlink()
    models, link = paths.models_dir(), home / "models"
    if models.is_dir() and not link.exists():
        with suppress(OSError):  # no right to make links (Windows): the notebook runs as one without the model
            link.symlink_to(models.resolve(), target_is_directory=True)
    return home


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
