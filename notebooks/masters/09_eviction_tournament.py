# %% [markdown] id="symptom"
# # 09. Eviction tournament
#
# «Open with the symptom, before any explanation: what somebody who runs a server sees, in two or three sentences, with
# a figure that a cell of this lesson computes. No definition yet, and nothing that the reader cannot picture.»

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("09")

# %% [markdown] id="play"
# ## «What the reader plays with first»
#
# «Say in one sentence what to try, and what to watch while doing so. No code has been read yet.»

# %% id="play-widget"
from labkit.mine import BlockPool
from labkit.observe.events import EventLog
from labkit.observe.record import RecordingPool
from labkit.widgets import PageTable

log = EventLog(num_blocks=8, block_size=4)
pool = RecordingPool(BlockPool(8), log, owner="A")
held = pool.allocate(3)
pool.free(held[:1])
PageTable(log, title="A pool of 8 blocks")

# %% [markdown] id="idea"
# ## «The idea»
#
# «The one idea of the lesson, in a few short paragraphs. Every figure in the text is computed by a cell or has its
# source beside it.»

# %% id="predict-p1"
predict("09", "p1")

# %% id="reveal-p1"
print([-(-tokens // 16) for tokens in (0, 15, 16, 17)])

# %% [markdown] id="about-example"
# ### Exercise: `example_blocks` (5 minutes, difficulty 1, importance 3)
#
# «What to write and why it is needed, in three sentences at most.»

# %% id="ex-example"
# %%exercise example_blocks
def example_blocks(num_tokens: int, block_size: int) -> int:
    """«What it answers, in one line.»

    Args:
        num_tokens: «what it is, its unit, its range».
        block_size: «the same».

    Returns:
        «What comes back, its unit; and which error is raised when, if one is.»
    """
    # BEGIN SOLUTION
    return -(-num_tokens // block_size)
    # END SOLUTION


# %% id="use-example"
# Cells that are no exercise take what the learner wrote from labkit.mine:
# theirs if it passed, else the reference.
from labkit.mine import example_blocks

print(example_blocks(17, 16))

# %% [markdown] id="halfway"
# ## Halfway
#
# «What stands now, and what the second half adds. A reader may stop here and come back.»

# %% id="save"
save_point("09")

# %% [markdown] id="break-it"
# ## Break it
#
# «A wrong part from a real incident: what was seen, never what was wrong. Say which operations there are.»

# %% id="ex-break"
# %%exercise break_example
# BEGIN SOLUTION
ops = [("call", 17, 16)]
# END SOLUTION
# BEGIN STUB
# ops = []  # one or more of ("call", num_tokens, block_size)
# END STUB

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("09")

# %% id="finish"
finish("09")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# «Where vLLM and SGLang do this: the file, the flag, the metric, each with the version that was read.»

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# «One claim of the kind an AI assistant writes about this topic. The learner marks it true, false or too broad, and
# names the cell of this notebook that shows it.»
