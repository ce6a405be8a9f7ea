"""Any sequence of operations: blocks are conserved, never held twice, and a refusal changes nothing."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from labkit.cache.block_pool import CheckedPool, find_leak
from labkit.cache.block_table import BlockTable, blocks_needed
from labkit.observe.events import EventLog, Kind
from labkit.observe.recorder import record

NUM_BLOCKS = 7
BLOCK_SIZE = 3


class PoolAndTables(RuleBasedStateMachine):
    """Tables grow and go over one checked, recorded pool; the log is replayed beside them."""

    tables = Bundle("tables")

    def __init__(self) -> None:
        super().__init__()
        self.log = EventLog(num_blocks=NUM_BLOCKS, block_size=BLOCK_SIZE)
        self.pool = CheckedPool(NUM_BLOCKS)
        self.alive: list[Any] = []
        self.names: dict[int, str] = {}
        self.born = 0

    @rule(target=tables)
    def new_table(self):
        name = f"S{self.born}"
        table = record(BlockTable(record(self.pool, self.log), BLOCK_SIZE), self.log, name)
        self.names[id(table)] = name
        self.born += 1
        self.alive.append(table)
        return table

    @rule(table=tables, n=st.integers(0, 3 * BLOCK_SIZE))
    def append(self, table, n):
        before = (list(table.blocks), table.num_tokens, self.pool.num_free)
        missing = blocks_needed(table.num_tokens + n, BLOCK_SIZE) - len(table.blocks)
        accepted = table.append(n)
        assert accepted == (missing <= before[2])
        if not accepted:
            assert (list(table.blocks), table.num_tokens, self.pool.num_free) == before
        else:
            assert table.num_tokens == before[1] + n
            assert table.blocks[: len(before[0])] == before[0]  # what is written stays where it is

    @rule(table=consumes(tables))
    def release(self, table):
        table.release()
        self.alive.remove(table)

    @invariant()
    def every_block_is_free_or_held_once(self):
        held = [block for table in self.alive for block in table.blocks]
        assert len(held) == len(set(held))
        assert self.pool.num_free + len(held) == NUM_BLOCKS

    @invariant()
    def tables_hold_exactly_what_they_need(self):
        for table in self.alive:
            assert len(table.blocks) == blocks_needed(table.num_tokens, BLOCK_SIZE)
            slots = table.slots(0, table.num_tokens)
            assert len(set(slots)) == table.num_tokens
            assert all(0 <= slot < NUM_BLOCKS * BLOCK_SIZE for slot in slots)

    @invariant()
    def the_log_tells_the_same_story(self):
        owner: dict[int, str] = {}
        fill: dict[int, int] = {}
        for event in self.log.records:
            block, name = int(event["block"]), self.log.names[event["seq"]]
            if event["kind"] == Kind.ALLOCATE:
                assert block not in owner
                owner[block] = name
            elif event["kind"] == Kind.FREE:
                assert owner.pop(block) == name
                fill.pop(block, None)
            elif event["kind"] == Kind.FILL:
                fill[block] = int(event["arg"])
        assert owner == {block: self.names[id(table)] for table in self.alive for block in table.blocks}
        for table in self.alive:
            assert sum(fill.get(block, 0) for block in table.blocks) == table.num_tokens

    def teardown(self):
        tables = [list(table.blocks) for table in self.alive]
        for table in self.alive:
            table.release()
        assert self.pool.num_free == NUM_BLOCKS
        free = self.pool.allocate(NUM_BLOCKS)
        assert sorted(free) == list(range(NUM_BLOCKS))
        held = {block for table in tables for block in table}
        assert find_leak(NUM_BLOCKS, set(free) - held, tables) == []
        assert find_leak(NUM_BLOCKS, set(free) - held, []) == sorted(held)


PoolAndTables.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestPoolAndTables = PoolAndTables.TestCase
