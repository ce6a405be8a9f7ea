# %% [markdown] id="symptom"
# # 09. Eviction tournament
#
# A dashboard shows the cached blocks that a server throws out to make room. On Monday the number is high all day, and
# somebody orders more memory. On Tuesday, before it has arrived, the number is a fifth of Monday's, and users complain:
# the first token comes late again.
#
# Both days are replayed below, on a small cache. The number of evictions says nothing about either. In this lesson you
# build the part that chooses what is thrown out, learn how far from perfect it is, and find the number that tells Monday
# from Tuesday.

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
# at cache sizes from 25 blocks to 400. Both pictures count blocks, of all that the prompts asked for: left those that
# were found, right those that had been in the cache and were **evicted before they were wanted again**. That second
# share is called *regret*. What was never there before is in neither picture.
#
# **Belady** is the heavy line that nobody passes: it knows the future. So what it regrets, the shaded part, no choice can
# avoid; only more memory can. Choose a trace above the pictures, move the cursor over the sizes, and watch two things. Is
# there a policy that is best on every trace? And where is more to be won: by a better policy, or by more memory?

# %% id="play-widget"
from labkit.specs.eviction_tournament.boards import OPENING, SIZES, every_policy
from labkit.widgets import TournamentBoard

TournamentBoard(every_policy(), OPENING, SIZES, title="Eight ways to make room",
                subtitle="Every policy serves the same requests.")

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
# was taken out of its middle, and whoever finished put blocks at its back. That queue *is* an eviction policy: the block
# that was let go of longest ago goes first. vLLM has no other evictor.
#
# Here the choice becomes a part of its own, so that it can be another one. The cache still decides which blocks *may* go:
# those that nobody holds and that have no cached children, because a child without its parent cannot be found until
# somebody computes the parent again. The policy only says which of them goes first. So a bad policy costs time, and
# never a wrong answer; nor does it ever decide who finds room, since whatever nobody holds can go, under any policy.
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
# *Least recently used*: of the blocks that may go, the one that was let go of longest ago. `Policy` is imported for this
# cell; it has empty `stored` and `hit`, which LRU does not need.
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
# not given another one. The next cell lets it (the reference, until it has passed) serve Tuesday's twenty prompts, which
# come back in random order. Beside it stand chance, a cache of half as much memory again, and the most that can be found:
# all but the first visit of each prompt.

# %% id="lru-at-work"
from labkit import engine
from labkit.cache.eviction_policies import POLICIES
from labkit.mine import LRU

print("The policy at work:", engine.owner("eviction"))
rows = [("LRU, 64 blocks", come_back(LRU)),
        ("random, 64 blocks", come_back(lambda: POLICIES["Random"](64))),
        ("LRU, 96 blocks", come_back(LRU, blocks=96))]
for what, served in rows:
    print(f"{what:18} found {served.found:5.1%} of the blocks, evicted "
          f"{served.counters.cached_blocks_evicted:3}")
print(f"at most {1 - 20 / 400:16.1%}")

# %% [markdown] id="about-predict"
# ## One prediction first
#
# LRU bets that what was used lately will be used soon. Think of a job that sends the same 1,100 prompts over and over, in
# the same order. Each is one block, and the cache has 1,000.

# %% id="predict-p1"
predict("09", "p1")

# %% id="reveal-p1"
from labkit.cache.eviction_policies import POLICIES
from labkit.simulate.cache_replay import cache_replay
from labkit.simulate.hit_ratio import requests_of
from labkit.simulate.prefix_patterns import cyclic_scan

ring = requests_of(cyclic_scan(1100, rounds=30))
for name, make in [("LRU", POLICIES["LRU"]), ("Random", POLICIES["Random"]), ("Belady", None)]:
    print(f"{name:8} finds {cache_replay(ring, 1000, make).hit_ratio:.3f}")

