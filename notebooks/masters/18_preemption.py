# %% [markdown] id="symptom"
# # 18. Preemption
#
# Since this morning the server has less memory for its KV cache: its share was lowered for another service. The GPU is as
# busy as before, and computes as many tokens in a second. Users say that answers come in jerks: they stop for seconds, and
# then go on. Somebody adds up what the users got. It is a fifth less than yesterday.
#
# Nothing is lost between the GPU and the users. Some of what the GPU computes, it computes for the second time. This
# lesson is about what a server does when memory runs out in the middle of an answer, what that costs, and why most boards
# do not show it.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("18")

# %% id="symptom-numbers"
from labkit.cache.geometry import MODELS
from labkit.simulate.cost_model import CARDS, cost_model
from labkit.specs.preemption.scenes import chats, make, served, two_curves

# Llama 3.1 8B on an H100, as in lesson 16; sixty chats within two seconds
cost = cost_model(CARDS["H100"], MODELS["Llama-3.1-8B"])
runs = {}
for blocks in (20_000, 3_000):
    runs[f"{blocks:,} blocks"] = it = served(make(blocks), chats(), cost)
    print(f"{blocks:6,} blocks: {it.computed_per_s:,.0f} tokens per second computed,",
          f"{it.delivered_per_s:,.0f} delivered; done after {it.run.seconds:.1f} s")

# %% id="symptom-curves"
two_curves({name: it.run for name, it in runs.items()})

# %% [markdown] id="after-curves"
# In the first two seconds all chats come, and their prompts are computed: the curves are apart. Then each token that is
# computed is delivered, and they lie on each other. With 3,000 blocks they part once more after four seconds, when all have
# grown. Nobody has come since. What is computed there?
#
# Memory is paged in both runs, and nothing in it is wasted but part of each last block. Paging takes away waste. It does not
# take away pressure, where the contexts that run together exceed memory.

# %% [markdown] id="play"
# ## Look before you read
#
# Five requests come, one in each step, and their answers do not fit into memory together. **Preemption** is what happens
# then: somebody gives its memory up in the middle of its answer and comes back later. Choose between the four runs, point
# at a cell or use the arrow keys.
#
# Find the red crosses in the second run. What does the same request compute when it comes back? That is the hatched cell,
# and for E there are two of them. Then compare these cells in the third and the fourth run. In the third only one of them
# is smaller: a freed block is found until somebody else has been given it.

# %% id="play-widget"
from labkit.specs.preemption.scenes import four_servers
from labkit.widgets import RequestTimeline

RequestTimeline(four_servers(), title="Five requests, blocks of four tokens",
                subtitle="30 blocks, and then 16: what becomes of those that have no room?")

# %% [markdown] id="idea"
# ## Why anybody is let in who may not fit
#
# A server could let in only as many as fit at their longest. Then nobody is ever preempted, and most of memory is held
# for answers that end early. Lesson 17 has the figures. So servers are optimistic: they let requests in while there are
# blocks for what is known of them now, and hope that somebody ends before all have grown. Preemption is what they do
# when that does not happen. Three questions have to be answered: **who** gives way, **what becomes** of what it has
# computed, and what that **costs**.
#
# ## Who gives way
#
# A running request needs a block, and there is none. Somebody who runs must go. The usual answer is *whoever was let in
# last*: it has most likely computed least, and those who came before it are not made to wait. There are others:
#
# - *least computed*: the fewest tokens have to be computed again;
# - *most blocks*: a single preemption frees the most memory;
# - *priority*: the least urgent goes, whatever it has computed.
#
# One rule stands above the first three: **the first of those who run is spared while another is there**. Without it two
# large requests can take each other's memory for ever. With it somebody always comes to an end, and the next one becomes
# the first. Priority needs no such rule: the most urgent is never the victim while somebody else runs.

# %% [markdown] id="about-choose-victim"
# ### Exercise: `choose_victim` (8 minutes, difficulty 2, importance 4)
#
# `request.computed` stands for both: the tokens that are lost, and the memory that comes free. `request.priority` is the
# lower the more urgent, `request.arrival` is a time.

# %% id="ex-choose-victim"
# %%exercise choose_victim
from labkit.errors import SchedulerError


