"""Small things that both sources of the model need: checksums and disk space."""

from __future__ import annotations

import errno
import hashlib
import shutil
from pathlib import Path

from labkit.errors import ModelFetchError


class NoSpace(ModelFetchError):
    """The disk is full. No other source can help, so fetching ends here."""

    @staticmethod
    def is_cause(error: BaseException) -> bool:
        """Whether an error says that disk or quota is used up."""
        if isinstance(error, OSError):
            return error.errno in (errno.ENOSPC, errno.EDQUOT)
        # Libraries written in Rust (safetensors, tokenizers) raise errors of their own with the system's text in them.
        return "(os error 28)" in str(error) or "No space left on device" in str(error)


def need_space(folder: Path, num_bytes: int) -> None:
    """Raise NoSpace now, instead of failing after a long download, if the disk of `folder` has too little room."""
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise NoSpace(
            f"The disk that holds {folder.parent} has {free / 1e6:,.0f} MB free, but the model needs "
            f"{num_bytes / 1e6:,.0f} MB while it is fetched: free some space, or set LABKIT_HOME to a folder on a "
            "larger disk."
        )


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
