# %% [markdown] id="symptom"
# # 03. The contiguous world
#
# A request waits at the head of the queue, and others wait behind it. The graph of free memory says sixty per cent. The
# request needs an eighth of the memory, and it is refused at every step of the server, while nothing seems to be wrong.
#
# The graph is right, and so is the allocator: the free slots are there, in eight pieces, and the longest of them is
# forty-three slots too short. You will meet this very moment below, with its numbers.
#
# This lesson is about the memory of serving engines before paging: every sequence lay in one unbroken run of slots. You
# build the two functions that such a memory needs, and then the one that measures where its slots went.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("03")

# %% [markdown] id="play"
# ## Look before you read
#
# Four memories of 64 slots each, and the same twelve requests, A to L. One slot holds the keys and values of one token,
# in all layers of the model; in lesson 02 you worked out how many bytes that is. At each step every running request
# writes one token.
#
# The picture opens at step 9. Step back and forth, and look for two things: what each memory does with slots that are not
# written, and what K waits for in the strip called *First fit*.

# %% id="play-widget"
from labkit.specs.contiguous_world.side_by_side import TWELVE, side_by_side, small_trace
from labkit.widgets import MemoryMap

trace = small_trace(TWELVE, first_step=1)
logs = side_by_side(trace, num_slots=64, max_tokens=16, block_size=4)
strips = MemoryMap(*logs.items(), step=9, title="One workload, four memories",
                   subtitle="Who is let in, who waits, which slots are never written.")
strips

# %% [markdown] id="idea"
# ## Three ways to lose a slot
#
# A run cannot grow once another lies behind it. So it has to be as long as the sequence will ever get, before the first
# token is written, and nobody knows how long that is. The first three strips are three answers:
#
# | memory | it reserves | so it loses slots |
# |---|---|---|
# | Reserve 16 | the longest that any sequence may get | inside: behind the last token of nearly every one |
# | Buddy | the next power of two | inside, though less, and between the runs |
# | First fit | exactly what is asked for | between the runs |
#
# The fourth strip is paged memory, which you build from lesson 04 on. It is here for comparison.
#
# In what follows, three words have the meaning that the PagedAttention paper gives them (Kwon et al., SOSP 2023, section
# 3.1). A slot that holds no token is one of:
#
# - **reservation**: kept for a token that this sequence will write later. It will be used; until then nobody else can
#   have it.
# - **internal** waste: held by a sequence that will never write it, because it was given more than it needed. That
#   becomes known only when the sequence has ended.
# - **external** waste: free, in a piece too short for whoever waits. That is known at once.
#
# Slots that hold a token are **used**. What is free and in a piece long enough is simply **free**.
#
# With these words, what K waits for at step 9 of *First fit*:

# %% id="what-k-waits-for"
third = strips.states(9)[2]
lengths = [length for start, length in third.holes()]
print(f"{sum(lengths)} slots are free, in pieces of {lengths}; K needs {third.wanted} in one.")
print("by kind:", third.counts())

# %% [markdown] id="told-the-lengths"
# One generous assumption runs through the whole lesson. *Buddy* and *First fit* are told how long each sequence will be
# in the end, which no real engine knows. The paper tells it to one of the systems that it compares with, too, and calls
# that system "Oracle". So contiguous memory looks better everywhere below than it is in any engine.

# %% [markdown] id="about-first-fit"
# ### Exercise: `first_fit` (8 minutes, difficulty 1, importance 3)
#
# Free memory is kept as a list of **holes**: pairs `(start, length)`, in order of start. The hole `(20, 9)` is slots 20
# to 28. A new sequence needs `size` slots in one piece; where does it go?
#
# The oldest answer is the simplest: walk from the low end and take the first hole that is long enough. This small loop
# decides whether a request runs or waits. Finding no hole is an everyday answer, not an error.

# %% id="ex-first-fit"
# %%exercise first_fit
def first_fit(holes: list[tuple[int, int]], size: int) -> int | None:
    """Where a run of `size` slots goes.

    Args:
        holes: free runs (start, length), in order of start. The list is not changed:
            finding a place and taking it are two steps.
        size: slots wanted in one piece, 1 or more.

    Returns:
        The first slot of the lowest hole that has at least `size` slots, or None if no
        hole has. first_fit([(4, 2), (20, 9), (40, 9)], 5) is 20.
    """
    # BEGIN SOLUTION
    for start, length in holes:
        if length >= size:
            return start
    return None
    # END SOLUTION