def choose_victim(running: list, how: str = "last"):
    """Which of the running requests gives its memory up.

    Args:
        running: requests in the order in which they were let in, one at least.
        how: "last": the one that was let in last.
            "least-computed", "most-blocks": the one with the lowest or the highest
                `computed`.
            "priority": the one with the highest number `priority`; where that is
                equal, the highest `arrival`.
            Where all this is equal, the one that was let in later.

    Returns:
        One of `running`. Unless `how` is "priority", never the first of them while
        there is another. Nothing is changed.

    Raises:
        SchedulerError: `how` is none of these.
    """
    # BEGIN SOLUTION
    ranks = {
        "last": lambda place, request: place,
        "least-computed": lambda place, request: (-request.computed, place),
        "most-blocks": lambda place, request: (request.computed, place),
        "priority": lambda place, request: (request.priority, request.arrival, place),
    }
    if how not in ranks:
        raise SchedulerError(f"There is no way {how!r}: choose one of {list(ranks)}.")
    places = list(range(len(running)))
    if how != "priority" and len(places) > 1:
        places = places[1:]
    place = max(places, key=lambda place: ranks[how](place, running[place]))
    return running[place]
    # END SOLUTION


# %% id="use-choose-victim"
from labkit.mine import choose_victim
from labkit.scheduling.request import Request


def example(name, computed, priority=0, arrival=0):
    request = Request(name, range(computed), 99, priority=priority, arrival=arrival)
    request.computed = computed
    return request


running = [
    example("A", 90, 1, 0), example("B", 20, 0, 1),
    example("C", 70, 2, 2), example("D", 40, 0, 3),
]
for how in ("last", "least-computed", "most-blocks", "priority"):
    print(f"{how:15} {choose_victim(running, how).id}")

# %% [markdown] id="recompute"
# ## What becomes of the victim
#
# The plainest answer: its blocks are freed, and what was in them is **computed again** when it comes back. Keys and values
# follow from the tokens, and the tokens are kept: the prompt and all that it has generated. The user has read that part of
# the answer already, so it must not change. To the model the request comes back as one with a longer prompt, and computes
# it in one go, or in pieces, as any prompt.
#
# So nothing is wrong afterwards: the answer goes on as it would have gone, but for rounding. It costs time, and it hides:
# from outside a request that computes its prompt again looks like one that has just begun. A careful server marks the
# difference in two places. The request has a mark, `most_computed`: the most tokens that it ever had computed. The
# scheduler raises it in every step; what is computed below it is **recomputed**. And the memory manager is told that the sequence was *preempted* and not *freed*: when it
# comes back and finds some of its own blocks in the prefix cache, that says nothing of how well prompts are shared.

# %% [markdown] id="about-preempt-recompute"
# ### Exercise: `preempt_recompute` (8 minutes, difficulty 2, importance 5)
#
# The request has the fields of lesson 16 and three more: `state`, which is one of `State.WAITING`, `RUNNING`, `PREEMPTED`,
# `FINISHED`; `most_computed`; and `preemptions`, how often it gave its memory up. The manager can `free(id)` a sequence that
# has ended, and `preempt(id)` one that comes back. It is short. Decide of every field whether it speaks of memory, of what
# the user has, or of the past.

# %% id="ex-preempt-recompute"
# %%exercise preempt_recompute
from labkit.scheduling.request import State


def preempt_recompute(manager, request) -> None:
    """Take a request's memory, so that all of it is computed again.

    Args:
        manager: has the sequence `request.id` in memory; manager.preempt(id) takes
            its blocks and expects it back, manager.free(id) takes the blocks of
            one that has ended.
        request: runs. Its fields: prompt_tokens, output, computed, most_computed,
            state, preemptions.
    """
    # BEGIN SOLUTION
    manager.preempt(request.id)
    request.state = State.PREEMPTED
    request.computed = 0
    request.preemptions += 1
    # END SOLUTION


# %% [markdown] id="halfway"
# ## Half way
#
# Both functions are at work now in every scheduler of this course. The second half asks what a preemption costs, who can
# see it, and when a copy is cheaper. A good place to stop and come back: what you passed is kept.

# %% id="save"
save_point("18")

# %% [markdown] id="two-curves"
# ## Computed and delivered
#
# **Delivered** tokens reach a user. **Computed** tokens go through the model: prompts, and each generated token once, when
# it is the input of the next. With the counts that your two functions leave behind, the symptom at the top can be taken
# apart. The next cell also tries the other victims.

