"""Hashes for chains: one that can be trusted alone, and one that cannot.

Both take the pair (hash of the block before, tokens of the block), as `chain_hashes` calls them; before the first
block the first of the pair is None. `HashPrefixCache` takes the first, and trusts it.
"""

from __future__ import annotations

import hashlib
import zlib

DIGEST_BYTES = hashlib.sha256().digest_size
_ROOT = bytes(DIGEST_BYTES)

WEAK_BITS = 16


def sha256_block(pair: tuple[bytes | None, bytes]) -> bytes:
    """SHA-256 over the parent's digest and the block's tokens, 32 bytes.

    Nobody knows two inputs with the same SHA-256, so a cache may take equal hashes for equal prefixes. vLLM's default
    since v0.10.2. The parent's part has a fixed length, so that no parent can be read as tokens or the other way.
    """
    parent, page = pair
    return hashlib.sha256((_ROOT if parent is None else parent) + page).digest()


def weak_block(pair: tuple[int | None, bytes]) -> int:
    """A checksum cut to 16 bits: a hash that a laptop breaks in a second. For lesson 07, and for nothing else."""
    parent, page = pair
    return zlib.crc32(page, 0 if parent is None else parent) % 2**WEAK_BITS
