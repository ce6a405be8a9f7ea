# %% [markdown] id="symptom"
# # 09. Eviction tournament
#
# A dashboard shows the cached blocks that a server throws out to make room. On Monday the number is high all day, and
# somebody orders more memory. On Tuesday, before it has arrived, the number is a fifth of Monday's, and users complain:
# the first token comes late again.
#
# Both days are replayed below, on a small cache. The number of evictions says nothing about either. In this lesson you
# build the part that chooses what is thrown out, learn how far from perfect it is, and find the number that would have
# told Monday from Tuesday.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("09")

# %% id="symptom-numbers"
from labkit.specs.eviction_tournament.eviction_scenes import come_back, come_once

for day, scene in [("Monday", come_once()), ("Tuesday", come_back())]:
    print(f"{day:8} evicted {scene.counters.cached_blocks_evicted:5,} cached blocks")

# %% [markdown] id="play"
# ## Look before you read
#
# A prefix cache is full, a new prompt needs room: which block goes? Below, eight ways to choose serve the same requests,
# at cache sizes from 25 blocks to 400. Left is the share of blocks that were found, right the share of evictions that
# were a mistake because the block was asked for again. Choose a trace above the picture, and move the cursor over the
# sizes.
#
# **Belady** is the thick line that nobody passes: it knows the future. Watch two things. Is there a policy that is best on
# every trace? And what happens on the trace *ring* just before the ring fits into the cache?

# %% id="play-widget"
from labkit.cache.eviction_policies import POLICIES
from labkit.simulate.hit_ratio import requests_of
from labkit.simulate.prefix_patterns import cyclic_scan, multi_turn, one_time_scan, zipf
from labkit.simulate.tournament import curves
from labkit.widgets import TournamentBoard

ABOUT = {
    "popular": "a few prompts are popular, most are rare",
    "ring": "110 prompts of a block, one after the other, twelve times",
    "scan": "a scan of prompts that come once, amid others that come again",
    "chats": "conversations that grow and go on at the same time",
}
TRACES = {
    "popular": requests_of(zipf(600, 150, seed=1)),
    "ring": requests_of(cyclic_scan(110, 12)),
    "scan": requests_of(one_time_scan(12, 60, 100, 4, seed=1)),
    "chats": requests_of(multi_turn(60, seed=1)),
}
SIZES = [25, 50, 100, 200, 400]

TournamentBoard(
    curves(TRACES, {**POLICIES, "Belady": None}), ABOUT, SIZES,
    title="Eight ways to make room", subtitle="Every policy serves the same requests.",
)

# %% [markdown] id="idea"
# ## The free queue is the evictor
#
# A block whose last holder has let go still holds keys and values that somebody may ask for. Until its room is needed it
# costs nothing. So a prefix cache gives nothing back to the pool on its own; it waits until a request needs a block and
# none is free, and then one of the cached blocks that nobody holds has to go. Memory that is *full* is the normal state:

# %% id="full-cache"
from labkit.engine import kv_cache_manager

manager = kv_cache_manager(num_blocks=6, block_size=4)


def state(what):
    print(f"{what:24} free {manager.num_free}  held {manager.num_held}  "
          f"cached {manager.num_cached}  "
          f"evicted so far {manager.counters.cached_blocks_evicted}")


state("at the beginning")
for name, first in [("A", 100), ("B", 200), ("C", 300)]:
    manager.allocate(name, range(first, first + 12))
    state(f"{name}: 12 tokens")
    manager.free(name)
    state(f"{name} has finished")