# %% id="taken-apart"
print(f"{'':15} preempted  computed again  of all  delivered/s  pause p99")
for how in ("last", "least-computed", "most-blocks"):
    it = served(make(3_000, victim=how), chats(), cost)
    again = it.recomputed / (it.computed_per_s * it.run.seconds)
    pause = it.run.percentile("longest_gap_s", 99)
    print(f"{how:15} {it.preemptions:9} {it.recomputed:15,} {again:7.0%}",
          f"{it.delivered_per_s:12,.0f} {pause:8.1f} s")

# %% [markdown] id="after-taken-apart"
# A fifth of all computing is done for the second time. It is why computed tokens per second have not fallen: the victims'
# prompts fill the steps. The last column measures the jerks: 99 of 100 answers have no longer stop. A victim that is
# chosen by what it has computed, least first, loses less each time and is chosen more often; vLLM's issue 54644
# proposes it, and reports 24 to 30% less waste online. Here the sums are close, and *most blocks*, which wastes the
# most, delivers the most. Put 2,000 in the place of 3,000 and the order of delivered tokens turns round. No victim is
# best for every load. The choice decides who pays.

# %% [markdown] id="counters"
# ## What the counters say
#
# Now from outside, as somebody who has a board and no source. Lesson 16 replayed what vLLM's own scheduler decided. The next
# cell goes through two such recordings, eight requests in too little memory, and holds what happened beside what vLLM 0.33.0
# counts, by the rules in its code (`counted` in `labkit/specs/preemption/scenes.py` has them).

# %% id="recorded"
from labkit.simulate.recordings import recording
from labkit.specs.preemption.scenes import counted

theirs = {name: recording(name) for name in ("tight", "tight_without_cache")}
for name, record in theirs.items():
    steps, last = counted(record), counted(record)[-1]
    print(f"{name}: {len(steps)} steps, {last.preempted} preemptions")
    print(f"   computed {last.computed} tokens, {last.recomputed} of them again;",
          f"prompt_tokens {last.prompt_tokens}, generation_tokens {last.generation_tokens}")
    print(f"   preempted ones found {last.found} tokens in the cache;",
          f"prefix_cache_queries {last.queries}, hits {last.hits}")
steps = counted(theirs["tight"])
late = [n for n, step in enumerate(steps) if step.num_preemptions < step.preempted]
print(f"num_preemptions is behind in {len(late)} of {len(steps)} steps:", *late)

# %% [markdown] id="after-recorded"
# Three things, none of which a board says by itself.
#
# **The token counters do not show recomputation.** `vllm:prompt_tokens` counts each prompt when it is computed for the
# first time, `vllm:generation_tokens` each token that comes out. Their sum is the same in both runs, and so is the number of
# steps. One of them computed 80 tokens more. `vllm:iteration_tokens_total` is made of the same figures. What shows it:
# `vllm:num_preemptions` and `vllm:request_num_preemptions`; *In production* has two more ways, one of them SGLang's.
#
# **The count of preemptions is late.** The news of it travels with the victim's *next* token, so it is counted when the
# victim is back. While a server stands still and everybody waits, the curve is flat.
#
# **The hit rate leaves preempted requests out.** That is right, and was not always so, as *Break it* below shows. It also
# means that a good hit rate says nothing about preemption.

# %% [markdown] id="swap"
# ## Instead of computing again
#
# What a victim has computed can be copied: out to the memory of the host, and back when there is room again. This is
# **swapping**. The host has much more memory, and a bus between the two, which is slow beside the memory of the GPU and not
# slow beside computing. Which is cheaper depends on how many tokens there are. The model:
#
# - a copy takes `fixed_s`, however short it is, and `copy_s` for each token; there are two of them, out and back;
# - computing takes `token_s` for each token, and `pair_s` for each pair of tokens of which one attends to the other. The
#   first token attends to itself, the second to two, and so on: $n(n+1)/2$ pairs.

# %% id="both-ways"
print(f"{'tokens':>7}  out and back   computed again")
for n in (20, 100, 500, 2_000, 8_000, 32_000):
    swap = 2 * (cost.copy_fixed_s + n * cost.copy_s)
    compute = n * cost.token_s + n * (n + 1) / 2 * cost.pair_s
    print(f"{n:7,} {1000 * swap:10.2f} ms {1000 * compute:13.2f} ms")

# %% [markdown] id="about-break-even"
# ### Exercise: `break_even` (8 minutes, difficulty 3, importance 3)
#
# From how many tokens on is swapping cheaper? Computing grows faster than copying, so once it is cheaper, it stays so.

