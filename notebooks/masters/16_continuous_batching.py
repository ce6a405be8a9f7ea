# %% [markdown] id="symptom"
# # 16. Continuous batching
#
# A server answers eight requests at a time. The queue in front of it is long, so somebody measures what the eight seats
# are doing: less than half of the time an answer is being written in them. The rest of the time a seat belongs to somebody
# whose answer is complete. They asked for three words, and wait for the one beside them, who asked for an essay; and so
# does everybody in the queue.
#
# Nothing is wrong with memory. What is wrong is *when* somebody may come and go. In this lesson you build the decision
# that a server takes dozens of times per second: who computes how many tokens in the next step.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("16")

# %% id="symptom-numbers"
from labkit.specs.continuous_batching.scenes import lengths

answers = lengths(96)
steps = sum(max(answers[i:i + 8]) for i in range(0, len(answers), 8))
print(f"96 answers of 1 to {max(answers)} tokens, {sum(answers) / 96:.0f} in the mean")
used = sum(answers) / (8 * steps)
print(f"in batches of 8: {steps} steps; a seat gives somebody a token in {used:.0%} of them")

# %% [markdown] id="play"
# ## Look before you read
#
# Seven requests come, four of them at once. A row is a request, a column is a **step**: one pass through the model. Point
# at a cell, or click into the picture and use the arrow keys; a sentence says what happened there. The strip below shows
# how many tokens each step computed.
#
# Choose between the three runs. Look for three things: how long E, F and G wait though A and C have gone; what D, which
# has a long prompt, does to the height of a step; and what is different about D in the third run.

# %% id="play-widget"
from labkit.specs.continuous_batching.scenes import three_ways
from labkit.widgets import RequestTimeline

RequestTimeline(three_ways(), title="Seven requests, four seats",
                subtitle="The same requests, decided in three ways.")

# %% [markdown] id="idea"
# ## A batch that changes at every step
#
# A step reads all weights of the model once, whoever it is for. That is why requests are computed together: eight next
# tokens cost hardly more than one. The next cell asks the course's cost model, Llama 3.1 8B on an H100, from data sheets
# (`labkit/simulate/cost_model.py` has the formula).

# %% id="batching-pays"
from labkit.cache.geometry import MODELS
from labkit.simulate.cost_model import CARDS, cost_model

cost = cost_model(CARDS["H100"], MODELS["Llama-3.1-8B"])
for n in (1, 8, 64):
    # Each has 1,000 tokens in memory to read, and its one token looks at all of them.
    seconds = cost.seconds(tokens=n, context=1000 * n, pairs=1000 * n)
    print(f"{n:2} next tokens per step: {1000 * seconds:5.1f} ms, {n / seconds:5,.0f} tokens/s")

# %% [markdown] id="static"
# **Static batching** fills the seats, computes until the last answer is complete, and fills them again. It is what a loop
# around a model does by itself, and it wastes the seats of all who have ended. **Continuous batching** decides anew at
# every step: whoever is done leaves, and the next one sits down at once. Orca called it iteration-level scheduling (Yu et
# al., OSDI 2022), and the serving engines of today do it.
#
# By hand: four seats, eight answers. A letter is a token that somebody gets, a dot is a seat that nobody can use.

# %% id="by-hand"
from labkit.specs.continuous_batching.scenes import seats_over_time

answers = {"A": 3, "B": 9, "C": 4, "D": 20, "E": 6, "F": 2, "G": 5, "H": 7}
for way in ("static", "continuous"):
    rows = seats_over_time(answers, 4, way)
    used = sum(answers.values()) / (4 * len(rows[0]))
    print(f"{way}: {len(rows[0])} steps, {used:.0%} of the seats' time")
    print("\n".join(rows), "\n")

# %% [markdown] id="requests"
# ## What a request knows
#
# A request carries its state with it. `prompt_tokens` is a number, `output` holds the tokens generated so far, `computed`
# says how many leading tokens have their keys and values in memory, and `missing` how many known ones have not: prompt and
# output, less `computed`.
#
# Nothing is kept that says *prefill* or *decode*: both follow from these numbers. A request computes what is missing; when
# nothing is missing after a step, a token comes out of that step, and then exactly one is missing again: the one that came
# out. Watch a request of five prompt tokens that may compute three in a step:

# %% id="one-request"
from labkit.scheduling.request import Request

