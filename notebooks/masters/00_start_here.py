# %% [markdown] id="symptom"
# # 00. Start here
#
# It is the best week the dashboard has ever shown. More requests fit on each GPU than before, tokens per second are up,
# and the graph is green. Then the mails arrive: *answers stop in the middle. It thinks for a minute, then writes three
# words.* The graph is still green.
#
# By the end of this course you will know where to look, because you will have built what is going wrong: the memory
# manager of a server for language models, from empty cells, with a real model running on it.
#
# This first notebook has nothing to write. It takes 25 minutes: you check your machine, see a model answer through the
# kind of memory you are going to build, and try the tools that the lessons use.

# %% id="start"
from labkit.lesson import quiz, show_check, start

start("00")

# %% [markdown] id="how-to"
# To run a cell, click into it and press **Shift + Enter**. Work from top to bottom. Nothing that you do here can break
# anything: these notebooks are your own copies, and what you pass is kept outside of them.

# %% [markdown] id="about-doctor"
# ## Is everything here?
#
# The next cell looks at your machine and says what each finding changes in the course, and how to mend it. A GPU is not
# needed. Without the real model a tiny stand-in keeps every lesson running, and says so.

# %% id="doctor" tags=["nbval-ignore-output"]
from labkit import doctor

doctor.show()

# %% [markdown] id="destination"
# ## Two minutes of the destination
#
# Below, a small language model (SmolLM2, 135 million parameters) answers three questions at once, on your processor.
# While it reads and writes, it has to remember something about every word so far: its **keys and values**, about which
# lesson 01 tells more. They are kept in a memory that is cut into **blocks** of 16 tokens.
#
# Run the cell and watch the right side. Each square is a block. The colour and the letter say which of the three answers
# it belongs to, the height how full it is.

# %% id="destination-run" tags=["nbval-ignore-output"]
from IPython.display import display

from labkit.observe.events import EventLog
from labkit.serving import load
from labkit.widgets import PageTable

model = load()
log = EventLog(num_blocks=24, block_size=16)
table = PageTable(log, live=True, title=f"{model.name} is answering",
                  subtitle="Three requests share 24 blocks.")
display(table)

questions = {
    "A": "In one sentence: why is the sky blue?",
    "B": "Name three fruits.",
    "C": "What is the capital of France? Then say one thing about it.",
}
answers = model.generate_many(list(questions.values()), requests=list(questions),
                              max_new_tokens=48, num_blocks=24, log=log, release=False)
table.close_live()
for name, answer in zip(questions, answers):
    print(f"{name}: {questions[name]}\n   {answer.text.strip()}\n")

# %% [markdown] id="after-destination"
# Three things to notice, because the whole course is about them.
#
# - **The blocks of one answer do not lie side by side.** The three answers grow at the same time, and each takes
#   whichever block is free next. A **block table** remembers which block comes after which. That is paging, the trick of
#   every operating system, and it is why no memory has to be set aside in advance for the longest possible answer.
# - **Only the last block of each answer is part full.** That is all the memory that is wasted.
# - **There are 24 blocks.** Had the answers been longer, one of them would have found no block free. Somebody then has to
#   wait, or to give memory back and compute it again later. That decision is where storms come from.
#
# You can go back in time: drag the slider under the picture, or click into it and press the arrow keys.

# %% id="destination-replay" tags=["nbval-ignore-output"]
PageTable(log, title="The same three answers, step by step",
          subtitle="Each line under the picture is one operation.")

# %% [markdown] id="does-not"
# And three things that paging does **not** do. It does not help when the conversations that run at once need more memory
# than there is. It does not help one very long request, which needs all its blocks anyway. And it does not replace the
# decision whom to let in. Each of the three has a lesson in which you see it fail.

# %% [markdown] id="map-about"
# ## The map
#
# These are the parts of a serving engine. Each is built in one lesson, and a part that you have passed is yours: from
# then on every picture, simulation and answer in this course runs on it. The part that handed out the blocks above, for
# instance, was the reference. After lesson 04 it will be the one that you wrote.
#
# Three paths lead through the course. **Storms** goes for the diagnosis of a server that thrashes; **kernels** goes down
# to the GPU code; **whole** is everything. They can be changed at any time.

# %% id="map"
from labkit.widgets import EngineMap

EngineMap()

# %% [markdown] id="about-check"
# ## How a check works
#
# An exercise is one cell that begins with `%%exercise` and a name. When you run it, your code is graded at once, in a
# process of its own, so an endless loop or a crash there cannot hurt your notebook.
#
# Here is a pool of blocks that somebody wrote in a hurry. The details do not matter yet. Run the cell and read the report
# from top to bottom.

# %% id="check-demo"
attempt = """
class BlockPool:
    def __init__(self, num_blocks):
        self.num_blocks = num_blocks
        self.waiting = list(range(num_blocks))

    @property
    def num_free(self):
        return len(self.waiting)

    def allocate(self, n):
        blocks = []
        for _ in range(n):
            if not self.waiting:
                return None
            blocks.append(self.waiting.pop(0))
        return blocks

    def free(self, blocks):
        self.waiting.extend(blocks)
"""

show_check("04", "BlockPool", attempt)

# %% [markdown] id="after-check"
# A report shows one broken rule, the worst, and the shortest story in which it breaks: what was called, what came back,
# and on the marked line what should have. **Replay** plays that story on a page table. **Hints** come in three steps: a
# question, the rule in other words, code with a blank. Take them whenever you like; nothing is deducted.
#
# You may edit the text above and run it again. To see a pass, replace the body of `allocate` by these three lines:
#
# ```python
#         if n > len(self.waiting):
#             return None
#         return [self.waiting.pop(0) for _ in range(n)]
# ```
#
# In the lessons you write into the cell itself, and what passes is kept.

# %% [markdown] id="about-quiz"
# ## How a quiz works
#
# Questions here ask you to run something in your head, and every answer, right or wrong, says what would follow from it.
# The first is about the picture above.

# %% id="question"
quiz("00")

# %% [markdown] id="about-placement"
# Six more come now, about attention, which lesson 01 explains from nothing. They decide one thing only: whether you
# may skip that lesson. If a word means nothing to you, do not guess; take lesson 01.
#
# They can be answered with the mouse, or with the number keys and Enter.

# %% id="placement"
quiz("placement")

# %% [markdown] id="about-progress"
# ## Where you are
#
# Passed exercises, answers and hints are kept on your machine, outside these notebooks. Two notebooks may be open at
# once, and a kernel that dies loses nothing. In a terminal, `labkit progress` shows the same overview and
# `labkit progress export FILE` takes it to another machine.

# %% id="progress"
from labkit.widgets import ProgressOverview

ProgressOverview()

# %% [markdown] id="about-final"
# ## The ten questions at the end
#
# The last check of the course contains these ten. You may open them now to see where all this is going, and leave them
# for later; you can answer them as often as you like.

# %% id="final"
quiz("final")

# %% [markdown] id="next"
# ## Next
#
# - You do not know attention, or not by hand: **01 Attention by hand**.
# - You passed the placement questions: **02 What a token costs**.
