# %% [markdown] id="symptom"
# # 17. Admission control
#
# One minute of a busy server, with 900 blocks for keys and values. 160 people come, nobody is turned away, and the
# board shows some 1,300 tokens per second, steadily. But 164 times somebody who is in the middle of an answer loses all
# of their memory, because somebody else needs a block. They wait in the queue again, and what they had is computed a
# second time: more than a quarter of what the GPU does in this minute, it has done before.
#
# Who is to blame? Not those who grow; an answer is longer with every token. It is how people are let in. Everybody
# came in as soon as there was a block for them, and nobody asked what they, and all who were there already, would need
# a minute later. All of it is paged, and hardly a slot is wasted: paging does not replace admission control.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("17")

# %% id="symptom-numbers"
from labkit.cache.geometry import MODELS
from labkit.simulate.cost_model import CARDS, cost_model
from labkit.specs.admission_control.scenes import GATES, busy_minute, make, served

cost = cost_model(CARDS["H100"], MODELS["Llama-3.1-8B"])
optimistic = served(make(900, **GATES["optimistic"]), busy_minute(), cost)
computed = sum(moment.computed for moment in optimistic.run.moments)
print(f"{len(optimistic.run.finished)} requests in {optimistic.run.seconds:.0f} s,",
      f"{optimistic.delivered_per_s:,.0f} tokens delivered each second")
print(f"{optimistic.preemptions} times somebody gave their memory up")
print(f"{computed:,} computed, {optimistic.recomputed / computed:.0%} for a second time")

# %% [markdown] id="play"
# ## Look before you read
#
# Six requests, and 16 blocks of 4 tokens for all of them. A row is a request, a column a step. Point at a cell, or use
# the arrow keys, and a sentence says what happened there; a request that gives its memory up is marked.
#
# The three runs differ in one thing only, the question that is asked before somebody gets memory: *is there a block?*
# or *is a quarter of memory left afterwards?* or *could all of us grow to our longest?* Look for three things: how
# often somebody gives memory up, how long F waits for its first token, and which run ends last.

# %% id="play-widget"
from labkit.specs.admission_control.scenes import three_gates
from labkit.widgets import RequestTimeline

RequestTimeline(three_gates(), title="Six requests, sixteen blocks",
                subtitle="The same requests; the gate asks another question.")

# %% [markdown] id="idea"
# ## A gate moves waiting
#
# From the first run to the last: memory is given up 4 times, once, never. F comes in step 4, and its first token in
# step 11, 18, 23. The last answer ends in step 25, 27, 32.
#
# The first gate is **optimistic**: it lets everybody in for whom there is a block now, and memory is taken back later.
# The last **reserves to the maximum**: nobody ever loses anything, and most wait outside. Whoever waits outside holds
# no memory, and nothing of theirs is computed twice. That is all a gate can do: it **moves waiting** from one place to
# another. It makes no memory, so it does not remove waiting. Only a *no* removes it, and then somebody has no answer.
#
# So a server has gates in two places:
#
# - At the **front door** a request is told at once that it will not be served: HTTP 503, come again later. A client
#   can try another server, which is better than waiting here without knowing.
# - Before it gets **memory** a request is kept in the queue, and the head of the queue is asked about again in every
#   step.
#
# You write two gates of each place, one of them a stretch. They look at numbers, answer yes or no, and change nothing.

# %% [markdown] id="about-can-ever-fit"
# ### Exercise: `can_ever_fit` (5 minutes, difficulty 1, importance 4)
#
# The first question at the door: is all of memory enough for this request, at its longest and alone? The last token of
# an answer is sent to its user and never computed, since nothing comes after it. So it needs no slot.