# %% id="ex-break-even"
# %%exercise break_even
def break_even(
    fixed_s: float, copy_s: float, token_s: float, pair_s: float, most: int
) -> int | None:
    """The fewest tokens at which swapping takes less time than computing again.

    Args:
        fixed_s: seconds of one copy, out or back, whatever its length.
        copy_s: seconds to copy the keys and values of one token, one way.
        token_s: seconds to compute one token, attention aside.
        pair_s: seconds of attention of one token to one other, or to itself.
        most: tokens that a request can have at most, 1 or more.

    Returns:
        A whole number from 1 to `most`; None where swapping is never cheaper.
        Where both take as long, swapping is not cheaper.
    """
    # BEGIN SOLUTION
    for n in range(1, most + 1):
        swap = 2 * (fixed_s + n * copy_s)
        pairs = n * (n + 1) / 2
        compute = n * token_s + pairs * pair_s
        if swap < compute:
            return n
    return None
    # END SOLUTION


# %% id="use-break-even"
from labkit.mine import break_even

print("one copy takes at least")
print(f"{'':5} {'0.1 ms':>9} {'1 ms':>9} {'10 ms':>9} {'100 ms':>9}")
for card in ("L4", "A100", "H100", "H200"):
    row = ""
    for ms in (0.1, 1, 10, 100):
        made = cost_model(CARDS[card], MODELS["Llama-3.1-8B"], copy_fixed_s=ms / 1000)
        n = break_even(*made.swap_cost, most=131_072)
        row += f" {'never' if n is None else format(n, ','):>9}"
    print(f"{card:5}{row}")

# %% [markdown] id="after-break-even"
# The numbers are tokens of Llama 3.1 8B, with the bus of each card by its data sheet. What decides is the fixed part: it
# stands for launching the copies and waiting for them. A request lies in many blocks, and a block in as many pieces as there are layers, for keys and for values.
# Copied piece by piece that is thousands of small copies, and the paper that began it saw swapping lose at small blocks
# for this reason (PagedAttention, section 7.3: between 16 and 64 tokens per block the two are comparable). Copied as one
# piece, it wins from a short prompt on.
#
# The model leaves out what speaks for computing again: tokens that are computed together with decodes cost less than they
# do alone, since the weights are read anyhow (lesson 16), and some of them are still in the prefix cache. And it leaves out
# what speaks for the copy: it can run while the GPU computes.

# %% [markdown] id="about-predict"
# ## One prediction first
#
# Back to the sixty chats in 3,000 blocks. A fifth of all tokens were computed for the second time. Now every victim is
# swapped, and there is room enough on the host: nothing is computed twice any more.

# %% id="predict-p1"
predict("18", "p1")

# %% id="reveal-p1"
ways = {
    "computed again": {},
    "swapped": {"preemption": "swap", "host_blocks": 20_000},
    "swapped if it pays": {
        "preemption": "swap", "host_blocks": 20_000, "swap_cost": cost.swap_cost,
    },
    "enough memory": None,
}
print(f"{'':19} preempted  computed again  computed/s  delivered/s")
for name, knobs in ways.items():
    it = served(make(20_000) if knobs is None else make(3_000, **knobs), chats(), cost)
    print(f"{name:19} {it.preemptions:9} {it.recomputed:15,}",
          f"{it.computed_per_s:11,.0f} {it.delivered_per_s:12,.0f}")

# %% [markdown] id="after-p1"
# Hold your answer against the last column. Short memory costs two things. The first is the time in which tokens are
# computed twice: a GPU computes a prompt of 700 tokens in 20 ms, and it does so in steps that read the weights for
# everybody anyhow. (No victim was too short for a copy to pay: *if it pays* changes nothing here.)
#
# The second is that fewer requests run at once. A step with forty of them takes nearly as long as one with sixty, and
# delivers two thirds. No way of preempting brings that back; only memory does, or fewer tokens in it. So recomputation
# is the *sign* by which you see that memory is short, and on long prompts also a cost: at 32,000 tokens the table above
# has a second and more for each victim, in which everybody waits. Read it as a doctor reads a temperature.

