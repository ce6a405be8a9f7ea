"""A prefix-caching block manager as a textbook would write it: the one that the benchmark of the cache compares with.

Lists of token ids, a dict from prefix to block, an `OrderedDict` as the LRU queue. Nothing in it is slow on purpose
and nothing is clever: each operation does what its sentence says, block by block. It keeps the rules of vLLM V1
(v1/core: full blocks only, at least one token is always computed, a block can be found from its allocation on, freed
blocks stay findable until they are reused, tail first, never-cached free blocks are used before cached ones), so that
what differs in a benchmark is how it is written and not what it does.

A prefix is named by a pair: the serial number of the cached block before it, and its own tokens. Serial numbers are
never used twice, so a pair means one text only and no two prompts can be taken for each other, whatever is evicted.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from labkit.cache.checks import whole_number
from labkit.errors import BlockError

ROOT = 0
"""The serial number before the first block of every prompt."""


class TextbookCache:
    """Blocks for sequences that share prefixes.

    Args:
        num_blocks: blocks in all, 1 or more.
        block_size: tokens per block, 1 or more.

    Attributes:
        num_evicted: cached blocks that have been reused for something else so far.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        self.num_blocks = whole_number(num_blocks, "num_blocks", at_least=1)
        self.block_size = whole_number(block_size, "block_size", at_least=1)
        self.num_evicted = 0
        self._free = list(range(self.num_blocks - 1, -1, -1))  # blocks that cache nothing, the next one last
        self._idle: OrderedDict[int, None] = OrderedDict()  # cached and held by nobody, least recently used first
        self._refs = [0] * self.num_blocks
        self._names: list[tuple[int, tuple[int, ...]] | None] = [None] * self.num_blocks
        self._serials = [ROOT] * self.num_blocks
        self._last_serial = ROOT
        self._found: dict[tuple[int, tuple[int, ...]], int] = {}
        self._tables: dict[str, list[int]] = {}
        self._tokens: dict[str, list[int]] = {}
        self._chains: dict[str, int] = {}  # serial number of the last full block of a sequence

    @property
    def num_free(self) -> int:
        """Blocks that can be allocated now, those that cache something among them."""
        return len(self._free) + len(self._idle)

    def lookup(self, tokens: Sequence[int]) -> list[int]:
        """The cached blocks with which a prompt begins, which may be all of its full ones but leave a token over.

        Takes no references: what is returned may be gone after the next allocation.
        """
        blocks = []
        serial = ROOT
        size = self.block_size
        for start in range(0, len(tokens) - size, size):
            block = self._found.get((serial, tuple(tokens[start : start + size])))
            if block is None:
                break
            blocks.append(block)
            serial = self._serials[block]
        return blocks

    def allocate(self, seq: str, tokens: Sequence[int]) -> int | None:
        """Start a sequence: find its prefix, take a reference on each block of it, and blocks for the rest.

        Returns:
            How many of its tokens were cached; None, and nothing changed, if there are too few blocks.

        Raises:
            BlockError: `seq` exists already, or the prompt is empty.
        """
        if seq in self._tables:
            raise BlockError(f"Sequence {seq!r} exists already: free it first, or choose another name.")
        if not len(tokens):
            raise BlockError(f"The prompt of sequence {seq!r} is empty, but must have a token: pass one that has.")
        table = self.lookup(tokens)
        cached = len(table)
        new = -(-len(tokens) // self.block_size) - cached
        if new > self.num_free - sum(block in self._idle for block in table):
            return None
        for block in table:
            self._hold(block)
        table += [self._take() for _ in range(new)]
        self._tables[seq] = table
        self._tokens[seq] = list(tokens)
        self._chains[seq] = self._serials[table[cached - 1]] if cached else ROOT
        for number in range(cached, len(tokens) // self.block_size):
            self._register(seq, number)
        return cached * self.block_size

    def append(self, seq: str, tokens: Sequence[int]) -> bool:
        """Add generated tokens to a sequence; False, and nothing changed, if there are too few blocks.

        Raises:
            BlockError: there is no such sequence.
        """
        table = self._table(seq)
        text = self._tokens[seq]
        full = len(text) // self.block_size
        new = -(-(len(text) + len(tokens)) // self.block_size) - len(table)
        if new > self.num_free:
            return False
        for _ in range(new):
            table.append(self._take())
        text.extend(tokens)
        for number in range(full, len(text) // self.block_size):
            self._register(seq, number)
        return True

    def free(self, seq: str) -> None:
        """End a sequence. What it cached can be found until its blocks are reused, the last of them first.

        Raises:
            BlockError: there is no such sequence.
        """
        for block in reversed(self._table(seq)):
            self._refs[block] -= 1
            if self._refs[block] == 0:
                if self._names[block] is None:
                    self._free.append(block)
                else:
                    self._idle[block] = None
        del self._tables[seq], self._tokens[seq], self._chains[seq]

    def table(self, seq: str) -> list[int]:
        """A copy of the blocks of a sequence, in order; BlockError if there is no such sequence."""
        return list(self._table(seq))

    # ----- one block at a time ----------------------------------------------------------------------------------

    def _table(self, seq: str) -> list[int]:
        try:
            return self._tables[seq]
        except KeyError:
            raise BlockError(f"There is no sequence {seq!r}: allocate it first, and free it once.") from None

    def _hold(self, block: int) -> None:
        if self._refs[block] == 0:
            del self._idle[block]
        self._refs[block] += 1

    def _take(self) -> int:
        """A block for new content: one that caches nothing, else the least recently used."""
        if self._free:
            block = self._free.pop()
        else:
            block, _ = self._idle.popitem(last=False)
            del self._found[self._names[block]]  # type: ignore[arg-type]
            self._names[block] = None
            self.num_evicted += 1
        self._refs[block] = 1
        return block

    def _register(self, seq: str, number: int) -> None:
        """Make full block `number` of a sequence findable, unless another block with its text is already."""
        block = self._tables[seq][number]
        start = number * self.block_size
        name = (self._chains[seq], tuple(self._tokens[seq][start : start + self.block_size]))
        if name in self._found:
            self._chains[seq] = self._serials[self._found[name]]
            return
        self._last_serial += 1
        self._serials[block] = self._chains[seq] = self._last_serial
        self._found[name] = block
        self._names[block] = name