# %% [markdown] id="after-p1"
# Hold your share against the first line, and follow it by hand. When prompt 1,001 comes, LRU throws out prompt 1, which
# was used longest ago. When does that one come again, and what goes for it then? The order in which LRU throws out is
# the order in which the ring asks.
#
# Random has no idea, and that is its strength here: it throws out something else. (The first of the thirty rounds finds
# nothing under any policy, so nobody reaches 1,000 / 1,100.) Real traces have some of this in them. On the conversation
# trace that Mooncake published, a cache of 3,000 blocks of 512 tokens finds 6.5% under LRU and 7.5% under random
# eviction; the last fold of this lesson says where these numbers come from.
#
# So *least recently used* is a guess and not a law. There are others:
#
# | policy | what goes first | what it believes |
# |---|---|---|
# | FIFO, first in, first out | what was stored first | old is old, used or not |
# | LRU | what was let go of longest ago | what was used lately will be used soon |
# | CLOCK | what was stored first, except if it was hit since | one hit is worth one more round |
# | LFU, least frequently used | what was hit least often | what was popular stays popular |
# | SLRU, segmented LRU | what was never hit; then LRU | what came twice will come a third time |
# | GDSF, greedy dual size frequency | what saves the least work: hits times the cost of computing it again, with age | what is expensive to compute should stay longer |
# | random | any | nothing |
#
# How good is the guess of LRU? The next cell counts, on the traces of the first picture and on this ring, what share of
# the blocks LRU finds, and what the best of the other policies that need no future would add.

# %% id="where-lru-loses"
from labkit.specs.eviction_tournament.boards import TRACES

others = {name: make for name, make in POLICIES.items() if name != "LRU"}
print("trace     blocks    LRU finds   the best other adds, in points")
for name, blocks in [("chats", 100), ("chats", 400), ("scan", 50), ("scan", 200),
                     ("ring", 100), ("popular", 100)]:
    lru = cache_replay(TRACES[name], blocks, POLICIES["LRU"]).hit_ratio
    best, found = max(((other, cache_replay(TRACES[name], blocks, make).hit_ratio)
                       for other, make in others.items()), key=lambda pair: pair[1])
    print(f"{name:8} {blocks:7} {lru:12.1%} {100 * (found - lru):14.1f}   {best}")

# %% [markdown] id="after-where-lru-loses"
# Where people talk, nothing beats LRU by much. It loses to **scans**: to prompts that come once and push out what was in
# use, and to rings, which are scans that begin anew. *popular* stands apart, and comes from a laboratory: its prompts are
# drawn from one list that never changes, whatever came just before, so how often a prompt came is all there is to know.
# On a server the list changes, and what is popular is what was used lately.
#
# LRU also loses where the target is not the mean but the **tail**, the slowest answers. There it matters whether the next
# turn of a conversation would be too slow without a block, and SGLang's policy `tlru` goes by that (arXiv 2510.15152).
# Scans and tail targets, then, and hardly anything else: vLLM has no other policy than LRU.

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
# No server can run it. It is a ruler: what your policy regrets above Belady, a better policy could still win, and what
# Belady regrets itself only more memory can bring.
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
# The next cell runs all of it by hand: a cache of two blocks and a short string of requests. A content that is not in the
# cache is a miss, and your function says which one makes room.

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
# Back to Monday and Tuesday. An eviction is harmless if nobody asks for the block again. If somebody does, its keys and
# values are computed a second time. **Regret** is the share of that: of all blocks that were asked for, those that had
# been evicted and were wanted again. It is known only afterwards, by remembering for a while what was evicted.
#
# The strips below show a shorter stretch of each day, 200 requests. Each mark is one eviction. An arc leads from it to the
# moment when its content was wanted again; where that never happened there is none.

# %% id="strip-once"
from labkit.simulate.prefix_patterns import zipf
from labkit.specs.eviction_tournament.eviction_scenes import evictions_of_replay
from labkit.widgets import EvictionStrip