request = Request("A", prompt=range(5), max_tokens=3)
for _ in range(4):
    n = min(3, request.missing)
    print(f"computed {request.computed}, missing {request.missing}: compute {n}")
    request.computed += n
    if request.missing == 0:
        request.output.append(7)
        print("a token comes out")

# %% [markdown] id="about-plan-decodes"
# ### Exercise: `plan_decodes` (7 minutes, difficulty 2, importance 4)
#
# The requests that are in the middle of an answer want one token each. Find them among those that run. Two kinds look
# like them and are not: one whose prompt lacks a single token (nothing has been generated yet, it is at the end of its
# prompt), and one that was **preempted**: it had to give its memory up, has kept its output, and has all of it to compute
# again. Once it has caught up, it is one of those that you look for. (A request can answer the question itself, by its
# property `decodes`; this is how.)

# %% id="ex-plan-decodes"
# %%exercise plan_decodes
def plan_decodes(running: list, budget: int) -> list:
    """One token for each running request that generates.

    Args:
        running: requests, in the order in which they were let in.
        budget: tokens that may be computed at most, 0 or more.

    Returns:
        A list of pairs (request, 1), in the order of `running`, as far as the
        budget goes. Nothing is changed in the list or in a request.
    """
    # BEGIN SOLUTION
    plan = []
    for request in running:
        if len(plan) == budget:
            break
        if request.output and request.missing == 1:
            plan.append((request, 1))
    return plan
    # END SOLUTION


# %% id="use-plan-decodes"
from labkit.mine import plan_decodes
from labkit.scheduling.request import Request


def example(name, prompt, computed, output):
    request = Request(name, range(prompt), 99)
    request.computed = computed
    request.output.extend(range(output))
    return request


running = [
    example("A", 5, 5, 1), example("B", 9, 8, 0), example("C", 5, 2, 3), example("D", 4, 6, 3),
]
print([(request.id, n) for request, n in plan_decodes(running, budget=8)])

# %% [markdown] id="budget"
# ## The token budget
#
# A prompt is another matter. All of its tokens are known, so all of them *can* be computed in one step, and then the step
# lasts as long as that takes. Everybody who decodes is in the same step and waits for its end.