# %% [markdown] id="about-break-it"
# ### Break it: hits out of nothing (6 minutes, difficulty 3, importance 4)
#
# A benchmark sends random prompts that share nothing, and the prefix cache of the server reports a hit rate of 30%. It
# happened to vLLM in 2025 (issue 25780). With preempted requests left out (pull request 25787) the same run reported 0.2%.
# On the board it had been a cache that works better the less memory there is. This is the meter:
#
# ```python
# class HitRate:
#     def __init__(self):
#         self.queried = self.hits = 0
#
#     def admitted(self, request, cached):
#         """A request was let in, and found so many leading tokens in the cache."""
#         self.queried += request.num_tokens
#         self.hits += cached
# ```
#
# Convict it. `("Server", 20)` makes a server with 20 blocks of 2 tokens and a prefix cache, and comes first;
# `("come", "A", 3, 4)` brings a request, each with a letter of its own: 3 tokens that nobody else has, and 4 to generate;
# `("run",)` serves all that have come to their end. Prompts share nothing, so a single hit is one too many. The shortest
# list wins.

# %% id="ex-break-it"
# %%exercise break_hit_rate
# BEGIN SOLUTION
ops = [
    ("Server", 2),
    ("come", "A", 1, 2),
    ("come", "B", 2, 2),
    ("run",),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("Server", 20),
#     ("come", "A", 3, 4),
#     ("run",),
# ]
# END STUB

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("18")

# %% id="finish"
finish("18")

# %% [markdown] id="stretch" tags=["fold"]
# ## Stretch: `SwapPool` (15 minutes, difficulty 3, importance 3)
#
# The host's memory is a pool of blocks like the device's, with numbers of its own. Somebody has to know which of them
# belong to whom, and say what is to be copied; the copying itself is done by whoever computes the step. Once it has
# passed, every swap of the course goes through it.
#
# All or nothing holds as in lesson 04: half of a request on the host is worth nothing. Where the host has no room, the
# victim is computed again.

# %% id="ex-swap-pool"
# %%exercise SwapPool
from labkit.errors import SchedulerError, UnknownSequenceError
from labkit.mine import BlockPool


class SwapPool:
    """Host blocks for requests that had to leave; num_blocks of them, 0 or more."""

    def __init__(self, num_blocks: int):
        # BEGIN SOLUTION
        self._pool = BlockPool(num_blocks)
        self._host = {}
        # END SOLUTION
        # BEGIN STUB
        # self._pool = BlockPool(num_blocks)
        # END STUB

    @property
    def num_free(self) -> int:
        """Host blocks that hold nothing."""
        # BEGIN SOLUTION
        return self._pool.num_free
        # END SOLUTION

    def swap_out(self, name, blocks: list) -> list | None:
        """What these blocks of the device, one at least, hold goes to the host.

        Returns pairs (device block, host block), in the order of `blocks`; None,
        and nothing changed, if the host has fewer blocks free. SchedulerError:
        `name` is swapped out already.
        """
        # BEGIN SOLUTION
        if name in self._host:
            raise SchedulerError(f"{name} is swapped out already.")
        host = self._pool.allocate(len(blocks))
        if host is None:
            return None
        self._host[name] = host
        return list(zip(blocks, host))
        # END SOLUTION

    def swap_in(self, name, blocks: list, found: int = 0) -> list:
        """It comes back into these blocks; its host blocks are free afterwards.

        Returns pairs (host block, device block), in order, without the first
        `found`, which the prefix cache has. UnknownSequenceError: it is not
        swapped out. SchedulerError: not as many blocks as it left; nothing changes.
        """
        # BEGIN SOLUTION
        if name not in self._host:
            raise UnknownSequenceError(f"{name} is not swapped out.")
        host = self._host[name]
        if len(host) != len(blocks):
            raise SchedulerError(f"{name} left {len(host)} blocks, not {len(blocks)}.")
        self.forget(name)
        return list(zip(host, blocks))[found:]
        # END SOLUTION

    def forget(self, name) -> None:
        """It does not come back. UnknownSequenceError: it is not swapped out."""
        # BEGIN SOLUTION
        if name not in self._host:
            raise UnknownSequenceError(f"{name} is not swapped out.")
        self._pool.free(self._host.pop(name))
        # END SOLUTION


# %% id="use-swap-pool"
from labkit.mine import SwapPool

host = SwapPool(5)
print("A goes out:", host.swap_out("A", [7, 3, 9]))
print("B, three blocks:", host.swap_out("B", [1, 2, 4]), "- free on the host:", host.num_free)
print("A comes back, one found:", host.swap_in("A", [5, 6, 8], found=1))
print("free on the host:", host.num_free)

# %% [markdown] id="drill" tags=["fold"]
# ## Drill: is it good news? (optional, 10 minutes)
#
# A server that somebody else runs, its board, and one question. Pin on the curves what convicts and what rules another
# cause out, look closer, name the cause, and change something. The score says what your change did.

# %% id="drill-board"
from labkit.widgets import DrillBoard

DrillBoard("welcome-back")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# vLLM 0.33.0 and SGLang 0.5.23 were read.
#
# - **vLLM** computes again, always: `_preempt_request` in `vllm/v1/core/sched/scheduler.py` frees the blocks, sets
#   `num_computed_tokens` to 0 and puts the request at the head of the queue; its output is kept, and its hashes stay
#   findable. The flag `--preemption-mode` and the gauge `vllm:num_requests_swapped` are gone with swapping.
# - Copies to the host exist beside the core, as an offload tier below the prefix cache (KV connectors). A victim finds its
#   blocks there as any prompt would: it is looked up by content, not kept for it by name. That is the change from then to
#   now. A tier that is asked by many at once can be slower than computing: issue 44294 reports 267 tokens per second without
#   and 158 with it, for fifty requests that shared one prefix.
# - Recomputation itself: where somebody has switched `--enable-mfu-metrics` on, divide what
#   `vllm:estimated_flops_per_gpu_total` grows by in a minute by what `vllm:prompt_tokens` and `vllm:generation_tokens` grow
#   by together. The quotient rises when tokens are computed again. SGLang shows it: `sglang:realtime_tokens_total` counts
#   what is computed, `sglang:prefill_effective_tokens_total` each prompt once, and the difference is recomputation.
# - The victim is the last of those who run, or under `--scheduling-policy priority` the one with the highest priority
#   number and the latest arrival. Nobody is let in in that step.
# - **SGLang** calls it retraction: `retract_decode`, `--retraction-policy`. By `length` those with the fewest outputs go
#   first, and of those the longest input. `sglang:num_retracted_requests_total`,
#   `sglang:num_retracted_input_tokens_total` and `sglang:num_retracted_output_tokens_total` count it; the gauge
#   `sglang:num_retracted_reqs` is set back at each report, so only the totals keep it.
# - How much is too much? A healthy vLLM in the simulator inference-sim (issue 963) preempted 7.4% of its requests, each at most
#   four times. Watch the rate, and watch it beside the tokens that reach users. vLLM's pull request 44594 has the same load
#   with 1065 and with 168 preemptions, at nearly the same throughput.
# - nano-vllm's issue 211 is the plain bug in this place: a preempted request finds its blocks in the cache, nothing is left
#   to compute, and the step ends in an IndexError. One token has to be computed always (lesson 07).

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked about a slow server wrote the sentence below. Is it true, false, or too broad? Pick the
# judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("18", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## Why it stays cheaper, and where
#
# Let $f(n)$ be what a swap saves at $n$ tokens:
#
# $$f(n) = n\,t + \frac{n(n+1)}{2}\,p - 2\,(c_0 + n\,c)$$
#
# with $t$ for `token_s`, $p$ for `pair_s`, $c_0$ for `fixed_s` and $c$ for `copy_s`. Each token adds
# $f(n) - f(n-1) = t - 2c + n\,p$, which never falls as $n$ grows. At $n = 0$ it is $-2c_0$, so not above 0. To get above 0
# it has to rise somewhere, and from there on it rises with every token. So there is one length, and no second, at which the
# better way changes; a request above it never falls below again, since it only grows. That is why a scheduler may ask for
# this number once and compare with it from then on, and why searching by halves finds it as well as trying one after the
# other.
#
# Where $p = 0$ the length is the first above $2c_0 / (t - 2c)$, and there is none if $t \le 2c$: then copying a token twice
# takes longer than computing it.

# %% [markdown] id="progress" tags=["fold"]
# ## Why somebody always ends
#
# Claim: under *last*, *least computed* and *most blocks*, with the first spared, somebody ends within a bounded number of
# steps.
#
# The first of those who run is preempted only where it is alone, and needs a block that is not there. Then it needs more
# than all of memory, and such a request was refused at the door. So it stays the first until it ends. In every step it gets
# a token or a piece of its prompt: those who run come before the queue, and its turn is the first. It has finitely many of
# them. When it ends, another one is the first. So everybody who runs either ends or is preempted and stands at the head of
# the queue, and everybody comes to be the first.
#
# Take *most blocks* without the rule: A has computed more and gives way to B. B grows, A comes back, now B has more and
# gives way to A, and so on; neither gets further than it was. `tests/properties/test_scheduler.py` has a load of two requests
# and three blocks that does so.