# %% [markdown] id="about-scene"
# ## The moment from the beginning
#
# Now a memory of real size. The requests are drawn, with a seed, from the published statistics of a production trace
# (Azure LLM inference trace 2023, conversation, 19,366 requests; Azure Public Dataset, CC-BY 4.0). The memory has 32,768
# slots, and `first_fit`, yours if it has passed, places the requests. The server's limit is 4,096 tokens, prompt and answer
# together; a longer request is cut to that, and the cell says how many are. It serves 400 requests and keeps the moment at
# which somebody was refused although most of memory was free.

# %% id="scene"
from labkit.cache.contiguous import FirstFit
from labkit.cache.geometry import kv_bytes_per_token, model
from labkit.mine import first_fit
from labkit.simulate import pictures
from labkit.simulate.moments import worst_refusal
from labkit.simulate.workload import draw

SLOTS, MAX_TOKENS = 32_768, 4_096
drawn = draw(400, seed=0)
workload = drawn.capped(MAX_TOKENS)
scene = worst_refusal(workload, FirstFit(SLOTS, find=first_fit))

gib = SLOTS * kv_bytes_per_token(model("Llama-3.1-8B")) / 2**30
cut = (drawn.total_tokens > MAX_TOKENS).sum()
print(f"{cut} of {len(drawn)} requests are cut to {MAX_TOKENS:,} tokens")
print(f"memory: {SLOTS:,} slots, {gib:.1f} GiB for Llama-3.1-8B")
print(f"free: {scene.free:,} slots, {scene.free / SLOTS:.0%}, in {len(scene.holes)} holes")
print(f"wanted: {scene.wanted:,} slots, {scene.wanted / SLOTS:.1%}")
print(f"longest hole: {scene.longest:,} slots, {scene.wanted - scene.longest} too few")
print("first_fit says:", first_fit(list(scene.holes), scene.wanted))

# %% id="scene-picture"
pictures.moment(scene)

# %% [markdown] id="after-scene"
# Nothing is broken here. Eight sequences happen to lie so that the free slots between them come in eight pieces. Moving a
# sequence would help, but moving means copying all its keys and values while the model stands still.
#
# And since this queue is served in order, all requests behind the one that waits are waiting too, however short.

# %% [markdown] id="about-predict"
# ## One prediction first
#
# The other half of the work is done when a sequence ends and its run comes back.

# %% id="predict-p1"
predict("03", "p1")

# %% id="reveal-p1"
from labkit.cache.contiguous import FirstFit
from labkit.mine import first_fit, release_coalesce

memory = FirstFit(64, find=first_fit, give_back=release_coalesce)
for name in "ABCD":
    memory.reserve(name, 16)
for name in "ACB":
    memory.release(name)
    print(f"{name} is gone; holes:", [tuple(hole) for hole in memory.holes()])
print("E, 40 slots, goes to:", memory.reserve("E", 40))

# %% [markdown] id="after-p1"
# Compare your mark with the last line printed; if they differ, the feedback under the question says what was overlooked.
# The cell ran on the function that you write next, or on the library's until yours has passed.

# %% [markdown] id="about-release-coalesce"
# ### Exercise: `release_coalesce` (12 minutes, difficulty 3, importance 4)
#
# Take a run back and join it with whatever it touches. It can touch a hole on its left, on its right, on both sides or on
# neither.
#
# A hole touches the run if nothing lies between them: `(0, 5)` ends before slot 5, so it touches a run that starts at 5.
#
# The function also guards against a mistake. If any slot of the run is free already, a run was given back twice, or with a
# wrong length. If it were joined all the same, the same slots would be given to two sequences, and one would overwrite the
# keys and values of the other. So the call is refused, and the list stays as it was.
# `ReservationError` is imported for the cell.