# %% [markdown] id="about-queue"
# In lesson 07 the blocks that nobody holds stood in a queue. A new block was taken from its front, a block that was hit
# was taken out of its middle, and whoever finished put blocks at its back. That queue *is* an eviction policy: what has
# not been held for longest goes first. vLLM has no other evictor.
#
# Here the choice becomes a part of its own, so that it can be another one. The cache still decides which blocks *may* go:
# those that nobody holds and that have no cached children, because a child without its parent
# cannot be found until somebody computes the parent again.
# The policy only says which of them goes first. So a bad policy costs time, and never a wrong answer; nor does it ever
# decide who finds room, since whatever nobody holds can go, under any policy.
#
# The cache tells a policy what happens, in five words, and asks one question:
#
# | call | what has happened |
# |---|---|
# | `stored(blocks, depth)` | they hold new contents; the first of them is block number `depth` of its prompt |
# | `hit(blocks)` | a request has found them |
# | `released(blocks)` | nobody holds them any more; the end of a sequence is named first |
# | `add(block)` | it may go from now on |
# | `remove(block)` | it may not: somebody uses it, or another block hangs from it |
# | `evict()` | **which one goes?** |
#
# Watch the difference between `released` and `add`. A sequence of three blocks finishes: all three are released together,
# but only the last is added. When that one has been evicted, the second has no child any more and is added, perhaps an
# hour later. Nobody has used it in between.

# %% [markdown] id="about-lru"
# ### Exercise: `LRU` (12 minutes, difficulty 3, importance 5)
#
# *Least recently used*: of the blocks that may go, the one that nobody has held for longest. `Policy` is imported for
# this cell; it has empty `stored` and `hit`, which LRU does not need.
#
# Keep it simple: `min` over what may go is good enough here. Ties (blocks that were released in one call) may be broken
# as you like.

# %% id="ex-lru"
# %%exercise LRU
class LRU(Policy):
    """Evicts the block that was let go of longest ago."""

    def __init__(self) -> None:
        # BEGIN SOLUTION
        self.time = 0
        self.last_held = {}
        self.may_go = set()
        # END SOLUTION
        # BEGIN STUB
        # ...  # what must be known of a block?
        # END STUB

    def released(self, blocks: list[int]) -> None:
        """Nobody holds these blocks any more. They were in use until now."""
        # BEGIN SOLUTION
        self.time += 1
        for block in blocks:
            self.last_held[block] = self.time
        # END SOLUTION

    def add(self, block: int) -> None:
        """`block` may go from now on. It was released before, perhaps long before."""
        # BEGIN SOLUTION
        self.may_go.add(block)
        # END SOLUTION

    def remove(self, block: int) -> None:
        """`block` may not go any more, until it is added again."""
        # BEGIN SOLUTION
        self.may_go.remove(block)
        # END SOLUTION

    def evict(self) -> int:
        """The block to evict, of those that may go (there is one at least).

        With this call it is gone: it is not named again unless it is added again.
        """
        # BEGIN SOLUTION
        block = min(self.may_go, key=self.last_held.get)
        self.may_go.remove(block)
        return block
        # END SOLUTION


# %% [markdown] id="your-lru-at-work"
# ## Your policy at work
#
# Once it has passed, your policy stands where the free queue of lesson 07 stood, in every manager of this course that is
# not given another one. The next cell lets it (the reference, until it has passed) serve twenty prompts that come back in
# random order, and counts what was found.

# %% id="lru-at-work"
from labkit import engine
from labkit.mine import LRU

served = come_back(LRU).counters
print("The policy at work:", engine.owner("eviction"))
print(f"{served.hit_tokens:,} of {served.queried_tokens:,} prompt tokens were found;",
      f"{served.cached_blocks_evicted} blocks were evicted")

# %% [markdown] id="about-predict"
# ## One prediction first
#
# LRU bets that what was used lately will be used soon. Think of a job that sends the same 1,100 prompts over and over, in
# the same order. Each is one block, and the cache has 1,000.

# %% id="predict-p1"
predict("09", "p1")

# %% id="reveal-p1"
from labkit.simulate.cache_replay import cache_replay

ring = requests_of(cyclic_scan(1100, rounds=30))
contestants = {"LRU": POLICIES["LRU"], "Random": POLICIES["Random"], "Belady": None}
for name, make in contestants.items():
    print(f"{name:8} finds {cache_replay(ring, 1000, make).hit_ratio:.3f}")

