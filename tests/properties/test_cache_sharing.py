"""Any sequence of forks, appends and releases: counts are tables, blocks are conserved, nobody's tokens are lost.

Beside the tables stands KV memory itself, one name a slot. A copy is made where `append_cow` says so, tokens are
written where the table says, and at the end of each step every sequence must read its own tokens back.
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from labkit.cache.block_pool import CheckedPool
from labkit.cache.block_table import BlockTable, blocks_needed
from labkit.cache.copy_on_write import append_cow, fork
from labkit.cache.ref_counts import CheckedRefCounts
from labkit.errors import BlockError

NUM_BLOCKS = 9
BLOCK_SIZE = 3


class SharedTables(RuleBasedStateMachine):
    """Tables over one counted pool, their tokens in a memory of slots, and blocks that nobody holds set aside."""

    tables = Bundle("tables")

    def __init__(self) -> None:
        super().__init__()
        self.refs = CheckedRefCounts(CheckedPool(NUM_BLOCKS))
        self.memory = [""] * (NUM_BLOCKS * BLOCK_SIZE)
        self.texts: dict[BlockTable, list[str]] = {}  # what each sequence should read
        self.aside: list[int] = []  # dropped and not recycled, as a prefix cache keeps them
        self.written = 0

    def everything(self) -> tuple:
        tables = [(list(table.blocks), table.num_tokens) for table in self.texts]
        return tables, [self.refs.count(b) for b in range(NUM_BLOCKS)], self.refs.num_free

    @rule(target=tables, n=st.integers(0, 2 * BLOCK_SIZE))
    def start(self, n):
        table = BlockTable(self.refs, BLOCK_SIZE)
        self.texts[table] = []
        self.grow(table, n)
        return table

    @rule(target=tables, table=tables)
    def fork(self, table):
        before = self.everything()
        child = fork(table)
        assert child.blocks == table.blocks and child.num_tokens == table.num_tokens
        assert self.everything()[0] == before[0] and self.refs.num_free == before[2]  # no block is taken or moved
        self.texts[child] = list(self.texts[table])
        return child

    # Several tables write after most forks, so that what they share is written: hence two rules alike.
    @rule(table=tables)
    def append_one(self, table):
        self.grow(table, 1)

    @rule(table=tables, n=st.integers(0, 2 * BLOCK_SIZE + 1))
    def append(self, table, n):
        self.grow(table, n)

    def grow(self, table, n):
        before, old = self.everything(), table.num_tokens
        part_filled = old % BLOCK_SIZE > 0
        last_is_shared = bool(table.blocks) and self.refs.count(table.blocks[-1]) > 1
        copy = n > 0 and part_filled and last_is_shared
        wanted = blocks_needed(old + n, BLOCK_SIZE) - len(table.blocks) + copy
        copies = append_cow(table, n)
        if wanted > before[2]:
            assert copies is None
            assert self.everything() == before
            return
        assert copies is not None and len(copies) == copy
        assert self.refs.num_free == before[2] - wanted
        for source, target in copies:
            at, to = source * BLOCK_SIZE, target * BLOCK_SIZE
            self.memory[to : to + BLOCK_SIZE] = self.memory[at : at + BLOCK_SIZE]
        for slot in table.slots(old, old + n):
            assert self.refs.count(slot // BLOCK_SIZE) == 1, "a shared block is never written"
            self.memory[slot] = f"token {self.written}"
            self.texts[table].append(self.memory[slot])
            self.written += 1

    @rule(table=consumes(tables), keep=st.booleans())
    def release(self, table, keep):
        """Let go of the blocks; with `keep`, as a prefix cache does, which sets aside those that nobody else holds."""
        if keep:
            unheld = self.refs.drop(table.blocks[::-1])
            assert all(self.refs.count(block) == 0 for block in unheld)
            self.aside += unheld
        else:
            table.release()
        del self.texts[table]

    @rule(data=st.data())
    def recycle(self, data):
        some = data.draw(st.lists(st.sampled_from(self.aside), unique=True) if self.aside else st.just([]))
        before = self.refs.num_free
        self.refs.recycle(some)
        self.aside = [block for block in self.aside if block not in some]
        assert self.refs.num_free == before + len(some)

    @rule(data=st.data())
    def misuse(self, data):
        """Calls that make no sense, each among ones that do, raise and change nothing."""
        counts = {block: self.refs.count(block) for block in range(NUM_BLOCKS)}
        held = [block for block, count in counts.items() if count]
        pooled = [block for block in counts if not counts[block] and block not in self.aside]
        wrong: list[tuple[str, list]] = [(name, [NUM_BLOCKS]) for name in ("share", "drop", "recycle", "free")]
        wrong += [("share", [block]) for block in pooled] + [("recycle", [block]) for block in held + pooled]
        wrong += [("drop", [block] * (counts[block] + 1)) for block in counts]
        wrong += [("recycle", [block, block]) for block in self.aside]
        name, bad = data.draw(st.sampled_from(wrong))
        good = {"share": held + self.aside, "drop": held, "free": held, "recycle": self.aside}[name]
        good = [block for block in good if block not in bad]
        before = self.everything()
        with pytest.raises(BlockError):
            getattr(self.refs, name)(good + bad)
        assert self.everything() == before

    @invariant()
    def counts_are_the_tables_that_hold_a_block(self):
        for block in range(NUM_BLOCKS):
            assert self.refs.count(block) == sum(table.blocks.count(block) for table in self.texts)

    @invariant()
    def every_block_is_in_the_pool_or_held_or_set_aside(self):
        held = {block for table in self.texts for block in table.blocks}
        assert not held & set(self.aside)
        assert self.refs.num_free + len(held) + len(self.aside) == NUM_BLOCKS

    @invariant()
    def no_block_is_in_two_tables_that_could_write_in_it(self):
        open_ends = [table.blocks[-1] for table in self.texts if table.num_tokens % BLOCK_SIZE]
        for block in {block for block in open_ends if self.refs.count(block) == 1}:
            assert sum(block in table.blocks for table in self.texts) == 1

    @invariant()
    def every_sequence_reads_its_own_tokens(self):
        for table, text in self.texts.items():
            assert len(table.blocks) == blocks_needed(table.num_tokens, BLOCK_SIZE)
            assert [self.memory[slot] for slot in table.slots(0, table.num_tokens)] == text

    def teardown(self):
        for table in self.texts:
            table.release()
        self.refs.recycle(self.aside)
        assert self.refs.num_free == NUM_BLOCKS
        assert sorted(self.refs.allocate(NUM_BLOCKS)) == list(range(NUM_BLOCKS))


SharedTables.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestSharedTables = SharedTables.TestCase