# %% id="long-steps"
# The eight have 500 tokens each; a token of the prompt looks at those before it.
for n in (0, 500, 2_000, 8_000, 32_000):
    seconds = cost.seconds(tokens=8 + n, context=8 * 500 + n, pairs=8 * 500 + n * n // 2)
    print(f"8 next tokens and a prompt of {n:6,} tokens: {1000 * seconds:7.1f} ms")

# %% [markdown] id="about-chunks"
# So a step has a **token budget**: it computes that many tokens and no more. Each decode takes one. What is left goes
# to prompts, and a prompt that is longer than that gets a piece, a **chunk**, and another one in the next step. A piece
# needs only what is before it, and that is in memory: `computed` says how far it goes. Sarathi-Serve (Agrawal et al., OSDI
# 2024) showed that this costs little and that the pauses of the others go.
#
# ### Exercise: `plan_chunks` (10 minutes, difficulty 2, importance 5)
#
# Cut what is left of the budget into pieces, in order: the first request gets as much as it can use. `longest` is a second
# limit, for one piece: a long prompt then leaves something for the next. Nobody gets a second piece in a step, even where
# some of the budget is left over.

# %% id="ex-plan-chunks"
# %%exercise plan_chunks
def plan_chunks(requests: list, budget: int, longest: int | None = None) -> list:
    """A piece of what each request has to compute, until the budget is spent.

    Args:
        requests: those that do not decode, in the order in which they are served.
        budget: tokens that may be computed at most, 0 or more.
        longest: tokens of one piece at most, 1 or more; None: no such limit.

    Returns:
        A list of pairs (request, tokens), in the order of `requests`. Each piece
        is as long as what is missing, the budget and `longest` allow; whoever
        gets nothing is not in it. Nothing is changed in the list or in a request.
    """
    # BEGIN SOLUTION
    plan = []
    for request in requests:
        piece = min(request.missing, budget)
        if longest is not None:
            piece = min(piece, longest)
        if piece == 0:
            break
        plan.append((request, piece))
        budget -= piece
    return plan
    # END SOLUTION


# %% id="use-plan-chunks"
from labkit.mine import plan_chunks

report, note = example("report", 5_000, 0, 0), example("note", 300, 0, 0)
for number in range(1, 5):
    plan = plan_chunks([report, note], budget=2_048 - 8)
    print(f"step {number}: 8 decodes,", [(request.id, n) for request, n in plan])
    for request, n in plan:
        request.computed += n
    if note.missing == 0:
        break
two = [example("report", 5_000, 0, 0), example("note", 300, 0, 0)]
plan = plan_chunks(two, budget=2_048 - 8, longest=1_500)
print("with longest=1,500:", [(request.id, n) for request, n in plan])

# %% [markdown] id="halfway"
# ## Half way
#
# You can say who decodes and cut prompts into pieces. Both are arithmetic; the second half puts them into a step, where
# memory may run out. A good place to stop and come back: what you passed is kept.

# %% id="save"
save_point("16")

# %% [markdown] id="about-step"
# ## A step
#
# Now the whole decision. Those who run come first, because they hold memory, and somebody waits for their next token.
# The queue gets what they leave. The order is this:
#
# 1. Share the budget among those who run: decodes first, then pieces of prompts. Nothing has happened yet.
# 2. Go through those who run, in the order in which they were let in, and find memory for each that got something:
#    `grow`. There may be none left. Then the scheduler preempts somebody, the last one that was let in, and the call tells
#    you whether it was the request itself. Whoever has been preempted computes nothing in this step.
# 3. If nobody was preempted, let the queue in, head first (`admit`), as long as there are seats. The first that is refused
#    ends it.
#
# Two of these look too strict. Why does nobody come in after a preemption, though the victim's blocks lie free? Because
# the victim would be the first to want them back: it goes to the *head* of the queue, and whoever took its blocks now
# would be preempted next. And why may a small request not pass a large one that does not fit? Because there is always
# another small one, and the large one would wait for ever. The fold *What vLLM decided*, below the end of this lesson, shows vLLM do both.
#
# ### Exercise: `step` (15 minutes, difficulty 4, importance 5)

# %% id="ex-step"
# %%exercise step
def step(scheduler) -> list:
    """Decide one step: first for those who run, then for the queue.

    It is a decision and no more: what you answer is computed, and counted as
    computed, afterwards. The scheduler has:
        running: requests in memory, in the order in which they were let in. The
            list changes while you work: with everybody let in or preempted.
        waiting: the queue, false when it is empty; waiting.head() is its head.
        preempted: who gave memory up in this step, an empty list at first.
        budget, seats: tokens that may be computed, requests that may run.
        longest_chunk: tokens of one piece of a prompt at most, or None.
        plan_decodes(running, budget), plan_chunks(requests, budget, longest):
            what you wrote above.
        grow(request, n): finds memory for n more tokens of one that runs. Others,
            whose turn has not come, may be preempted for it. False: it was
            preempted itself.
        admit(request, budget): lets the head of the queue in. Answers how many of
            its tokens are computed in this step, `budget` at most; 0: it was
            refused, and nothing has changed.

    Returns:
        A list of pairs (request, tokens): those who run, in the order of
        `running`, then those that were let in.
    """
    # BEGIN SOLUTION
    running = list(scheduler.running)
    decodes = dict(scheduler.plan_decodes(running, scheduler.budget))
    prompts = [request for request in running if request not in decodes]
    left = scheduler.budget - len(decodes)
    chunks = dict(scheduler.plan_chunks(prompts, left, scheduler.longest_chunk))
    wanted = {**decodes, **chunks}
    plan = []
    for request in running:
        if request in wanted and request not in scheduler.preempted:
            if scheduler.grow(request, wanted[request]):
                plan.append((request, wanted[request]))
    left = scheduler.budget - sum(n for _, n in plan)
    while scheduler.waiting and not scheduler.preempted:
        if len(scheduler.running) >= scheduler.seats:
            break
        head = scheduler.waiting.head()
        n = scheduler.admit(head, left)
        if n == 0:
            break
        plan.append((head, n))
        left -= n
    return plan
    # END SOLUTION


# %% [markdown] id="at-work"
# ## Your step at work
#
# Once all three have passed, they decide in every scheduler of this course. Here they are given little memory, so that
# somebody must give way: 12 blocks of 4 tokens. Find a step with a preemption, look who came in in that step, and what
# the victim computes when it comes back.

# %% id="at-work-widget"
from labkit import engine
from labkit.specs.continuous_batching.scenes import few_requests, make, watched
from labkit.widgets import RequestTimeline

tight = watched(make(12, 4, seats=4, token_budget=8), few_requests())
print("The scheduler at work:", engine.owner("scheduler"))
RequestTimeline(tight, title="Seven requests, twelve blocks",
                subtitle="With your step, if it has passed.")

# %% [markdown] id="about-predict"
# ## One prediction first
#
# Eight people chat. After a second a ninth pastes a report of 32,000 tokens. Its prompt can be computed whole, in one step
# that the eight wait for, or in pieces of about 500 tokens, more than sixty steps.

# %% id="predict-p1"
predict("16", "p1")

# %% id="reveal-p1"
from labkit.specs.continuous_batching.scenes import chats_and_a_report, simulated

print("budget      longest pause of a chat   first token of the report")
for budget in (40_000, 8_192, 2_048, 512, 128):
    run = simulated(make(6_000, token_budget=budget), chats_and_a_report(), cost)
    pause = max(life.longest_gap_s for life in run.lives[:8])
    print(f"{budget:6,} {1000 * pause:22,.0f} ms {1000 * run.lives[8].ttft_s:22,.0f} ms")

# %% [markdown] id="after-p1"
# Hold your answer against the row of 512. The first row is a step that holds the whole report: the text of eight people
# stands still. In pieces the pause cannot be seen any more. How much later the report is depends on how well a step
# hides what every step costs once, the weights and the launch, behind the tokens that it computes.
#
# The last row is what a budget costs that is too small. A step of 128 tokens takes nearly as long as one of 8, because
# reading the weights takes that long, so the report needs the time of two hundred and more such steps. There is no right
# budget: it moves time between those who read and those who wait for their first word.
#
# The board has a name for each of the columns. The pause is the **inter-token latency**, ITL, and its highest percentiles
# show it; the other is the **time to first token**, TTFT.

# %% [markdown] id="starved"
# ## The queue that starves those inside
#
# The opposite order is as natural: whoever waits goes first, since nobody likes to wait for a first token, and who decodes
# gets the steps in which no prompt is left. That is *prefill first*, and SGLang's way unless it is told otherwise. Below, a
# prompt of 2,000 tokens comes every 60 ms, which is about the time that it takes to compute one.

# %% id="prefill-first"
from labkit.specs.continuous_batching.scenes import queue_first_step, stream, tokens_per_s

print(f"{'':15}  TTFT p50   longest pause p99   tokens/s of a request   all tokens/s")
# 27,000 blocks of 16 tokens are about what 80 GB leave beside the weights.
for name, how in (("decodes first", None), ("prefill first", queue_first_step)):
    server = make(27_000, step=how, token_budget=2_048)
    run = simulated(server, stream(100, 0.06, 2_000, 100), cost)
    ttft, pause = run.percentile("ttft_s", 50), run.percentile("longest_gap_s", 99)
    print(f"{name:15} {1000 * ttft:6,.0f} ms {1000 * pause:16,.0f} ms",
          f"{tokens_per_s(run):23.1f} {100 * 100 / run.seconds:14,.0f}")
held = max(moment.held for moment in run.moments) / 27_000
print(f"memory in use at most {held:.0%}, preempted {sum(m.preempted for m in run.moments)}")

# %% [markdown] id="after-starved"
# Read the columns as if you had only one of them. TTFT says that prefill first is the better scheduler by far. Tokens
# per second over all requests say that there is little between the two. The rate of one request, here the median, says
# that something is lost, but not where. The pauses say that some requests stood still for seconds, in the middle of a sentence, with memory
# free and nobody preempted.
# In such a case it is tempting to blame the cache, and the usage of KV memory acquits it. *In production*, at the
# end, has the figures of two servers to which it happened.

# %% [markdown] id="about-break-it"
# ### Break it: the queue goes first (6 minutes, difficulty 3, importance 4)
#
# Somebody wanted a better TTFT and got it. The pull request says: *requests that wait are served first, requests that run
# get the rest of the budget; the order of the plan is as before*. All tests pass, and the graph of TTFT is the pride of
# the team. In the busiest hour users say that answers stop in the middle of a word.
#
# ```python
# def step(scheduler):
#     running, left, new = list(scheduler.running), scheduler.budget, []
#     while scheduler.waiting and len(scheduler.running) < scheduler.seats:
#         head = scheduler.waiting.head()
#         n = scheduler.admit(head, left)
#         if n == 0:
#             break
#         new.append((head, n))
#         left -= n
#     decodes = dict(scheduler.plan_decodes(running, left))
#     prompts = [request for request in running if request not in decodes]
#     left -= len(decodes)
#     chunks = scheduler.plan_chunks(prompts, left, scheduler.longest_chunk)
#     wanted, plan = {**decodes, **dict(chunks)}, []
#     for request in running:
#         if request in wanted and request not in scheduler.preempted:
#             if scheduler.grow(request, wanted[request]):
#                 plan.append((request, wanted[request]))
#     return plan + [pair for pair in new if pair[0] not in scheduler.preempted]
# ```
#
# Convict it. `("Scheduler", 9, 4, 9)` makes a scheduler with 9 blocks of 2 tokens, a budget of 4 tokens and 9 seats, and
# comes first; `("come", "A", 3, 2)` brings a request with 3 tokens that generates 2, and `("step",)` lets it decide and
# compute a step. The shortest list wins.

# %% id="ex-break-it"
# %%exercise break_queue_first
# BEGIN SOLUTION
ops = [
    ("Scheduler", 9, 4, 9),
    ("come", "A", 1, 2),
    ("step",),
    ("come", "B", 4, 1),
    ("step",),
]
# END SOLUTION
# BEGIN STUB
# ops = [
#     ("Scheduler", 9, 4, 9),
#     ("come", "A", 3, 2),
#     ("step",),
# ]
# END STUB

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("16")

# %% id="finish"
finish("16")

# %% [markdown] id="vllm" tags=["fold"]
# ## What vLLM decided (8 minutes)
#
# vLLM's own scheduler, without a model behind it, was given a workload of eight requests and too little memory, and what
# it decided was written down. The next cell lets your scheduler decide the same workload, step by step.

# %% id="recorded"
from labkit.engine import scheduler
from labkit.observe.timeline import Timeline
from labkit.simulate.recordings import recording, replayed

theirs = recording("tight")
timeline, queues = Timeline(), []


def look(scheduler, step):
    timeline.see(scheduler, step)
    queues.append([(request.id, -(-request.num_tokens // 4)) for request in scheduler.waiting])


ours = replayed(theirs, make=scheduler, see=look)
same = sum(our == their for our, their in zip(ours, theirs["steps"]))
print(f"{theirs['engine']} {theirs['version']}, {theirs['settings']['num_blocks']} blocks:",
      f"{same} of {len(theirs['steps'])} steps are the same")
for number in (10, 11, 12):
    for name, steps in (("vLLM", theirs["steps"]), ("here", ours)):
        decided = steps[number]
        print(f"step {number:2}  {name}  computes {decided['scheduled']}", end=" ")
        print(f"preempts {decided['preempted']}" if decided["preempted"] else "")

# %% id="recorded-widget"
RequestTimeline(timeline, title="Eight requests, 22 blocks of four tokens",
                subtitle="What vLLM decided, and your scheduler with it.")

# %% [markdown] id="two-rules"
# Now the two rules that looked too strict. `queues` holds who waits after each step, and how many blocks each of them needs;
# the recording says how many could be had.

# %% id="two-rules-seen"
for number in (3, 11):
    decided = theirs["steps"][number]
    let_in = [*decided["new"], *decided["resumed"]]
    print(f"step {number}: preempted {decided['preempted']}, let in {let_in},",
          f"{decided['free']} blocks can be had")
    print("   waiting:", ", ".join(f"{id} needs {n}" for id, n in queues[number]))
for id, cached in theirs["steps"][12]["resumed"].items():
    print(f"step 12: request {id} comes back, with {cached} tokens from the cache")

# %% [markdown] id="after-two-rules"
# In step 3 the head of the queue needs more blocks than there are. The request behind it would fit exactly, and waits.
# That is the rule *one refused head stops the queue*.
#
# In step 11 request 2 has given its memory up. What is free now would do for any of the five behind it, and nobody is let
# in. Request 0 ends in that step, and in the next one request 2 comes back first, since it is the head of the queue, and
# most of what it had is still in the prefix cache. That is *who preempts admits nobody*.

# %% [markdown] id="a-drill" tags=["fold"]
# ## A drill, if you like (15 minutes)
#
# Somebody else's server, and its board. You pin what on it speaks for one cause and what speaks against another, look at
# one thing more, say what is wrong, and change something; then the board shows the same requests with your change. Two of the changes on offer come in lesson 17: a **watermark** keeps blocks
# free when somebody is let in, and the other lets a prompt in only where all of it has room.

# %% id="drill"
from labkit.widgets import DrillBoard

DrillBoard("the-fifth-prompt")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# vLLM 0.33.0 and SGLang 0.5.23 were read.
#
# - **vLLM** decides in `vllm/v1/core/sched/scheduler.py`. It knows no phases either: a request has tokens that are known
#   and tokens that are computed, and each step lets the second catch up with the first.
# - `--max-num-batched-tokens` is the budget, `--max-num-seqs` the seats, `--long-prefill-token-threshold` the longest piece.
#   The last is not applied to a request that is alone, in vLLM as here: the step is told of no longest piece then.
# - Metrics: `vllm:num_requests_running` and `vllm:num_requests_waiting`; `vllm:iteration_tokens_total`, a histogram of the
#   tokens of a step; `vllm:inter_token_latency_seconds` for the pauses, `vllm:time_to_first_token_seconds` for the wait. Look
#   at both, and at high percentiles of the first.
# - **SGLang** makes a step of prompts whenever it can, and decodes otherwise: `get_next_batch_to_run` in
#   `srt/managers/scheduler.py`; issue 32549 tells what that did to a busy chat server. `--chunked-prefill-size` is how many
#   tokens of prompts a step has, `--enable-mixed-chunk` lets decodes into the same step, and `--prefill-decode-interval`
#   asks for a step of decodes now and then.
# - Prompts before decodes, measured: SGLang pull request 40443 (2026) has 1.38 tokens per second for each request while
#   long prompts came in, and 32.05 once eight rounds of decodes had to follow every batch of prompts; TTFT and the
#   throughput of the whole server hardly moved. In vLLM, pull request 44558 (2026) lets prompts into every second step
#   only, where several GPUs must end each step together, and the median ITL falls from 274.9 to 32.1 ms, again with the
#   throughput flat.
# - A prompt of 64,000 tokens among chats, with ample KV memory free, brought a fork of vLLM from 272.6 to 6.62 tokens per
#   second (local-inference-lab/vllm, issue 541). Memory is innocent there too.
# - Asynchronous scheduling, vLLM's default, plans the next step before the tokens of the last one are there, so blocks of
#   a finished request come back a step later. The recording above is of the synchronous scheduler.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked about chunked prefill wrote the sentence below. Is it true, false, or too broad? Pick the
# judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("16", "verify")

# %% [markdown] id="where-it-differs" tags=["fold"]
# ## Where this scheduler differs from vLLM's on purpose
#
# - Decodes get the budget before pieces of prompts. vLLM goes by order of admission alone; why no recording can tell the
#   two apart is the next fold.
# - A request that can never fit is refused at the door. In vLLM's scheduler it waits, and everybody behind it. Lesson 17
#   comes to the door.
# - Whoever has found memory in a step is no victim in it. vLLM, under its priority policy, takes the tokens back.
# - Whatever chooses the victims, the first of those who run is spared, so somebody always comes to an end.

# %% [markdown] id="derivation" tags=["fold"]
# ## Why the order of admission is enough
#
# Call what a request could compute in a step its *wish*: 1 for a decode, and for a prompt what is missing, `longest` at
# most. Claim: if the queue gets only what those who run leave, then in every step **all who run but the last have their
# wish, and the last has a token at least**. Then nobody who decodes goes without, in whatever order the budget is handed
# out.
#
# When the last one was let in, something was left of the budget, so all before it had their wish, and it got a token or
# more. From then on the wish of a request only falls: a prompt has less and less missing, and a decode stays at 1. So the
# wishes of those before the last still leave that token. A new one is let in only if something is left after the last has
# had its wish too, and then the same holds of the new one. Whoever leaves or is preempted only makes room.
#
# In *prefill first* the queue does not wait for what is left, and the claim falls, as your list for the broken step shows.

# %% [markdown] id="lookahead" tags=["fold"]
# ## Lookahead slots
#
# A server may guess: a small model proposes the next $k$ tokens, and the large one computes all of them in a single step
# and keeps those that it would have chosen itself. This is speculative decoding. For the scheduler a decode then is $1 + k$
# tokens of the budget, and `grow` has to find $1 + k$ slots before anybody knows how many will be used. Those are the
# lookahead slots.
#
# Two rules keep them harmless. A rejected token leaves no trace: the next step writes over its slot, as if nobody had
# guessed. And a block with a guess in it is not published in the prefix cache, because its content may still change; only
# what has been accepted gets a hash. vLLM allocates them in `allocate_slots` with the other slots of the step.