# %% [markdown] id="after-p1"
# Nothing, in thirty rounds, with nine tenths of the prompts in memory at every moment. When prompt 1,001 comes, LRU throws
# out prompt 1, which has not been used for longest. It is the one that comes again soonest: a hundred requests later
# it is missed, and what goes for it is prompt 2, and so on. Each is thrown out just before it is wanted.
#
# Random has no idea, and that is its strength here: it throws out something else. (The first of the thirty rounds finds
# nothing under any policy, so nobody reaches 1,000 / 1,100.) Real traces have some of this in them. On the conversation
# trace that Mooncake published, a cache of 3,000 blocks of 512 tokens finds 6.5% under LRU and 7.5% under random eviction;
# the last fold of this lesson says where these numbers come from.
#
# So *least recently used* is a guess and not a law. There are others:
#
# | policy | what goes first | what it believes |
# |---|---|---|
# | FIFO, first in, first out | what was stored first | old is old, used or not |
# | LRU | what was not held for longest | what was used lately will be used soon |
# | CLOCK | what was stored first, except if it was hit since | one hit is worth one more round |
# | LFU, least frequently used | what was hit least often | what was popular stays popular |
# | SLRU, segmented LRU | what was never hit; then LRU | who comes twice will come a third time |
# | GDSF, greedy dual size frequency | least hits for the work of computing it again, with age | dear blocks deserve more patience |
# | random | any | nothing |

# %% [markdown] id="halfway"
# ## Half way
#
# You have an evictor, and a trace that defeats it. A good place to stop and come back: what you passed is kept.

# %% id="save"
save_point("09")

# %% [markdown] id="about-belady"
# ## What would the best have done?
#
# Somebody who knows all requests to come can choose perfectly: throw out what is wanted again last. Laszlo Belady wrote
# that down in 1966 (*A study of replacement algorithms for a virtual-storage computer*, IBM Systems Journal 5). For a
# fixed order of requests, with every block costing the same, no policy has more hits.
#
# No server can run it. It is a ruler: what lies between your policy and Belady is what a better policy could still win,
# and what lies above Belady only more memory can bring.
#
# ### Exercise: `belady_victim` (8 minutes, difficulty 2, importance 4)

# %% id="ex-belady-victim"
# %%exercise belady_victim
def belady_victim(cached: dict[str, int], future: list[str]) -> str:
    """The content to evict if one knows what is asked for next.

    Args:
        cached: the contents that may go, at least one, and for each how deep it
            lies in its prompt (block number, from 0).
        future: the contents that will be asked for, the next one first. Others
            than the cached ones may be among them.

    Returns:
        The key of `cached` whose next use comes last. What is never asked for
        goes before everything that is; of several such the deepest, and of
        several as deep the one that stands first in `cached`.
    """
    # BEGIN SOLUTION
    next_use = {}
    for place, content in enumerate(future):
        next_use.setdefault(content, place)
    never = len(future)
    return max(cached, key=lambda content: (next_use.get(content, never), cached[content]))
    # END SOLUTION


# %% [markdown] id="about-belady-check"
# The next cell runs all of it by hand: a cache of two blocks and a short string of requests. Whoever is not in the cache
# is a miss, and your function says who makes room.

# %% id="belady-by-hand"
from labkit.mine import belady_victim
from labkit.simulate.cache_replay import demand_replay

string = list("ABCABDAB")
cached, misses = [], 0
for i, content in enumerate(string):
    if content in cached:
        print(f"{content}  hit")
        continue
    misses += 1
    gone = ""
    if len(cached) == 2:
        victim = belady_victim(dict.fromkeys(cached, 0), string[i + 1:])
        cached.remove(victim)
        gone = f", {victim} goes"
    cached.append(content)
    print(f"{content}  miss{gone}")
lru = demand_replay([[content] for content in string], 2, POLICIES["LRU"])
print(f"{misses} misses; LRU has {lru.looked_up - lru.hits} of {lru.looked_up}")