once = requests_of(cyclic_scan(200, rounds=1, blocks_per_prompt=4))
EvictionStrip(
    evictions_of_replay(once, 64, POLICIES["LRU"]), asked=map(len, once),
    title="Monday: prompts that come once", subtitle="A cache of 64 blocks, under LRU.",
)

# %% id="strip-back"
back = requests_of(zipf(200, 20, 0.0, 4, seed=2))
EvictionStrip(
    evictions_of_replay(back, 64, POLICIES["LRU"]), asked=map(len, back),
    title="Tuesday: twenty prompts that come back", subtitle="The same cache, under LRU.",
)

# %% [markdown] id="about-cure"
# What would cure Tuesday: a better policy, or more memory? Belady tells. What it regrets is the floor, which no policy
# gets below; only memory moves it. What a policy regrets above the floor, a better one could win, if there were something
# to go by.

# %% id="more-memory"
names = [*POLICIES, "Belady"]
print("regret, of the blocks asked for")
print("blocks " + "".join(f"{name:>8}" for name in names))
for blocks in (64, 72, 96):
    shares = [cache_replay(back, blocks, POLICIES.get(name)).regret_ratio for name in names]
    print(f"{blocks:6} " + "".join(f"{share:8.1%}" for share in shares))

# %% id="strip-more-memory"
EvictionStrip(
    evictions_of_replay(back, 72, POLICIES["LRU"]), asked=map(len, back),
    title="Tuesday with 72 blocks",
    subtitle="The same requests under the same policy; an eighth more memory.",
)

# %% [markdown] id="after-cure"
# All policies that can be run stand close together, far above the floor. They have to: the prompts come in random order,
# each as likely as any other, so nothing of what came tells what will come. An eighth more memory does more than halve the
# regret of LRU, and with 96 blocks the twenty prompts fit, nothing is evicted, and nothing is regretted under any policy.

# %% [markdown] id="five-counters"
# A full cache that serves new prompts evicts all day and is healthy: there is nothing to keep. The same cache, a little
# too small for prompts that do come back, evicts less and hurts more. And there is a third way to lose time, in which the
# prefix cache is not to blame: answers outgrow memory, and sequences that are still running have to give their blocks up,
# which is called *preemption*. Five counters keep these apart. *Blocks recycled* counts every block that was given up,
# also one in which nothing could be found, such as the part-filled last block of a prompt.
#
# Below the counters stand three shares. *Held* is what the gauge of memory of a real server shows
# (`vllm:kv_cache_usage_perc`, `sglang:token_usage`): the blocks that running requests hold. Cached blocks that nobody
# holds count as free there.

# %% id="counters"
from operator import attrgetter

from labkit.specs.eviction_tournament.eviction_scenes import grow_too_large

scenes = {"come once": come_once(), "come back": come_back(), "outgrow": grow_too_large()}
print(f"{'prompts or answers that':28}" + "".join(f"{name:>12}" for name in scenes))
for label, field, form in [
    ("blocks recycled", "counters.blocks_recycled", "12,"),
    ("cached blocks evicted", "counters.cached_blocks_evicted", "12,"),
    ("  of these, regretted", "counters.regretted_evictions", "12,"),
    ("preemptions", "counters.preemptions", "12,"),
    ("tokens recomputed after it", "counters.recomputed_tokens", "12,"),
    ("regret, of blocks asked for", "regret", "12.0%"),
    ("held, of all blocks", "held", "12.0%"),
    ("time without room in pool", "full", "12.0%"),
]:
    print(f"{label:28}" + "".join(format(attrgetter(field)(scene), form)
                                  for scene in scenes.values()))

