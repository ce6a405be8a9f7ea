# %% [markdown] id="symptom"
# # 17. Admission control
#
# «Open with the symptom, before any explanation: what somebody who runs a server sees, in two or three sentences, with
# a figure that a cell of this lesson computes. No definition yet, and nothing that the reader cannot picture.»

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("17")

# %% [markdown] id="play"
# ## «What the reader plays with first»
#
# «Say in one sentence what to try, and what to watch while doing so. No code has been read yet.»

# %% id="play-widget"
from labkit.mine import BlockPool
from labkit.observe.events import EventLog
from labkit.observe.recorder import record
from labkit.widgets import PageTable

log = EventLog(num_blocks=8, block_size=4)
pool = record(BlockPool(8), log, "A")
held = pool.allocate(3)
pool.free(held[:1])
PageTable(log, title="A pool of 8 blocks")

# %% [markdown] id="idea"
# ## «The idea»
#
# «The one idea of the lesson, in a few short paragraphs. Every figure in the text is computed by a cell or has its
# source beside it.»

# %% id="predict-p1"
predict("17", "p1")

# %% id="reveal-p1"
print([-(-tokens // 16) for tokens in (0, 15, 16, 17)])

# %% [markdown] id="x"
# ```python
# def may_start(request, running, free, num_blocks):
#     could_end = request.prompt + request.more <= num_blocks
#     can_begin = request.prompt <= free
#     return could_end and can_begin
# ```

# %% id="ex-can-ever-fit"
# %%exercise can_ever_fit
def can_ever_fit(prompt_tokens: int, max_tokens: int, num_blocks: int, block_size: int) -> bool:
    """Whether an empty memory has room for a request at its longest.

    Args:
        prompt_tokens, max_tokens: tokens of the prompt, and tokens to generate at
            most; 1 or more each. The last token generated is never computed.
        num_blocks: blocks of the whole memory, 1 or more.
        block_size: tokens a block, 1 or more.

    Returns:
        True or False.
    """
    # BEGIN SOLUTION
    slots = prompt_tokens + max_tokens - 1
    return -(-slots // block_size) <= num_blocks
    # END SOLUTION


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
        block_size: tokens a block, 1 or more.

    Returns:
        True or False.
    """
    # BEGIN SOLUTION
    needed = -(-num_tokens // block_size)
    needed -= cached // block_size
    return needed <= available
    # END SOLUTION


# %% [markdown] id="halfway"
# ## Halfway
#
# «What stands now, and what the second half adds. A reader may stop here and come back.»

# %% id="save"
save_point("17")

# %% [markdown] id="about-break-it"
# ```python
# def may_start(request, running, free, num_blocks):
#     could_end = request.prompt + request.more <= num_blocks
#     can_begin = request.prompt <= free
#     return could_end and can_begin
# ```

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

# %% id="ex-latency-gate"
# %%exercise latency_gate
def latency_gate(queued_tokens: int, tokens_per_s: float, target_s: float) -> bool:
    """Whether a request that comes now is likely to begin within the target.

    Args:
        queued_tokens: tokens of all prompts that wait, its own included; 1 or more.
        tokens_per_s: how fast prompts were computed of late; 0 while nobody knows,
            and then nobody is turned away.
        target_s: seconds to the first token that are promised, above 0.

    Returns:
        True or False.
    """
    # BEGIN SOLUTION
    if tokens_per_s == 0:
        return True
    return queued_tokens / tokens_per_s <= target_s
    # END SOLUTION

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("17")

# %% id="finish"
finish("17")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# «Where vLLM and SGLang do this: the file, the flag, the metric, each with the version that was read.»

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# «One claim of the kind an AI assistant writes about this topic. The learner marks it true, false or too broad, and
# names the cell of this notebook that shows it.»
