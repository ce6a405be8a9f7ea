# %% [markdown] id="symptom"
# # 00. Start here
#
# It is the best week the dashboard has ever shown. More requests fit on each GPU than before, tokens per second are up,
# and the graph is green. Then users begin to complain: *answers stop in the middle. It thinks for a minute, then writes
# three words.* The graph is still green. The server is busier than ever, with work that it has done before: it throws
# memory away and computes the same thing again, over and over. People who run such servers call it an eviction storm.
#
# By the end of this course you will know where to look, because you will have built what is going wrong: the memory
# manager of a server for language models, from empty cells, with a real model running on it.
#
# This first notebook has nothing to write. It takes 25 minutes: you check your machine, see a model answer through the
# kind of memory you are going to build, and try the tools that the lessons use.

# %% id="start"
from labkit.lesson import finish, quiz, show_check, start

start("00")

# %% [markdown] id="how-to"
# To run a cell, click into it and press **Shift + Enter**. Work from top to bottom. Nothing that you do here can break
# anything: these notebooks are your own copies, and what you pass is kept outside of them. If the window is too narrow
# for a line of code or a picture, **Ctrl + B** takes the list of files away, and brings it back.

# %% [markdown] id="about-doctor"
# ## Is everything here?
#
# The next cell looks at your machine. For each thing it finds missing it says what that changes in the course, and what
# to do about it. You do not need a GPU. Where the language model is missing, a tiny stand-in takes its place and every
# lesson still runs, but its answers are random words. If the model is missing below and you have a network, choose
# *File > New > Terminal*, type `labkit model fetch` (about 100 MB), and run the cell again.

# %% id="doctor" tags=["nbval-ignore-output"]
from labkit import doctor

doctor.show()

# %% [markdown] id="destination"
# ## Where the course leads
#
# In a moment, a language model (SmolLM2, 135 million parameters) answers three questions at once, on your
# processor, served by the engine that you are going to build. It is small, a sixtieth of the size of the model that a
# server runs further down this page. Its sentences are fluent, and some of what they say is wrong; you are here to look at
# its memory.
#
# A model reads and writes **tokens**: words or pieces of words. While it works, it has to remember something about every
# token so far, of the question as well as of the answer: its **keys and values**, which lesson 01 explains. They are kept
# in a memory that is cut into **blocks** of 16 tokens.
#
# The next cell shows that memory, still empty. *Physical blocks* are the memory itself, in the order in which its 24
# blocks lie there. *Logical blocks* will be what each request holds, in the order of its text; the number under one says
# which physical block it is. Colour and letter of a block say whose it is, and its height how full it is. (*Cached* stays
# at 0 here; caching comes in lesson 07.)

# %% id="destination-picture" tags=["nbval-ignore-output"]
from labkit.observe.events import EventLog
from labkit.serving import load
from labkit.widgets import PageTable

model, log = load(), EventLog(num_blocks=24, block_size=16)
table = PageTable(log, live=True,
                  title=f"{model.name}: three requests share 24 blocks")
table

# %% [markdown] id="watch"
# Run the next cell with **Ctrl + Enter**, so that the page stays where it is, and watch the picture above. In its first
# step the engine reads the questions. Then the three answers grow together, a token a step, until each has 56 tokens and
# the cell stops.

# %% id="destination-live" tags=["nbval-ignore-output"]
from labkit.serving import Request

questions = ["Why is the sky blue?", "What do bees do all day?",
             "Tell me about Paris."]
server, answers = model.engine(24, log=log, prefix_cache=None), []
for name, question in zip("ABC", questions):
    ids = model.prompt_ids(question, chat=True)
    answers += server.submit(Request(name, ids, max_new_tokens=200))
for _ in range(56):
    server.step()
table.close_live()

# %% [markdown] id="about-answers"
# And this is what it has written so far:

# %% id="destination-answers" tags=["nbval-ignore-output"]
import textwrap

from labkit import engine

print("The pool that handed out the blocks:", engine.owner("block_pool"))
for name, question, answer in zip("ABC", questions, answers):
    print(f"\n{name}: {question}")
    print(textwrap.indent(textwrap.fill(answer.text.strip() + " ...", 80), "   "))

# %% [markdown] id="after-destination"
# So much for the text. Three things to notice in the picture, because the whole course is about them. (A question takes more
# blocks than you would think: the model also gets a few tokens that say who speaks.)
#
# - **The blocks of one answer do not lie side by side.** Each question was read in one go, so its first blocks are
#   neighbours. But the three answers grew at the same time, and each new block was whichever was free: no two blocks that
#   an answer took while it was written are neighbours. A **block table** remembers which block comes after which. That is
#   **paging**, which operating systems use for the memory of programs, and it is why no memory has to be set aside in
#   advance for the longest possible answer.
# - **Only the last block of each answer is part full.** Those few empty places are all the memory that is wasted.
# - **There are 24 blocks,** and most of them are held. The next cell lets the answers go on. Run it with Ctrl + Enter, and watch
#   for the moment at which no block is free.

# %% id="destination-on" tags=["nbval-ignore-output"]
from IPython.display import display

table = PageTable(log, live=True, title="The same three, until memory is full",
                  subtitle="Each line under the picture is one operation.")
display(table)
for _ in range(44):
    server.step()
table.close_live()