# %% id="ex-can-ever-fit"
# %%exercise can_ever_fit
def can_ever_fit(prompt_tokens: int, max_tokens: int, num_blocks: int, block_size: int) -> bool:
    """Whether an empty memory has room for a request at its longest.

    Args:
        prompt_tokens, max_tokens: tokens of the prompt, and tokens to generate at
            most; 1 or more each. The last token generated is never computed.
        num_blocks: blocks of the whole memory, 1 or more.
        block_size: tokens per block, 1 or more.

    Returns:
        True or False.
    """
    # BEGIN SOLUTION
    slots = prompt_tokens + max_tokens - 1
    return -(-slots // block_size) <= num_blocks
    # END SOLUTION

# %% [markdown] id="about-never"
# What if nobody asks? Below, the door is first open for everybody. `long` may come to need 170 slots, and memory has 20
# blocks of 4. The short one behind it would fit ten times over.

# %% id="never-fits"
from labkit.mine import can_ever_fit
from labkit.scheduling.request import Request
from labkit.specs.admission_control.scenes import make

print("long:", can_ever_fit(150, 21, 20, 4), " short:", can_ever_fit(5, 3, 20, 4))
for asked in (False, True):
    server = make(20, 4)
    if not asked:
        server.rules = server.rules._replace(can_ever_fit=lambda *numbers: True)
    for name, prompt, answer in (("long", 150, 21), ("short", 5, 3)):
        request = Request(name, range(prompt), answer)
        if not server.submit(request):
            print(f"{name} is refused: {request.why}")
    ended = 0
    for _ in range(1000):
        step = server.schedule()
        ended += len(server.update(step, [7] * len(step.sampling)))
    print("the door", "asks:" if asked else "is open:", f"after 1,000 steps ended {ended},",
          f"running {len(server.running)}, waiting {len(server.waiting)}")

# %% [markdown] id="after-never"
# Ended 0, running 0, waiting 2, memory empty, and no error anywhere: the head of the queue waits for blocks that do not exist,
# and everybody waits behind it. vLLM issue 39734 (2026) is a server in that state.
#
# Two more questions at the door need no function of yours: how many wait, and how many tokens their prompts have.

# %% id="queue-full"
server = make(20, 4, most_queued=3, most_queued_tokens=60)
for number, prompt in enumerate((10, 30, 40, 5, 5), start=1):
    request = Request(f"request {number}", range(prompt), 4)
    let_in = server.submit(request)
    print(f"{prompt:2} tokens:", "waits" if let_in else f"503. {request.why}")
print(dict(server.refusals))

# %% [markdown] id="gate-numbers"
# ## Before memory
#
# Everybody who passed the door waits, and the head of the queue asks for memory in each step. The gate is told two
# numbers. `needed` is how many blocks must be found for it. `available` is how many can be had: free ones, and cached
# ones that nobody holds, because those are evicted when somebody needs them (lesson 09).
#
# *Is there a block?* would be `needed <= available`. But those who run get a token in each step, and with 16 tokens per
# block, each of them needs one more block every 16 steps. If the newcomer took the last one, the next of them to need
# one takes it from somebody, and the last who was let in is the one who gives way. It came in for nothing. So a
# **watermark** keeps some blocks free: a share of all blocks that newcomers may not touch, and those who run may.
#
# ### Exercise: `watermark_gate` (8 minutes, difficulty 2, importance 5)
#
# Look after the newcomer has its blocks: at least the watermark must be left. If nobody runs there is nobody to keep
# blocks for, and the request may have them all.

# %% id="ex-watermark-gate"
# %%exercise watermark_gate
def watermark_gate(
    needed: int, available: int, num_blocks: int, watermark: float, running: int
) -> bool:
    """Whether a request may start, and enough is left for those who run.

    Args:
        needed: blocks that must be found for it, 0 or more.
        available: blocks that can be had, 0 or more.
        num_blocks: blocks of the whole memory, 1 or more.
        watermark: the share of all blocks that stays free, from 0 up to, not
            including, 1; rounded down to whole blocks.
        running: requests that run, 0 or more. Where none does, whatever fits
            may start.

    Returns:
        True or False.
    """
    # BEGIN SOLUTION
    left = available - needed
    if not running:
        return left >= 0
    return left >= int(watermark * num_blocks)
    # END SOLUTION

# %% id="use-watermark-gate"
from labkit.mine import watermark_gate

# needed, available, all blocks, watermark, who runs
for case in ((95, 110, 1000, 0.02, 3), (80, 100, 1000, 0.02, 3), (990, 1000, 1000, 0.02, 0)):
    print(case, "->", watermark_gate(*case))

# %% [markdown] id="about-recorded-watermark"
# vLLM's own scheduler was given eight requests, 26 blocks and a watermark of 0.2, which is 5 whole blocks, and what it
# decided was written down. `free` is what could be had after the step. The requests have numbers, which are not the
# order in which they came.

# %% id="recorded-watermark"
from labkit import engine
from labkit.simulate.recordings import recording, replayed

theirs = recording("watermark")
print(theirs["engine"], theirs["version"])
for number in (13, 14, 19, 20, 24, 28, 29):
    step = theirs["steps"][number]
    begins = " and ".join(step["new"]) or "nobody"
    print(f"step {number}: {step['free']:2} free, {len(step['scheduled'])} run,",
          f"begins: {begins}")
for watermark in (0.2, 0.0):
    steps = replayed(theirs, make=engine.scheduler, watermark=watermark)
    gave = sum(len(step["preempted"]) for step in steps)
    same = "as vLLM decided" if steps == theirs["steps"] else "vLLM had the other setting"
    print(f"this engine, watermark {watermark}: {gave} preemptions, {same}")

# %% [markdown] id="after-recorded-watermark"
# In steps 13 to 19 request 6 is the head of the queue. It needs 8 blocks, 12 to 9 can be had, and it waits: with it,
# at most 4 would be left where 5 are wanted. In step 20 somebody has ended, and it begins with one more. Then those
# who run grow straight through the watermark, down to 0 free in step 29. Nothing holds *them* back: that is what the
# blocks were kept for.

# %% [markdown] id="halfway"
# ## Half way
#
# You have the first question of the door, and a gate that keeps room to grow. The second half is about what a gate
# does not see. A good place to stop and come back: what you passed is kept.

# %% id="save"
save_point("17")

# %% [markdown] id="about-full"
# ## The rest of the prompt
#
# With chunked prefill (lesson 16) a prompt is computed in pieces, and gets memory piece by piece. So *is there room?*
# can be about its first piece or about all of it. In vLLM it was about the first, until issue 25538: four requests of
# 100,000 tokens filled 90% of memory; a fifth was let in on its first piece, ran out of blocks in the middle of its
# prompt, gave its memory up, and began again at once, on its first piece. The report says about 100 tokens per second
# before, and 1.5 after.
#
# ### Exercise: `full_sequence_gate` (10 minutes, difficulty 3, importance 5)
#
# Ask about all tokens that are known: the prompt, and after a preemption also what was generated. Blocks that the
# prefix cache has for them need not be found again.
#
# Take care with those. A block that was found, and that nobody holds, lies among the free ones until the request takes
# it. So `available` counts the blocks that can be had **beside** what was found. What the cache has lowers what is
# needed; it is not there a second time, to be filled with other tokens.

# %% id="ex-full-sequence-gate"
# %%exercise full_sequence_gate
def full_sequence_gate(num_tokens: int, cached: int, available: int, block_size: int) -> bool:
    """Whether all that is known of a request has room, not only its first piece.

    Args:
        num_tokens: its known tokens, 1 or more: the prompt, and what it had
            generated before it was preempted.
        cached: leading tokens that the prefix cache has: whole blocks, and fewer
            than num_tokens.
        available: blocks that can be had beside those that were found, 0 or more.
        block_size: tokens per block, 1 or more.

    Returns:
        True or False.
    """
    # BEGIN SOLUTION
    needed = -(-num_tokens // block_size)
    needed -= cached // block_size
    return needed <= available
    # END SOLUTION

# %% [markdown] id="about-two-recordings"
# Again vLLM decided, on one workload with the gate and without it. This engine, with your gate as soon as it passes,
# decides the same.

# %% id="two-recordings"
from labkit.observe.timeline import Timeline

timelines = {}
for name in ("no_full_sequence", "full_sequence"):
    theirs, timelines[name] = recording(name), Timeline()
    ours = replayed(theirs, make=engine.scheduler, see=timelines[name].see)
    preempted = sum(len(step["preempted"]) for step in ours)
    tokens = sum(n for step in ours for _, n in step["scheduled"])
    print(f"{name:16} {len(ours)} steps, {tokens} tokens computed, {preempted} preemptions,",
          f"as vLLM decided: {ours == theirs['steps']}")
RequestTimeline(timelines, title="Seven requests, 24 blocks of four tokens",
                subtitle="What vLLM decided, and this engine with it.")

# %% [markdown] id="after-two-recordings"
# Find request 2 in the first run. It has 43 tokens, 11 blocks. In step 4 there are 7, it is let in on a piece of 14
# tokens, and gives them up in the next step. With the gate that does not happen. Yet the run with fewer preemptions
# takes two steps *longer*, and computes 11 tokens less for the same answers. Which of the two is faster? Where a step
# costs the reading of the weights, the one with fewer steps; where it costs the computing, the one with fewer tokens. A
# gate saves computing. What that is worth depends on whether computing is what the server waits for (lesson 16).
#
# **The gate looks, and reserves nothing.** In step 12 of the second run request 3 has room for all of its 13 blocks and
# is let in. Request 2 grows into them, and in step 15 request 3 loses its memory in the middle of its prompt. A gate
# that is asked about one request knows nothing of the others; keeping room for growth is the watermark's work. Then it
# waits for eleven steps with more blocks free than it misses: the fold *A hit on a free block*, at the end, says why.

# %% [markdown] id="about-reserve"
# ## One prediction first
#
# Reserving to the maximum never takes memory back; TensorRT-LLM calls it GUARANTEED_NO_EVICT. Between it and the
# optimistic gate lie all watermarks. The minute at the top had 164 preemptions. Keep a tenth of the blocks free, and
# there will be 8.

# %% id="predict-p1"
predict("17", "p1")

# %% id="reveal-p1"
runs = {"optimistic": optimistic}
for name in ("watermark 0.02", "watermark 0.1", "reserve to max"):
    runs[name] = served(make(900, **GATES[name]), busy_minute(), cost)
print(f"{'':14} preempted tokens/s TTFT p50 | outside + again + in memory =    all")
for name, it in runs.items():
    waits = it.outside_s, it.again_s, it.inside_s
    print(f"{name:14} {it.preemptions:9} {it.delivered_per_s:8,.0f}",
          f"{it.run.percentile('ttft_s', 50):6.2f} s |",
          f"{waits[0]:5.2f} s {waits[1]:5.2f} s {waits[2]:9.2f} s {sum(waits):6.2f} s")

# %% id="queue-picture"
from labkit.specs.admission_control.scenes import queue_picture

queue_picture(runs)

# %% [markdown] id="after-p1"
# The first three columns are what a board shows (TTFT p50 is the median time to the first token). The others say where
# a request spent its time, in the mean: outside before it began, outside *again* after a preemption, in memory.
#
# Hold your answer against the first row and the third, and look where the waiting went: one of the three columns on the
# right shrinks, and another one grows by more. The last column is the whole time, from coming to the last token. At 0.1
# it is 7% longer, because the blocks that newcomers may not touch are mostly free, and fewer run at a time. At 0.02
# half of the preemptions are gone, and no other column is much the worse for it: a little room goes a long way.
#
# A gate does buy something. A quarter of the computing is gone, though tokens per second do not show it: reading weights is
# what a step costs here, and the recomputed tokens hid behind it. And who waits for a first word has lost less than
# who was stopped in mid-sentence.
#
# The last row is the price of certainty: nobody is preempted, and a good part of memory stays reserved for tokens that
# come later, while the queue in the picture grows to twice the length. With real users it would be worse. Here
# everybody generates as many tokens as they asked for; mostly people set `max_tokens` far higher.

# %% [markdown] id="about-break-it"
# ### Break it: two requests and seven blocks (6 minutes, difficulty 3, importance 4)
#
# Taking memory back is what saves an optimistic server. Not every server can. In vLLM pull request 57104 (2026)
# two requests got their memory while keys and values were still being loaded into it from another machine. They were
# not running yet, so nobody could preempt them; they held all seven blocks, and neither got its last. The server stood
# still, and nothing had crashed.
#
# The gate below is for such a server, on which **nobody's memory is taken back**. A request takes `prompt` blocks when
# it starts and `more` blocks afterwards, one in each step; at its end it gives all of them back. Whoever wrote the
# gate had thought of requests that never fit.
#
# ```python
# def may_start(request, running, free, num_blocks):
#     could_end = request.prompt + request.more <= num_blocks
#     can_begin = request.prompt <= free
#     return could_end and can_begin
# ```
#
# Convict it. `("Server", 20)` makes a server with 20 blocks and comes first; `("come", "A", 4, 6)` brings a request
# that starts with 4 blocks and takes 6 more; `("run",)` lets the server compute until all have ended, or nothing
# moves. No number is above 64. The shortest list wins.

# %% id="ex-break-it"
# %%exercise break_seven_blocks
# BEGIN SOLUTION
ops = [
    ("Server", 7),
    ("come", "A", 4, 1),
    ("come", "B", 3, 1),
    ("run",),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("Server", 20),
#     ("come", "A", 4, 6),
#     ("run",),
# ]
# END STUB

# %% [markdown] id="after-break-it"
# A request that could end alone may not end together with those who are in memory already. A server that can take
# nothing back asks about all of them at once: the third gate of the beginning, *could all of us grow to our longest?*
# Nobody is ever stuck behind it, and the last row of the table is what it costs.

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("17")

# %% id="finish"
finish("17")

# %% [markdown] id="a-hit" tags=["fold"]
# ## A hit on a free block (5 minutes)
#
# Look at request 3 in the second run of *The rest of the prompt*. `new` and `back` name whoever begins, with how many
# tokens the cache has of it:

# %% id="found-but-not-free"
theirs = recording("full_sequence")
for number in (15, 16, 26, 27):
    step = theirs["steps"][number]
    print(f"step {number}: {step['free']:2} free, new {step['new']},",
          f"preempted {step['preempted']}, back {step['resumed']}")
from labkit.mine import full_sequence_gate

for free in (12, 13):
    beside = free - 32 // 4
    print(f"request 3: 52 tokens, 32 of them found, {free} blocks free, {beside} beside:",
          full_sequence_gate(52, 32, beside, 4))

# %% [markdown] id="after-found"
# **A hit on a free block costs a free block.** From step 16 on, request 3 needs 13 blocks, and 8 of them are its own,
# still in the cache. 5 are missing, up to 12 are free, and it waits for eleven steps: the 8 are among the 12, and once
# they are its own again, 4 are left.

# %% [markdown] id="stretch" tags=["fold"]
# ## Stretch: a promise about time
#
# ### Exercise: `latency_gate` (15 minutes, difficulty 3, importance 3)
#
# So many requests may wait, so many tokens: who sets such limits guesses. What people notice is time. The last gate is
# at the door, and knows how many tokens of prompts wait, the newcomer's among them, and how fast the queue has moved
# of late. If the newcomer is not likely to begin within the target, it is told so now, and not after it has waited.
#
# At the start nobody has waited yet, and no speed is known.

# %% id="ex-latency-gate"
# %%exercise latency_gate
def latency_gate(queued_tokens: int, tokens_per_s: float, target_s: float) -> bool:
    """Whether a request that comes now is likely to begin within the target.

    Args:
        queued_tokens: tokens of all prompts that wait, its own included; 1 or more.
        tokens_per_s: how fast the queue moved of late, in tokens of prompts that
            began; 0 while nobody knows, and then nobody is turned away.
        target_s: seconds to the first token that are promised, above 0.

    Returns:
        True or False.
    """
    # BEGIN SOLUTION
    if tokens_per_s == 0:
        return True
    return queued_tokens / tokens_per_s <= target_s
    # END SOLUTION

# %% id="at-the-door"
print(f"{'':11} refused   TTFT p50   TTFT p99   of those who were let in")
doors = {"no limit": {}, "20 wait": {"most_queued": 20}, "within 4 s": {"latency_target_s": 4}}
for name, knobs in doors.items():
    it = served(make(900, watermark=0.02, **knobs), busy_minute(), cost).run
    print(f"{name:11} {len(it.refused):7} {it.percentile('ttft_s', 50):8.2f} s",
          f"{it.percentile('ttft_s', 99):8.2f} s")

# %% [markdown] id="after-doors"
# This waiting is removed, and the first column is what removes it: whoever is refused waits elsewhere, or goes.
#
# The speed is that of the *queue*: tokens of prompts that began, by the second, while somebody waited. The speed at
# which the GPU computes prompts would be wrong by far: this queue waits for memory, and its prompts are computed in no
# time then.

# %% [markdown] id="drill" tags=["fold"]
# ## Drill: should it be restarted? (optional, 10 minutes)
#
# The board of a server that somebody else runs, from outside. Show on it
# what convicts, look where it is decided, name the cause, and change what mends it. The same requests come again, and
# the score says what became of them.

# %% id="drill-board"
from labkit.widgets import DrillBoard

DrillBoard("the-door-keeper")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# vLLM 0.33.0 and SGLang 0.5.23 were read.
#
# - **vLLM, before memory**: `--watermark` (0.0 unless told otherwise) and `--scheduler-reserve-full-isl` (on), both in
#   `allocate_slots` of `vllm/v1/core/kv_cache_manager.py`, for waiting and preempted requests only. The share is of
#   all blocks, rounded down, and skipped where nothing runs. With both on, it is added to the whole sequence, as here.
# - **vLLM, at the door**: `--max-num-queued-reqs` and `--max-num-queued-tokens`, no limit by default, answered with
#   HTTP 503. The first counts who runs as well; ours counts who waits. The second counts a prompt whole until its
#   first token, and its documentation sets it to the wanted TTFT times the speed of prefill: a latency target in
#   tokens.
# - Metrics: `vllm:admission_rejections_total` with its reason; `vllm:num_requests_waiting` and
#   `vllm:request_queue_time_seconds` for waiting outside, `vllm:num_preemptions` for what comes of letting in too
#   many. `vllm:watermark_requests` and `--watermark-config` are about something else, marking generated *text*.
# - vLLM pull request 44594 measured the shape of the table above where 1.5 times as much was wanted as there was: 1,065
#   preemptions without a watermark, 400 at 0.02, 168 at 0.10, with 11,582, 12,134 and 11,835 tokens per second, and a
#   median TTFT of 6.6 s without and 11.8 s at 0.02. Prefix caching was off there, as it is in our minute.
# - **SGLang** keeps free a share of what running requests may still generate of their `max_new_tokens`:
#   `new_token_ratio`, exported as `sglang:new_token_ratio`. It falls a little with every step of decodes, and is set
#   anew when requests are retracted, its word for preempted. Towards 0 it is optimistic, at 1 it reserves to the
#   maximum. `--max-queued-requests` is its door.
# - **The gate's own deadlock**: a door that says *this fits* and a gate that counts in another way and says *never*.
#   vLLM issue 39734 is that, and you caught it in lesson 02. Here one formula counts for the door and for the gates.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked about watermarks wrote the sentence below. Is it true, false, or too broad? Pick the
# judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("17", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## What moves the last column
#
# Let $N(t)$ be how many people are in the house at time $t$: outside, outside again, or in memory. Each adds one to it
# from arrival to last token, so $\sum_i (\text{end}_i - \text{come}_i) = \int N(t)\,dt$. Divided by their number,
# that is the last column of the table; divided by the time, it is Little's law. A gate that refuses nobody changes
# neither who comes nor when. $N$ falls only when somebody ends, and how soon is decided by how many tokens are
# delivered while there is a queue. The tokens per second of the table are of the whole run, with its end, where nobody
# waits. Here are those of the rush alone:

# %% id="in-the-rush"
print("up to second 36   tokens   blocks free of 900, in the mean, while somebody waited")
for name, it in runs.items():
    rush = [moment for moment in it.run.moments if moment.at_s <= 36]
    queued = [moment for moment in rush if moment.waiting]
    time = sum(moment.seconds for moment in queued)
    free = sum(moment.seconds * moment.free for moment in queued) / time
    print(f"{name:15} {sum(moment.delivered for moment in rush):8,} {free:8.0f}")

# %% [markdown] id="after-rush"
# At 0.02 as many tokens come out as without a gate, so $N$ is what it was, and three columns share the same sum in
# another way. At 0.1 some 60 of the 90 blocks stay free, 3% less is delivered, everybody is that much later, and the
# sum is 7% larger. In the last row a third less is delivered, and the sum is more than twice as large.
#
# It also says when a gate does win. Where recomputation takes time from delivering, as on a GPU that is busy
# computing, letting fewer in *raises* tokens per second, and the sum falls.