# %% id="ex-release-coalesce"
# %%exercise release_coalesce
def release_coalesce(
    holes: list[tuple[int, int]], start: int, length: int
) -> list[tuple[int, int]]:
    """The holes once slots start to start + length - 1 are free again.

    Args:
        holes: free runs (start, length), in order of start, no two touching. The list is
            not changed.
        start, length: the run that comes back; length is 1 or more.

    Returns:
        A new list of pairs (start, length), in order of start, no two touching. Every
        slot that was free before or comes back now is in exactly one of them.
        release_coalesce([(0, 5), (20, 4)], 5, 3) is [(0, 8), (20, 4)].

    Raises:
        ReservationError: a slot of the run is free already.
    """
    # BEGIN SOLUTION
    stop = start + length
    for hole_start, hole_length in holes:
        if hole_start < stop and start < hole_start + hole_length:
            raise ReservationError(f"Some of slots {start} to {stop - 1} are free already.")
    merged = []
    for run_start, run_length in sorted([*holes, (start, length)]):
        if merged and merged[-1][0] + merged[-1][1] == run_start:
            merged[-1] = (merged[-1][0], merged[-1][1] + run_length)
        else:
            merged.append((run_start, run_length))
    return merged
    # END SOLUTION


# %% [markdown] id="about-after-release"
# In the prediction, B's run came back between two holes, and the three became one. Had the list only been added to, it
# would say three holes of 16, and a request for 40 would wait for ever in a memory of which three quarters are free.
#
# The next cell does this at full size. It fills a memory with runs of the lengths of the requests above, releases all of
# them in a random order, and asks for the longest hole. By then the memory is empty.

# %% id="with-and-without"
import random

from labkit.cache.holes import carve
from labkit.mine import first_fit, release_coalesce


def only_add(holes, start, length):
    """Give a run back without joining it."""
    return sorted([*holes, (start, length)])


for name, give_back in [("joined", release_coalesce), ("only added", only_add)]:
    holes, held = [(0, SLOTS)], []
    for tokens in workload.total_tokens.tolist():
        place = first_fit(holes, tokens)
        if place is not None:
            holes = carve(holes, place, tokens)
            held.append((place, tokens))
    random.Random(0).shuffle(held)
    for place, tokens in held:
        holes = give_back(holes, place, tokens)
    free = sum(length for _, length in holes)
    longest = max(length for _, length in holes)
    print(f"{name:>10}: {free:,} slots free, holes: {len(holes)}, the longest: {longest:,}")

# %% [markdown] id="halfway"
# ## Half way
#
# You have an allocator: it finds a place for a sequence that comes, and joins the holes that one leaves. This is a good
# place to stop: what you passed is kept.

# %% id="save"
save_point("03")

# %% [markdown] id="about-waste-by-kind"
# ### Exercise: `waste_by_kind` (8 minutes, difficulty 2, importance 5)
#
# Now the measurement. At one moment, each sequence is four numbers: it holds `length` slots from `start` on, has written
# `used` of them so far, and will have written `final` of them when it ends. The last number is hindsight: it is known here
# because the trace is over.
#
# Take a sequence that holds 16 slots, has 5 tokens now and 9 in the end:
#
# ```
# slot      0 1 2 3 4   5 6 7 8   9 10 11 12 13 14 15
#           used        reserv.   internal
# ```
#
# Holes are counted whole, against what the next sequence wants: a hole shorter than `wanted` is external waste, any other
# is free. If nobody waits, `wanted` is 0 and no hole is waste.
#
# When somebody says that memory is wasted, the first question is which of the three kinds it is, because each has another
# cure.

# %% id="ex-waste-by-kind"
# %%exercise waste_by_kind
def waste_by_kind(
    reservations: list[tuple[int, int, int, int]], holes: list[tuple[int, int]], wanted: int
) -> dict[str, int]:
    """Count every slot of memory by kind.

    Args:
        reservations: (start, length, used, final) for each sequence, in slots;
            0 <= used <= final <= length.
        holes: free runs (start, length).
        wanted: slots that the next sequence needs in one piece; 0 if nobody waits.
        Neither list is changed.

    Returns:
        Slots by kind: a dict with the keys "used", "reservation", "internal", "external"
        and "free" and whole numbers, which together are all of memory. A kind that does
        not occur is 0.
    """
    # BEGIN SOLUTION
    slots = {"used": 0, "reservation": 0, "internal": 0, "external": 0, "free": 0}
    for _, length, used, final in reservations:
        slots["used"] += used
        slots["reservation"] += final - used
        slots["internal"] += length - final
    for _, length in holes:
        slots["external" if length < wanted else "free"] += length
    return slots
    # END SOLUTION