# %% [markdown] id="about-ties"
# The tie is not an afterthought. What is asked for at all is asked for together with everything before it in its prompt,
# so a child is never wanted sooner than its parent. With ties broken *deepest first*, Belady never orphans a child, and
# it can be run on the real cache, as the board at the top does.

# %% [markdown] id="regret"
# ## What hurts is regret
#
# Back to Monday and Tuesday. An eviction is harmless if nobody asks for the block again. If somebody does, it was a
# mistake, and its keys and values are computed a second time. That is **regret**: evicted, then wanted again. One can
# only know it afterwards, by remembering for a while what was evicted.
#
# The strips below show a shorter stretch of each day, 200 requests. Each mark is one eviction. An arc leads from it to the
# moment when its content was wanted again; where that never happened there is none.

# %% id="strip-once"
from labkit.specs.eviction_tournament.eviction_scenes import evictions_of_replay
from labkit.widgets import EvictionStrip

once = requests_of(cyclic_scan(200, rounds=1, blocks_per_prompt=4))
EvictionStrip(
    evictions_of_replay(once, 64, POLICIES["LRU"]), steps=len(once),
    title="Monday: prompts that come once", subtitle="A cache of 64 blocks, under LRU.",
)

# %% id="strip-back"
back = requests_of(zipf(200, 20, 0.0, 4, seed=2))
EvictionStrip(
    evictions_of_replay(back, 64, POLICIES["LRU"]), steps=len(back),
    title="Tuesday: twenty prompts that come back", subtitle="The same cache, under LRU.",
)

# %% [markdown] id="five-counters"
# A full cache that serves new prompts evicts all day and is healthy: there is nothing to keep. The same cache, a little
# too small for prompts that do come back, evicts less and hurts more. And there is a third way to lose time that has
# nothing to do with the prefix cache: sequences that are still running have to give way, which is called *preemption*.
# Five counters keep these apart. *Blocks recycled* counts every block that was given up, also one in which nothing could be
# found, such as the part-filled last block of a prompt:

# %% id="counters"
from labkit.specs.eviction_tournament.eviction_scenes import grow_too_large

scenes = {
    "prompts come once": come_once(),
    "prompts come back": come_back(),
    "answers outgrow memory": grow_too_large(),
}
print(f"{'':26}" + "".join(f"{name:>24}" for name in scenes))
for label, field in [
    ("blocks recycled", "blocks_recycled"),
    ("cached blocks evicted", "cached_blocks_evicted"),
    ("  of these, regretted", "regretted_evictions"),
    ("preemptions", "preemptions"),
    ("tokens recomputed after it", "recomputed_tokens"),
]:
    row = [f"{getattr(scene.counters, field):24,}" for scene in scenes.values()]
    print(f"{label:26}" + "".join(row))
row = [f"{scene.full:24.0%}" for scene in scenes.values()]
print(f"{'time without free memory':26}" + "".join(row))

# %% [markdown] id="after-counters"
# The last line counts the time in which no block lay in the pool, and it tells nobody apart. (The gauges of real servers
# leave cached blocks out that nobody holds: they point at the third server, and show the other two as nearly empty.)
# *Blocks recycled* and *cached
# blocks evicted* are highest for the server that has no problem at all. Regret names the second, preemptions with
# recomputed tokens the third. (No prompt comes twice in the third; what it regrets is what a sequence that gave way had
# left in the cache, and wanted when it came back.) The cures differ as well: for the second a better policy or a little
# more memory; for the third no eviction policy helps, since nothing that is held can be evicted. Lessons 17 and 18 take
# it up.
#
# This is the sentence that the course began with, made sharper. Watching the eviction rate is not enough; watch what
# becomes of the evicted.