# %% [markdown] id="after-on"
# To go back to that moment, click into the picture and press the left arrow key, or drag the slider. All blocks were
# held, and an answer needed one more. Somebody had to give memory back, and it was C, who had come last: its answer stops
# in the middle. Since then A and B go on, and after each of their tokens C asks for its blocks and finds too few. When it
# gets them, all that was kept for it is computed a second time, before its next word can be written.
#
# With three answers that is a hiccup. With hundreds, who do this to one another over and over, it is a storm.

# %% [markdown] id="does-not"
# And three things that paging does **not** do. It does not help when the conversations that run at once need more memory
# than there is (lesson 18). It does not help one very long request, which needs all its blocks anyway (lesson 13). And it
# does not replace the decision whom to let in (lesson 17).

# %% [markdown] id="about-storm"
# ## A storm
#
# And this is the server of the first paragraph: a model of 8 billion parameters (Llama 3.1) on one small GPU (an L4),
# simulated for two minutes in which three requests per second come. **Seats** are how many of them may run at once. With
# 64 seats more come than it can serve, and a queue grows: *Waiting*, one of the small pictures.
#
# So let more of them in. Click the knob and press the right arrow until it says 128; the server is simulated again at
# once. Nothing else on the board has to make sense yet. Compare the three large pictures: what users get, what is thrown
# away, and which requests are thrown out in the middle of an answer.

# %% id="storm"
from labkit.widgets import Storm

Storm(["seats"], title="A server, two minutes of it")

# %% [markdown] id="after-storm"
# The sentence under the knob has the numbers of both runs, and so has the next cell. Users get nearly the same and wait
# nearly as long, and the server computes far more for it: **preemptions** take memory away from requests that are running,
# and what was in it is computed again. A board that shows only tokens computed would be greener than ever. Lessons 16 to
# 19 are about the rest of this picture.

# %% id="storm-numbers"
from labkit.simulate.storm import StormSettings, run_storm
from labkit.widgets.storm_board import compared

few, many = (run_storm(StormSettings(seats=seats)) for seats in (64, 128))
print("From 64 seats to 128:")
print(*compared(few, many).split(", "), sep="\n")

# %% [markdown] id="map-about"
# ## The map
#
# These are the parts of a serving engine. Each is built in one lesson, and a part that you have passed is yours: from
# then on every picture, simulation and answer in this course runs on it. Until then a finished one, the *reference*,
# stands in. The cell with the three answers says which of the two handed out its blocks. Open this notebook again after
# lesson 04, and it will be the one that you wrote.
#
# Three paths lead through the course. **Storms** leads to the diagnosis of a server that thrashes, **kernels** to the code
# on the GPU, and **whole** is everything. You can change the path at any time. One lesson is not written: 21, in which your
# engine serves a real model, is still to come.

# %% id="map"
from labkit.widgets import EngineMap

EngineMap()

# %% [markdown] id="about-check"
# ## How a check works
#
# An exercise is one cell that begins with `%%exercise` and a name. When you run it, your code is graded at once, in a
# process of its own, so an endless loop or a crash there cannot hurt your notebook.
#
# Here somebody was in a hurry when they wrote the part that hands out blocks, and made a mistake. You do not need to see
# their code: run the cell and read the report from top to bottom.

# %% id="check-demo"
show_check("04", "BlockPool", mistake="takes-then-gives-up")

# %% [markdown] id="after-check"
# A report shows one broken rule, the worst, and the shortest story in which it breaks: what was called, what came back,
# and on the marked line what should have. The story above: of four blocks three are taken, a request for two more is
# refused, as it must be, and afterwards the last block has vanished. **Replay** plays it on a picture. **Hints** come in
# three steps: a question, the rule in other words, code with a blank. Take them whenever you like; nothing is deducted.
#
# Other people made other mistakes. Put `"bump-pointer"`, `"class-level-list"` or `"loops-until-free"` in the place of the
# name above and run the cell again. With `""` you see what a pass looks like.
#
# In the lessons you write into the cell itself, and what passes is kept. Each exercise says how long it takes, how hard it
# is and how much depends on it, the last two on a scale from 1 to 5.

# %% [markdown] id="about-quiz"
# ## How a quiz works
#
# Questions here ask you to run something in your head, and every answer, right or wrong, says what would follow from it.
# The first is about a picture like the one above.

# %% id="question"
quiz("00")

# %% [markdown] id="about-placement"
# Six more come now, about attention, which lesson 01 explains from nothing. They decide one thing only: whether you
# may skip that lesson. If a word means nothing to you, do not guess; take lesson 01.
#
# They can be answered with the mouse, or with the number keys and Enter.

# %% id="placement"
quiz("placement")

# %% [markdown] id="about-final"
# ## Ten questions from the end
#
# At the end of the course stand thirty questions. These are the first ten of them, which sum it up. Open them now to see
# where it leads, and leave them for later: you can answer them as often as you like, and what each answer says names the
# lesson that shows it.

# %% id="final"
quiz("final", first=10)

# %% [markdown] id="ending"
# ## What is yours
#
# No part of the engine is yours yet; that begins with the next lesson. What you pass there is kept on your machine,
# outside these notebooks: two of them may be open at once, and a kernel that dies loses nothing. In a terminal,
# `labkit progress` shows the overview below, and `labkit progress export FILE` takes it to another machine.

# %% id="finish"
finish("00")

# %% [markdown] id="next"
# **Next:** [01 Attention by hand](01_attention_by_hand.ipynb). If you passed the placement questions, you may go straight
# to [02 What a token costs](02_what_a_token_costs.ipynb).