# %% id="scene-by-kind"
from labkit.mine import waste_by_kind

kinds = waste_by_kind(list(scene.reservations), list(scene.holes), scene.wanted)
for kind, slots in kinds.items():
    print(f"{kind:>11}: {slots:6,} slots  {slots / SLOTS:6.1%}")

# %% [markdown] id="after-scene-by-kind"
# No internal waste at all, because first fit was told every length; and more than half of memory is external waste, at this
# one moment, which was picked for being the worst. The next section looks at the lengths of many requests, and the one
# after it serves 400 of them from the first to the last.

# %% [markdown] id="about-curve"
# ## What a reservation is worth
#
# Engines that do not know lengths reserve the maximum for everybody. How much of such a reservation is ever written? That
# is a question about the requests alone: no allocator is needed, only their lengths.
#
# The next cell takes the drawn workload again, now 20,000 requests. If you have a trace of your own, give its path: an
# Azure CSV (`TIMESTAMP, ContextTokens, GeneratedTokens`) or a Mooncake JSON Lines file (`timestamp, input_length,
# output_length`). Everything below then runs on it, while the text goes on speaking of the drawn requests.
#
# In what it prints, half of the lengths are below `p50` and 99 in a hundred below `p99`; `per_s` is requests per second; and
# `cv` says how unevenly they come: the standard deviation of the times between arrivals, over their mean. It is 1 for
# arrivals that are independent of each other, and more where they come in bursts.

# %% id="trace"
from labkit.simulate.traces import read_trace

TRACE_FILE = ""  # for example "AzureLLMInferenceTrace_conv.csv"

trace = read_trace(TRACE_FILE) if TRACE_FILE else draw(20_000, seed=0)
print(trace)
for what, values in trace.summary().items():
    print(f"{what:>13}:", ", ".join(f"{name} {value:,.2f}" for name, value in values.items()))

# %% id="curve"
import numpy as np

from labkit.simulate.replay import useful_share

top = max(14, int(np.ceil(np.log2(trace.total_tokens.max()))))
maxima = [int(2 ** (k / 4)) for k in range(44, 4 * top + 1)]
pictures.share_curve(trace, maxima, marked=(2_048, 4_096, 8_192))

# %% id="curve-numbers"
from labkit.simulate.replay import useful_share_over_time

print("share of the reserved slots that hold a token, longer requests counted as full:")
for maximum in (2_048, 4_096, 8_192):
    at_end, over_life = useful_share(trace, maximum), useful_share_over_time(trace, maximum)
    longer = (trace.total_tokens > maximum).mean()
    print(
        f"  reserve {maximum:,}: {at_end:.0%} at the end, {over_life:.0%} over its life; "
        f"{longer:.1%} are longer"
    )

orca_max = pictures.PAPER_SHARES[0]
reservation = np.interp(orca_max, useful_share(trace, maxima)[::-1], maxima[::-1])
print(f"{orca_max:.1%} would be a reservation of about {reservation:,.0f} here")

# Kwon et al., SOSP 2023: mean lengths in Fig. 11 (ShareGPT), reservation in section 6.1
prompt, answer, reserved = 161.31, 337.99, 2_048
share = (prompt + answer) / reserved
print(f"the paper's own requests: ({prompt} + {answer}) / {reserved:,} = {share:.0%}")