# %% [markdown] id="after-counters"
# Read it from below. The pool alone has no room in any of the three, nearly all the time, and that is as it should be.
# **Held tells preemption from the cache**: the third server is full of blocks in use, and the other two show as
# nearly empty. **Regret tells Tuesday from Monday**, where the gauge shows the same. *Blocks recycled* and *cached blocks
# evicted* are highest for the server that has no problem at all.
#
# (The third regrets as well, though no prompt comes twice there: a sequence that was preempted leaves its blocks in the
# cache, and wants them when it comes back. So look at what is held first.) The cures differ: for the second more memory,
# or a better policy where there is something to go by; for the third no eviction policy helps, since nothing that is held
# can be evicted. Lessons 17 and 18 take it up.
#
# This is the sentence that the course began with, made sharper. Watching the eviction rate is not enough; watch what
# becomes of the evicted.

# %% [markdown] id="about-tool"
# ## Regret on a server of your own
#
# No server exports regret, but vLLM says all that is needed to count it. Where it is asked to, it publishes its **KV
# events**: `BlockStored` when a content can be found, `BlockRemoved` when a block is evicted, each with hashes
# that name the contents. The cell below is a tool to take along. It reads batches of events as bytes, and prints a line
# when a minute is over. Mind the *twins*: two blocks may hold one content, and a removal is sent for each, so the cell
# counts copies. Nothing is lost until the last one goes.
#
# The stream here is one server's, written as vLLM writes it: five minutes of Monday's prompts, then five of Tuesday's,
# 320 blocks asked for per minute.

# %% id="regret-per-minute"
from collections import Counter
from itertools import chain, groupby

from labkit.observe.kv_events import decode


