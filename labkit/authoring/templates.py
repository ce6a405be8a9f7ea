"""The files of a new lesson, as `labkit author new` writes them.

Together they are a lesson that builds and runs at once, about rounding up, so that an author replaces working parts
one after another. What stands between « and » tells what goes there; `author check` asks for it until it is gone.
`$key`, `$number`, `$name` and `$title` are filled in.
"""

from __future__ import annotations

MASTER = '''\
# %% [markdown] id="symptom"
# # $number. $title
#
# «Open with the symptom, before any explanation: what somebody who runs a server sees, in two or three sentences, with
# a figure that a cell of this lesson computes. No definition yet, and nothing that the reader cannot picture.»

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("$number")

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
predict("$number", "p1")

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
save_point("$number")

# %% [markdown] id="break-it"
# ## Break it
#
# «A wrong part from a real incident: what was seen, never what was wrong. Say which operations there are. The code
# below is what the operations run on; it is quietly wrong.»
#
# ```python
# def example_blocks(num_tokens, block_size):
#     return max(1, num_tokens // block_size)
# ```

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
quiz("$number")

# %% id="finish"
finish("$number")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# «Where vLLM and SGLang do this: the file, the flag, the metric, each with the version that was read.»

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# «One claim of the kind an AI assistant writes about this topic. The learner marks it true, false or too broad, and
# names the cell of this notebook that shows it.»
'''

SPEC = '''\
"""Lesson $number, «the lesson in three words»: its rules, witnesses and hints."""

from __future__ import annotations

from typing import Any

from labkit.grading.breakit import BreakIt
from labkit.grading.functions import FunctionSpecification
from labkit.grading.language import rules_from
from labkit.specs import Exercise, Lesson


class ExampleBlocks(FunctionSpecification):
    """«What the exercise asks for. A class driven by operations: see labkit/specs/sharing.»"""

    exercise = "example_blocks"
    # Worst first: where several rules break at once, the learner sees the first. Under each its witnesses, a line each.
    rules = rules_from(
        """
        a-started-block-counts: «A sentence a learner can read: a block that holds a token is needed whole.»
            17 16
        full-blocks-have-no-spare: «Tokens that fill their blocks exactly need no further block.»
            ? «A first hint for whoever broke this rule; `?` alone where the first of `hints` is about it.»
            16 16
            0 16
        """
    )
    search = {"num_tokens": (0, 10_000), "block_size": (1, 256)}
    hints = (
        "«A question that points at the mistake, as: how many blocks do 17 tokens need?»",
        "«The invariant, as: the smallest n with n * block_size >= num_tokens.»",
        "«Code with a blank, as: return (num_tokens + ____) // block_size»",
    )

    def rule_for(self, num_tokens: int, block_size: int) -> str:
        return "a-started-block-counts" if num_tokens % block_size else "full-blocks-have-no-spare"

    def cause(self, rule: str, seen: Any, expected: Any, num_tokens: int, block_size: int) -> str:
        return "«What went wrong, in one sentence made from the numbers; never the patch.»"


class BreakExample(BreakIt):
    """«Which wrong part is to be caught: the code in the cell above the exercise.»"""

    exercise = "break_example"
    base = ExampleBlocks()
    hints = (
        "«A question about what the wrong part answers.»",
        "«What holds for a right part and not for this one.»",
        "«ops = [(\\"call\\", ____, 16)]»",
    )


LESSON = Lesson(
    key="$key",
    title="$title",
    part="«The part of the course, as `labkit lessons` shows it for others: I. Memory»",
    minutes=60,
    builds="«One sentence: what the learner will have built.»",
    symptom="«One sentence for the opening card: what somebody who runs a server sees.»",
    exercises=(
        # id, title, minutes, difficulty 1-5, importance 1-5, specification, reference implementation: the library's own
        # form of the part, as "module:name", which stands in until the learner's passes. A break-it has none.
        Exercise("example_blocks", "«A few words»", 5, 1, 3, ExampleBlocks(), "labkit.cache.block_table:blocks_needed"),
        Exercise("break_example", "«A few words»", 5, 2, 3, BreakExample(), kind="break"),
    ),
    ending="«What the learner can say now, in their own voice: I can say why ...»",
)
'''

MISTAKES = """\
# Lesson $number: mistakes that learners really make, each an edit of the solution in the master, and right answers in
# another style. How they are written stands at the top of labkit/grading/mistakes.py. For each exercise at least ten
# mistakes, each rejected by the rule that names its fault, and at least two right answers.
diff example_blocks
@@ a-started-block-counts @@
rounds-down: «One sentence that explains the mistake to whoever made it: the division forgets the part-filled block.»
~ -(-num_tokens // block_size) => num_tokens // block_size
@@ full-blocks-have-no-spare @@
always-one-more: «Another kind of mistake: off by one at the edge, state changed before the error, ...»
~ -(-num_tokens // block_size) => num_tokens // block_size + 1
@@ right @@
adds-before-dividing
+ return (num_tokens + block_size - 1) // block_size
"""

QUIZ = """\
# How questions are written stands at the top of labkit/grading/quiz.py; `labkit quiz lint` holds the file to it.
# Five questions on this lesson, one from an earlier lesson (`from:`), and the predictions that the notebook asks.
lesson: $key
title: "$title"
questions:
  - id: p1
    type: numeric
    prediction: true
    reveals: "«What the next cell will show.»"
    text: "«Ask for a simulation in the head:» {n} tokens, blocks of {b}. How many blocks?"
    params:
      n: {range: [17, 90, 1]}
      b: {choose: [8, 16]}
    where: n % b != 0
    let: {need: "blocks_needed(n, b)"}
    answer: need
    near:
      - {value: need - 1, feedback: "«What this particular mistake leads to.»"}
    feedback: "«Why it is right, and which cell shows it.»"
    otherwise: "«What to look at again.»"
    cell: reveal-p1
  - id: rounding
    type: single
    text: "«Every wrong option is what one particular mistake answers; options are of equal length.» {n} tokens?"
    cell: ex-example
    params:
      n: {range: [17, 31, 1]}
    answer: blocks_needed(n, 16)
    options:
      - {value: "blocks_needed(n, 16)", feedback: "«The consequence, and the cell that shows it.»"}
      - {value: "n // 16", feedback: "«The consequence of rounding down.»"}
      - {value: "n", feedback: "«The consequence of one block a token.»"}
"""