# %% [markdown] id="after-curve"
# The solid line looks at each request when it ends, when its reservation is as full as it will ever be; the dashed one at
# every step of its life, from the prompt alone to the last token. What a server sees is the dashed one: keep its value at
# 4,096 in mind for the next section. A request longer than the reservation is cut to it and counts as full, which makes
# short reservations look better than they are.
#
# The paper is often quoted like this: *existing systems use 20 to 38 per cent of their KV memory*. That is Fig. 2. The
# 20.4% belong to the system that reserves 2,048 slots for everybody ("Orca (Max)"). It is a statement about their requests,
# short ones, under that reservation. The production trace has longer requests, so the same reservation is worth more here.
# Another maximum gives another number, and no number is right without the maximum beside it. The last line reconciles
# the two: the means of the paper's requests over its reservation, counted at the end of each request. Its 20.4% is lower,
# since it is an average over time, and some memory was external waste.
#
# The 38.2% belong to "Orca (Oracle)", which knows every length, so no maximum corresponds to them. You will hold them
# against the bars of the next section.

# %% [markdown] id="about-compare"
# ## The same requests, the same memory
#
# Now with an allocator and a clock. 400 requests, 32,768 slots, and four memories. *Reserve 4,096* and *First fit* run on
# `first_fit` and `release_coalesce`, yours where they have passed. Every running sequence writes one token per step of
# 30 ms; requests are served in order.
#
# How many requests are in memory at once decides how many tokens a server computes per step, so look at the numbers on
# the right first.

# %% id="compare"
from labkit.cache.contiguous import Buddy, FirstFit, ReserveMax
from labkit.mine import first_fit, release_coalesce
from labkit.simulate.replay import ContiguousMemory, PagedMemory, replay


def memories(max_tokens):
    """The four memories, empty, by name."""
    own = {"find": first_fit, "give_back": release_coalesce}
    return {
        f"reserve {max_tokens:,}": ContiguousMemory(ReserveMax(SLOTS, max_tokens, **own)),
        "buddy": ContiguousMemory(Buddy(SLOTS)),
        "first fit": ContiguousMemory(FirstFit(SLOTS, **own)),
        "paged, blocks of 16": PagedMemory(SLOTS, block_size=16),
    }


served = trace.head(400).capped(MAX_TOKENS)
runs = [replay(served, empty, name=name) for name, empty in memories(MAX_TOKENS).items()]
pictures.by_kind(runs)

# %% id="compare-numbers"
for run in runs:
    print(
        f"{run.name:>19}: {run.mean_running():4.1f} at once, "
        f"mean wait {run.wait_s.mean():5.1f} s, "
        f"done in {run.steps * 0.03:3.0f} s, {run.preemptions:>2} sent back"
    )

share = runs[2].shares()
written = share["used"] / (share["used"] + share["reservation"])
print(f"first fit: of what is held, {written:.0%} is written")
# Kwon et al., SOSP 2023, Fig. 2: token states and reservation of "Orca (Oracle)"
paper = 0.382 / (0.382 + 0.252)
print(f"the paper's Oracle: of what is held, {paper:.0%} is written")

# %% [markdown] id="after-compare"
# Read the bars from top to bottom. Knowing the lengths turns internal waste into external waste and doubles what runs at
# once. Cutting memory into small blocks removes both: nothing has to lie in one piece, and nothing has to be held before
# it is written.
#
# Why does first fit use more of its memory than the 38.2% of the paper's Oracle, which knows every length too? Other
# requests, and another allocator. The paper's answers are longer than its prompts, so much of what is held waits for tokens
# to come; here prompts are several times as long as answers, and a prompt is written at once: compare the last two lines.
# And the paper gives Oracle a buddy allocator (section 6.1), so of our four memories *buddy* is the one most like it.
#
# One column is the price of it: **sent back**. A request with a reservation finishes. Paged memory lets more in than can
# finish together, and when no block is left to grow into, one sequence must give back what it holds and start again. In
# this replay the new start costs nothing; a real server computes all of it anew. What that costs is the subject of lessons
# 17 to 19.

# %% [markdown] id="about-where-it-does-not-matter"
# ## Where it makes less difference, or none
#
# The same four memories, four other workloads.

# %% id="where-it-does-not-matter"
from dataclasses import replace

from labkit.specs.contiguous_world.side_by_side import small_trace

rng = np.random.default_rng(0)
total = rng.choice([256, 512, 1024, 2048, 4096], 400, p=[0.3, 0.25, 0.2, 0.15, 0.1])
answer = np.minimum(rng.integers(64, 400, 400), total - 32)

