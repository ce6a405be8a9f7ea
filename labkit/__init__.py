"""labkit: the library behind a hands-on course on KV-cache paging for LLM serving.

Importing it is cheap on purpose: it pulls in neither torch nor triton, so that `labkit doctor` can speak
on a machine where either is missing or broken.
"""

from __future__ import annotations

__version__ = "0.1.0"