# %% [markdown] id="about-break-it"
# ### Break it: the entry that outlives a hit (6 minutes, difficulty 3, importance 4)
#
# `min` over all blocks is slow where a hundred thousand may go, so somebody has put them into a heap. A block in the
# middle of a heap cannot be taken out cheaply; the usual trick is to leave its entry where it is, to remember that it is
# worth nothing, and to pass over it when it comes to the top. It passed its tests. In production the hit rate was a little
# lower than expected, on busy days only, and nobody ever found out why.
#
# ```python
# class LRU(Policy):
#     def __init__(self):
#         self.time = 0
#         self.last = {}
#         self.heap = []
#         self.taken_back = set()
#
#     def released(self, blocks):
#         self.time += 1
#         for block in blocks:
#             self.last[block] = self.time
#
#     def add(self, block):
#         self.taken_back.discard(block)
#         heapq.heappush(self.heap, (self.last[block], block))
#
#     def remove(self, block):
#         self.taken_back.add(block)
#
#     def evict(self):
#         while True:
#             time, block = heapq.heappop(self.heap)
#             if block not in self.taken_back:
#                 return block
# ```
#
# Convict it. Write a list of operations that a right LRU survives and this one does not. `("LRU",)` makes the policy and
# comes first; then `("released", [0])`, `("add", 0)`, `("remove", 0)` and `("evict",)` call it. The calls have to be such as
# a cache makes: a block is released before it is added, and removed before it is in use again. The shortest list wins.