seldom = replace(served, arrival_s=served.arrival_s * 4)
equal = small_trace([(0.05 * i, 896, 128) for i in range(300)])
powers = small_trace([(0.15 * i, n - a, a) for i, (n, a) in enumerate(zip(total, answer))])
long = small_trace([(0, 30_000, 1_000)] * 3)

print("requests at once (mean wait in s)")
print(f"{'':25}{'reserve':>13}{'buddy':>13}{'first fit':>13}{'paged':>13}")
for name, requests, max_tokens in [
    ("same, a quarter as often", seldom, MAX_TOKENS),
    ("all 1,024 tokens long", equal, 1_024),
    ("lengths powers of two", powers, MAX_TOKENS),
    ("three of 31,000 tokens", long, 31_000),
]:
    line = f"{name:25}"
    for empty in memories(max_tokens).values():
        run = replay(requests, empty)
        line += f"{run.mean_running(under_pressure=False):5.1f} ({run.wait_s.mean():5.1f})"
    print(line)

# %% [markdown] id="after-where-it-does-not-matter"
# - **Where requests come seldom enough**, memory is no limit. In the first line buddy and first fit serve as well as paging
#   does: the memory was large enough for what came. Only where the maximum is reserved do some wait even here.
# - **Where all are equally long** and the reservation fits them, contiguous memory has neither internal nor external
#   waste. What is left for paging to win is the reservation, which is small where answers are short.
# - **Where lengths are powers of two**, paging still wins, and reserving the maximum loses as much as ever. What changes is
#   buddy: it rounds nothing up and is level with first fit, and it finds a place and joins runs without walking a list,
#   because two buddies differ in one bit of their start. That is why kernels of operating systems still use it, for pages.
# - **Where one request fills the memory**, one request runs, under every allocator.

# %% [markdown] id="about-break-it"
# ### Break it: the release that comes twice (6 minutes, difficulty 3, importance 4)
#
# A request ends in the same instant in which its user presses stop, and two paths of the code give its run back. In
# vLLM a request that was aborted while its cache was being transferred could be finished twice and its memory freed twice
# (pull request 33377, January 2026). The last place to notice it is the function that takes the run back.
#
# Here is one. It joins correctly on both sides, and it does check whether the run is free already:
#
# ```python
# def release_coalesce(holes, start, length):
#     for hole_start, hole_length in holes:
#         if hole_start <= start < hole_start + hole_length:
#             raise ReservationError(f"slot {start} is free already")
#     merged = []
#     for run_start, run_length in sorted([*holes, (start, length)]):
#         if merged and merged[-1][0] + merged[-1][1] == run_start:
#             merged[-1] = (merged[-1][0], merged[-1][1] + run_length)
#         else:
#             merged.append((run_start, run_length))
#     return merged
# ```
#
# Release A twice in a row, and it raises. Find a list of operations in which a second release gets past it. Operations
# are tuples; the memory places runs with `first_fit`:
#
# - `("new", 64)` makes a memory of 64 slots and comes first;
# - `("allocate", "A", 10)` places 10 slots for A;
# - `("release", "A")` gives A's run back. It may come a second time; the run is then the one that A had.
#
# A right function must survive the same list, which means that it refuses. The shortest list wins.