def regret_per_minute(payloads):
    copies, gone = Counter(), set()
    for minute, batches in groupby(map(decode, payloads), lambda batch: batch.at_s // 60):
        evicted = regretted = 0
        for event in chain.from_iterable(batch.changes for batch in batches):
            if event.kind == "AllBlocksCleared":  # somebody asked for it: that is no eviction
                copies, gone = Counter(), set()
            for content in event.hashes:
                if event.kind == "BlockStored":
                    regretted += content in gone
                    gone.discard(content)
                    copies[content] += 1
                else:
                    evicted += 1
                    copies[content] = max(0, copies[content] - 1)
                    if not copies[content]:
                        gone.add(content)
        clock = f"{minute % 1440 // 60:02.0f}:{minute % 60:02.0f} UTC"
        print(f"{clock}  {evicted:5,} blocks evicted  {regretted:5,} wanted again")


# %% id="use-regret-per-minute"
from labkit.specs.eviction_tournament.eviction_scenes import published_events

regret_per_minute(published_events())

# %% [markdown] id="after-tool"
# At five past nine evictions fall to a quarter, and the trouble begins. For a live server it is the same cell with another
# stream. Start vLLM with `--kv-events-config '{"enable_kv_cache_events": true, "publisher": "zmq"}'`, and beside it:
#
# ```python
# from labkit.observe.kv_events import published
#
# regret_per_minute(published("tcp://localhost:5557"))
# ```
#
# To make a share of it, divide by the blocks asked for: the increase of `vllm:prefix_cache_queries_total`, which counts
# tokens, over the block size. `labkit watch` with `--events` counts the same beside the metrics of the server, keeps the
# ranks and offloaded copies of a larger one apart, and says when a batch was lost.

# %% [markdown] id="about-break-it"
# ### Break it: the entry that outlives a hit (6 minutes, difficulty 3, importance 4)
#
# `min` over all blocks is slow where a hundred thousand may go, so somebody has put them into a heap. A block in the
# middle of a heap cannot be taken out cheaply; the usual trick is to leave its entry where it is, to remember that it is
# outdated, and to pass over it when it comes to the top. It passed its tests. In production the hit rate was a little
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
# Anything that keeps the law passes: every block that it names may go. How good it is shows afterwards, in the tournament.
#
# Three limits keep it fair, and the check holds you to them. Your policy works with what it is told: it imports
# `heapq`, `collections`, `random`, `math` and the like, and your own `LRU`, and nothing that could look at the trace. Its
# time may not grow with the cache: the check lets it evict and hit in a cache of 512 blocks and in one of 4,096, and
# compares. A `min` over all blocks takes eight times as long there, also inside your own `LRU` if you build on it. (A check
# begins with the course's `LRU`, so use its methods and not what yours keeps inside.) And what a policy remembers may not
# grow with what has passed through the cache, neither while it evicts nor while everything hits and nobody evicts at all.
#
# What could a policy know that LRU ignores? How often a block was hit. How deep it lies: the front of a prompt is shared
# by many, and the end of a very long one by hardly anybody. What it would cost to compute it again. For a model of the
# usual shape whose hidden states have 4,096 numbers, as those of Llama-3.1-8B have, counted as in Kaplan et al. 2020
# (arXiv 2001.08361, section 2.1):

# %% id="recompute-cost"
from labkit.cache.eviction_policies import recompute_cost

for depth in [0, 8, 48, 240]:
    cost = recompute_cost(depth, hidden=4096)
    print(f"block {depth:3} of 512 tokens costs {cost:.2f} times the first")

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
# A board with your policies in it: `LRU` is yours if it has passed, and so is `MyPolicy` (until then the course's SLRU
# stands in for it). The traces are larger. *drawn* has the shape of the Mooncake conversations: most prompts are new, some
# go on with an earlier one, and some are very long.

# %% id="board-with-mine"
from labkit.mine import MyPolicy
from labkit.specs.eviction_tournament.boards import LARGE, LARGE_SIZES

TournamentBoard(
    every_policy(LRU=lambda blocks: LRU(), MyPolicy=MyPolicy), LARGE, LARGE_SIZES,
    mine="MyPolicy", cursor=1600, points=5,
    title="With yours among them", subtitle="Dashed and accented: MyPolicy.",
)

# %% [markdown] id="about-hold"
# And now on traces that neither you nor your policy has seen. Each run of `labkit tournament` in a terminal draws ten fresh
# ones, each with a seed of its own, and your policy runs in a process in which these traces do not exist; `--trace FILE`
# takes a trace of your own. This cell does the same with given seeds, on small traces. Why ten? One trace puts policies into
# an order by chance, and the next one into another. So means are ranked, and policies share a place where the difference
# between them is no larger than what it changes by from trace to trace.

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
#   queue, `FreeKVCacheBlockQueue`, a doubly linked list: a block that is hit is taken out of its middle in constant time.
#   Freed blocks are put back in reverse, so the tail of a sequence goes first. Blocks without a hash go to the
#   front (since pull request 42656).
# - **SGLang** (`srt/mem_cache`) evicts from the leaves of its radix tree, by default `UnifiedRadixCache` over a core in
#   Rust, and lets you choose by `--radix-eviction-policy`: lru, lfu, slru, priority or tlru, the one for the tail.
#   `sglang:evicted_tokens_total` counts what goes.
# - vLLM's Prometheus metrics have **no counter of evictions on the GPU**. With `--kv-cache-metrics`,
#   `rate(vllm:kv_block_lifetime_seconds_count[5m])` divided by the sample rate is near, but counts every recycled block.
#   Exact are the KV events, from which the tool of this lesson counts.
# - **A dead evictor** looks like this: LMCache issue 4817, where the eviction thread died in its first cycle and the hit rate
#   froze. A count of evictions that stays at *zero* on a full cache is an alarm too.
# - The well-known measurements of vLLM pull request 44594 (1,065 preemptions against 168, at nearly the same throughput)
#   were made with prefix caching off. They are about preemption, and say nothing of cached evictions.

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
# trace = read_trace("mooncake_conversation.jsonl")
# requests = requests_of(trace)
# for name in ("LRU", "Random"):
#     served = cache_replay(requests, 3000, POLICIES[name])
#     print(name, served.hit_ratio)
# ```
#
# Under LRU the share of blocks found at 1,000 / 10,000 / 30,000 blocks and with room for all is .045 / .212 / .326 / .366,
# and .047 / .224 / .345 / .382 where only full blocks are counted. The course's own tests hold its caches to these numbers
# where the file is present.