# %% id="ex-break-it"
# %%exercise break_stale_entry
# BEGIN SOLUTION
ops = [
    ("LRU",),
    ("released", [0, 1]),
    ("add", 0),
    ("add", 1),
    ("remove", 0),
    ("released", [0]),
    ("add", 0),
    ("evict",),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("LRU",),
#     ("released", [0]),
#     ("add", 0),
#     ("evict",),
# ]
# END STUB

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("09")

# %% id="finish"
finish("09")

# %% [markdown] id="stretch" tags=["fold"]
# ## Stretch: a policy of your own
#
# ### Exercise: `MyPolicy` (15 minutes, difficulty 4, importance 3)
#
# Anything that keeps the law passes: whoever is named may go. How good it is shows afterwards, in the tournament.
#
# Three limits keep it fair, and the check holds you to them. Your policy works with what it is told: it imports
# `heapq`, `collections`, `random`, `math` and the like, and your own `LRU`, and nothing that could look at the trace. Its
# time may not grow with the cache: the check lets it evict and hit in a cache of 512 blocks and in one of 4,096, and
# compares. A `min` over all blocks takes eight times as long there, also inside your own `LRU` if you build on it. (A check
# begins with the course's `LRU`, so use its methods and not what yours keeps inside.) And what a policy remembers may not
# grow with what has passed through the cache, neither while it evicts nor while everything hits and nobody evicts at all.
#
# What could a policy know that LRU ignores? How often a block was hit. How deep it lies: the front of a prompt is shared
# by many, and the end of a very long one by hardly anybody. What it would cost to compute it again:

# %% id="recompute-cost"
from labkit.cache.eviction_policies import recompute_cost

for depth in [0, 8, 48, 240]:
    print(f"block {depth:3} of 512 tokens costs {recompute_cost(depth):.2f} times the first")

# %% id="ex-my-policy"
# %%exercise MyPolicy
import heapq


class MyPolicy(Policy):
    """Evicts whatever you think will not be missed."""

    def __init__(self, num_blocks: int) -> None:
        """`num_blocks`: blocks of the cache."""
        # BEGIN SOLUTION
        self.patience = num_blocks  # what a hit is worth, in blocks stored
        self.stored_so_far = 0  # the clock
        self.depth, self.let_go, self.was_hit = {}, {}, set()
        self.rank, self.heap = {}, []
        # END SOLUTION
        # BEGIN STUB
        # ...
        # END STUB

    def stored(self, blocks: list[int], depth: int) -> None:
        """They hold new contents; blocks[i] is block number depth + i of its prompt."""
        # BEGIN SOLUTION
        self.stored_so_far += len(blocks)
        for at, block in enumerate(blocks, depth):
            self.depth[block] = at
            self.was_hit.discard(block)
        # END SOLUTION
        # BEGIN STUB
        # ...
        # END STUB

    def hit(self, blocks: list[int]) -> None:
        """A request has found them, and holds them."""
        # BEGIN SOLUTION
        self.was_hit.update(blocks)
        # END SOLUTION
        # BEGIN STUB
        # ...
        # END STUB

    def released(self, blocks: list[int]) -> None:
        """Nobody holds them any more."""
        # BEGIN SOLUTION
        for block in blocks:
            self.let_go[block] = self.stored_so_far
        # END SOLUTION
        # BEGIN STUB
        # ...
        # END STUB

    def add(self, block: int) -> None:
        """`block` may go from now on."""
        # BEGIN SOLUTION
        rank = self.let_go[block] - 50 * self.depth[block]
        if block in self.was_hit:
            rank += self.patience
        self.rank[block] = rank
        heapq.heappush(self.heap, (rank, block))
        if len(self.heap) > 4 * len(self.rank) + 64:
            # Most of it is outdated: hits leave entries that nobody takes out.
            self.heap = sorted((rank, block) for block, rank in self.rank.items())
        # END SOLUTION

    def remove(self, block: int) -> None:
        """`block` may not go any more, until it is added again."""
        # BEGIN SOLUTION
        del self.rank[block]
        # END SOLUTION

    def evict(self) -> int:
        """The block to evict, of those that may go."""
        # BEGIN SOLUTION
        while True:
            rank, block = heapq.heappop(self.heap)
            if self.rank.get(block) == rank:
                del self.rank[block]
                return block
        # END SOLUTION


# %% [markdown] id="about-tournament"
# The board from the beginning, with your policies in it: `LRU` is yours if it has passed, and so is `MyPolicy` (until then
# the course's SLRU stands in for it). The trace *drawn* has the shape of the Mooncake conversations: most prompts are new,
# some go on with an earlier one, and some are very long.

# %% id="board-with-mine"
from labkit.mine import MyPolicy
from labkit.simulate.prefix_workload import draw_conversations

ABOUT["drawn"] = "400 drawn requests with the prefixes of a production trace"
TRACES["drawn"] = requests_of(draw_conversations(400, seed=5))
mine = {**POLICIES, "LRU": lambda blocks: LRU(), "MyPolicy": MyPolicy, "Belady": None}

TournamentBoard(
    curves(TRACES, mine), ABOUT, [25, 100, 400, 800, 1600, 3200],
    trace="drawn", mine="MyPolicy", cursor=1600, points=6,
    title="With yours among them", subtitle="Dashed and accented: MyPolicy.",
)

# %% [markdown] id="about-hold"
# And now on traces that neither you nor your policy has seen. Each run of `labkit tournament` in a terminal draws ten fresh
# ones, each with a seed of its own, and your policy runs in a process in which these traces do not exist; `--trace FILE`
# takes a trace of your own. This cell does the same with given seeds, on small traces. Why ten? One trace puts policies into
# an order by chance, and the next one into another. So means are ranked, and policies share a place where the difference
# between them is no larger than what it changes by from trace to trace. Regret stands beside hits here and is, like them, a
# share of the blocks that were asked for; what Belady regrets is the floor, which more memory lowers and no policy does.

# %% id="tournament"
from labkit.grading.tournament_command import hold, text_of

standings = hold(seed=2026, requests=150, capacities=(150, 500))
print(text_of(standings))

# %% [markdown] id="drill" tags=["fold"]
# ## Drill: what pushed it out? (optional, 10 minutes)
#
# A server that somebody else runs, and two minutes of its board. Pin on the curves what convicts and what rules another
# cause out, look at one thing more, name the cause, and change something. The score says what your change did to the same
# requests. Hit rate, evictions and regret are yours by now; what the board says of queues and preemptions is explained in
# lessons 16 to 18.

# %% id="drill-board"
from labkit.widgets import DrillBoard

DrillBoard("the-reading-room")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# Read in vLLM 0.33.0 and SGLang 0.5.23; versions move.
#
# - **vLLM** (V1, `vllm/v1/core`) evicts LRU and nothing else. Its evictor is the free
#   queue, `FreeKVCacheBlockQueue`, a doubly linked list from whose middle a block that is hit can be taken in constant time.
#   Freed blocks are put back in reverse, so the tail of a sequence goes first. Blocks without a hash go to the
#   front (since pull request 42656).
# - **SGLang** (`srt/mem_cache`) keeps a heap over the evictable leaves of its radix tree and lets you choose,
#   `--radix-eviction-policy`: lru, lfu, slru, priority or tlru, which spares what bounds the slowest answers (arXiv
#   2510.15152). `sglang:evicted_tokens_total` counts what goes.
# - vLLM's Prometheus metrics have **no counter of evictions on the GPU**. With `--kv-cache-metrics`,
#   `rate(vllm:kv_block_lifetime_seconds_count[5m])` divided by the sample rate is near, but counts every recycled block.
#   Exact are the KV events: `BlockRemoved` is sent when a cached block is evicted, `BlockStored` when a content is stored;
#   the two together give regret. Mind the twins: a removal is sent for each block, also where another one with the same
#   content stays, so where prompts are computed side by side the pair counts too much.
# - `vllm:kv_cache_usage_perc` counts what is not free. Cached blocks that nobody holds look free there.
# - **A dead evictor** looks like this: LMCache issue 4817, where the eviction thread died in its first cycle and the hit rate
#   froze. A count of evictions that stays at *zero* on a full cache is an alarm too.
# - The well-known measurements of vLLM pull request 44594 (1,065 preemptions against 168, at nearly the same throughput) were made with
#   prefix caching off. They are about preemption, and say nothing of cached evictions.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked about eviction wrote the sentence below. Is it true, false, or too broad? Pick the judgement
# together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("09", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## Why random finds what it finds on a ring
#
# Let $N$ prompts of one block come in a circle, with $C < N$ slots, and let a share $h$ of the requests hit. Between two
# uses of a block lie $N$ requests, of which $(1-h)N$ miss. Each miss evicts one of $C$ blocks, so the block survives it
# with probability $1 - 1/C$, and survives all of them with $(1 - 1/C)^{(1-h)N} \approx e^{-(1-h)N/C}$. To be hit is to
# have survived:
#
# $$h = e^{-(1-h)N/C}$$
#
# which for $N = 1{,}100$ and $C = 1{,}000$ has the solution that the next cell finds. LRU has $h = 0$ for every $C < N$.
# Belady keeps $C - 1$ of the $N$ blocks through a round while the rest take turns in one slot: $(C-1)/(N-1)$.

# %% id="ring-by-formula"
from math import exp

N, C = 1100, 1000
h = 0.5
for _ in range(2000):
    h = exp(-(1 - h) * N / C)
print(f"random, by the formula: {h:.3f}   Belady: {(C - 1) / (N - 1):.3f}")
late = requests_of(cyclic_scan(N, rounds=60))
first = N / len(late)  # the first round finds nothing
for name, make in [("Random", POLICIES["Random"]), ("Belady", None)]:
    found = cache_replay(late, C, make).hit_ratio / (1 - first)
    print(f"{name}, replayed, without the first round: {found:.3f}")

# %% [markdown] id="mooncake" tags=["fold"]
# ## Where 6.5% and 7.5% come from
#
# Mooncake's conversation trace (12,031 requests, Apache-2.0, github.com/kvcache-ai/Mooncake) names the 512-token blocks of
# every prompt, so it can be replayed without its tokens. It is not part of the course, for its size; with the file at hand,
# this is all it takes (`requests_of` counts part-filled last blocks as well unless told otherwise):
#
# ```python
# from labkit.simulate.traces import read_trace
#
# requests = requests_of(read_trace("mooncake_conversation.jsonl"))
# for name in ("LRU", "Random"):
#     print(name, cache_replay(requests, 3000, POLICIES[name]).hit_ratio)
# ```
#
# Under LRU the share of blocks found at 1,000 / 10,000 / 30,000 blocks and with room for all is .045 / .212 / .326 / .366,
# and .047 / .224 / .345 / .382 where only full blocks are counted. The course's own tests hold its caches to these numbers
# where the file is present.