# %% id="ex-twice-released"
# %%exercise twice_released
# BEGIN SOLUTION
ops = [
    ("new", 8),
    ("allocate", "A", 2),
    ("release", "A"),
    ("allocate", "B", 1),
    ("release", "A"),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("new", 64),
#     ("allocate", "A", 10),
#     ("release", "A"),
#     # your operations
# ]
# END STUB

# %% [markdown] id="after-break-it" tags=["fold"]
# ### Once it has fallen

# %% [markdown] id="after-break-it-text"
# The second release is dangerous when it comes late, after another sequence has been given the beginning of the run. And
# if that sequence had been given all of it, no function that sees only holes could have noticed: for that, one has to
# record who holds which slots. You will do so in lesson 04.

# %% [markdown] id="about-quiz"
# ## Questions

# %% id="quiz"
quiz("03")

# %% id="finish"
finish("03")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production

# %% [markdown] id="in-production-text"
# **Reserving the maximum is alive** wherever shapes must be fixed. Hugging Face Transformers has it as `StaticCache`,
# whose `max_cache_len` sizes the tensors (`src/transformers/cache_utils.py`, version 5.23 read). TensorRT Edge-LLM
# documents its `LinearKVCache` as one block of the layout [layers, max batch, 2, KV heads, max sequence length, head
# dimension] (documentation of its C++ runtime, read 2026). For one user on one device that is a good choice: nobody
# waits.
#
# **Reserving is also a policy over paged memory.** TensorRT-LLM's `GUARANTEED_NO_EVICT` lets a request in only if blocks
# for its prompt and its longest possible answer are there, `MAX_UTILIZATION` lets in more and may have to pause somebody.
# That is the column *sent back* of this lesson, as a switch.
#
# **Contiguous search and its holes** were llama.cpp's way for years: `find_slot` needed a free segment that holds the
# whole batch, and a fragmented cache meant splitting batches or defragmenting (issue 3380, September 2023). Restoring a
# saved sequence still failed in a cache that had room in pieces, until it was allowed to take cells that do not lie
# together (pull request 17982, December 2025).
#
# **First fit is alive in the tier below.** LMCache keeps KV in CPU memory by an `AddressManager`, whose `allocate()` walks
# an explicit list of free blocks to the first that is large enough (`lmcache/v1/memory_management.py`, as quoted in issue
# 3187, May 2026). In that issue thousands of failed allocations per hour looked like fragmentation; measuring showed plain
# exhaustion, slots that were held and never given back. Which kind of waste it is decides where to look.
#
# **Contiguous for the kernel, paged underneath**: vAttention (arXiv 2405.04437) leaves the cache in one piece of *virtual*
# memory and lets the GPU's own paging put physical memory behind it as it grows. The attention kernel then needs no
# block table.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it

# %% [markdown] id="verify-text"
# This is the kind of sentence that an assistant writes when you ask about paging: *"PagedAttention eliminates memory
# fragmentation, so a server with paging runs two to four times as many requests at once."* Decide what
# it is, and pick the evidence: each answer below is a judgement together with what is said to show it.

# %% id="verify-claim"
predict("03", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## Why there are about half as many holes as sequences

# %% [markdown] id="derivation-text"
# Take a run in a memory that has been busy for a long time. When it ends, it touches 0, 1 or 2 holes, and the number
# of holes changes by +1, 0 or -1. When a run is placed, a hole becomes shorter, and disappears only if the fit was exact,
# which is rare where lengths are arbitrary: the number stays.
#
# In balance the changes cancel, so a run that ends touches one hole on average: each of its two sides is a hole with
# probability one half. Every hole is the right side of exactly one run (but for one at the very beginning). So there are
# half as many holes as runs. Knuth calls it the fifty-per-cent rule (The Art of Computer Programming, volume 1, section
# 2.5). It says that under first fit and with arbitrary lengths free memory stays in many pieces, however long the server
# runs. The scene at the top had as many holes as runs; it was picked as the worst moment. The next cell counts the average
# over the 400 requests above.

# %% id="fifty-per-cent"
from labkit.cache.contiguous import FirstFit


class Counted(ContiguousMemory):
    """A memory that counts runs and holes whenever somebody waits."""

    def __init__(self, allocator):
        super().__init__(allocator)
        self.seen = []

    def waste(self, wanted):
        if wanted:
            held, holes = self.allocator.reservations(), self.allocator.holes()
            self.seen.append((len(held), len(holes)))
        return super().waste(wanted)


counted = Counted(FirstFit(SLOTS))
replay(served, counted, sample_every=1)
held, holes = np.mean(counted.seen, axis=0)
print(f"on average {held:.1f} runs and {holes:.1f} holes: {holes / held:.2f} holes per run")

# %% [markdown] id="derivation-buddy"
# **Why buddies find each other by one bit.** Every run of the buddy method is a power of two long and starts at a
# multiple of its length. Splitting the run at `start` into halves of `length` gives starts `start` and `start + length`;
# because `start` is a multiple of `2 * length`, adding `length` only sets a bit that was 0. So for either half the other
# is `start ^ length`, and two neighbours that do not differ in just that bit are no buddies: they touch, and yet cannot be
# joined (Knowlton, 1965). That is the external waste of the buddy method.
