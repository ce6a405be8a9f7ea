# %% [markdown] id="symptom"
# # 02. What a token costs
#
# Somebody has rented a GPU with 80 GiB of memory for a model whose weights take 15. "Room for hundreds of users", says
# the plan. On the first busy day the server takes a few dozen long conversations at once, and everybody else waits.
# Nothing is broken. The memory is full.
#
# In lesson 01 you saw why: the keys and values of earlier tokens do not change, so a model keeps them instead of computing
# them again. That is the **KV cache**. It buys time with memory, and in this lesson you find out how much of each: what
# one token costs in bytes, what it saves in time, and how many conversations a GPU has room for. At the end you can do
# the sum of the first paragraph before the GPU is rented.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("02")

# %% [markdown] id="play"
# ## Look before you read
#
# This sentence is a calculator. Drag a dotted number sideways, or select it and use the arrow keys. The bar below is the
# memory of one GPU, and a seam marks the end of each request that fits, as long as there are few enough to draw.
#
# Three things to try. Double the tokens of a request and watch what happens to the requests that fit. Go from Llama-3.1-8B
# to Llama-2-7B, which is the *smaller* model. And take Llama-3.1-70B, which one such GPU cannot hold, to 2, 4, 8 and 16
# GPUs. Watch what a token costs *on each GPU*: from some number on it no longer falls. That more requests fit even then is
# only because each GPU has a smaller part of the weights.

# %% id="play-widget"
from labkit.widgets.token_cost import TokenCost

TokenCost()

# %% [markdown] id="idea"
# ## What is kept of a token
#
# A token passes through all layers of the model. In each layer, attention makes three vectors of it for each of its heads:
# a query, a key and a value. The query asks once, in the token's own step, and is never needed again. The **key** and the
# **value** are what every later token looks at. So in every layer, one key and one value stay behind for each head, and
# they stay as long as the conversation does.
#
# Each vector is `head_dim` numbers long. In a 16-bit format a number takes 2 bytes.
#
# The models differ in how many heads keep something. In **multi-head attention** (MHA) every query head has a key and a
# value of its own. In **grouped-query attention** (GQA; Ainslie and others, 2023) a group of neighbouring query heads shares
# one **KV head**; the queries still differ, only what they look at is common. If there is one KV head in all, it is called
# **multi-query attention** (MQA; Shazeer, 2019). And **latent attention** (MLA; DeepSeek-V2, 2024) keeps no heads at all,
# but one compressed vector per layer, from which keys and values are made again when they are needed.

# %% id="heads-figure"
from labkit.widgets.token_figures import shared_heads

shared_heads()

# %% [markdown] id="about-kv-bytes"
# ### Exercise: `kv_bytes` (6 minutes, difficulty 1, importance 5)
#
# How many bytes does one token leave behind in the whole model? You have everything from the section above: what is kept,
# for which heads, in which layers, how long a vector is, and how many bytes a number takes. MHA, GQA and MQA need no
# cases of their own: only the number of KV heads differs.
#
# All memory management in this course comes back to this number. Do it on paper for the example first.

# %% id="ex-kv-bytes"
# %%exercise kv_bytes
def kv_bytes(num_layers: int, num_kv_heads: int, head_dim: int, bytes_per_value: int) -> int:
    """Bytes that one token adds to the KV cache.

    Args:
        num_layers: layers of the model, 1 or more.
        num_kv_heads: KV heads in each layer, 1 or more.
        head_dim: numbers in one key, and in one value.
        bytes_per_value: bytes of one number: 4, 2 or 1.

    Returns:
        Whole bytes. A model of 2 layers with 3 KV heads of 4 numbers in 16 bits keeps 96 bytes
        per token.
    """
    # BEGIN SOLUTION
    return 2 * num_layers * num_kv_heads * head_dim * bytes_per_value
    # END SOLUTION


# %% [markdown] id="real-models"
# ## Real models
#
# The next cell puts the configurations of published models through your function (through the reference, as long as yours
# has not passed). The last column is what a token *would* cost if every query head kept a key and a value of its own. For
# latent attention the function is given: one vector per layer, and no factor 2, because key and value come from the same
# vector.

# %% id="real-models-table"
from labkit.cache.geometry import MODELS, latent_bytes
from labkit.mine import kv_bytes

print(f"{'':<16} kind layers  heads: query  KV  head_dim"
      f"   per token  all heads kept")
per_token, all_heads = {}, {}
for name, shape in MODELS.items():
    layers, head_dim, kv_heads = shape.num_layers, shape.head_dim, shape.num_kv_heads
    if shape.attention == "MLA":
        per_token[name], kv_heads = latent_bytes(layers, shape.latent_dim, 2), "-"
    else:
        per_token[name] = kv_bytes(layers, kv_heads, head_dim, 2)
    all_heads[name] = kv_bytes(layers, shape.num_query_heads, head_dim, 2)
    print(f"{name:<16} {shape.attention:<4} {layers:>6} {shape.num_query_heads:>13}"
          f" {kv_heads:>3} {head_dim:>9} {per_token[name] / 1024:>7.1f} KiB"
          f" {all_heads[name] / 1024:>11.1f} KiB")

# %% id="real-models-figure"
from labkit.widgets.token_figures import bytes_per_token

bytes_per_token(per_token, all_heads)

# %% [markdown] id="after-real-models"
# Two things to take from it. The size of the weights says little about the size of the cache: Llama-2-7B and Falcon-7B
# both have about 7 billion parameters, and the first keeps 64 times as much of a token as the second. And the number of
# *query* heads says nothing at all. A calculator that reads `num_attention_heads` from a configuration where it should
# read `num_key_value_heads` is wrong by the size of a group.
#
# ## Layers with a window
#
# In some models a part of the layers looks back only a fixed number of tokens, the **sliding window**. Such a layer needs
# to keep no more than its window, however long the conversation gets. What a token costs then depends on how many there
# are already: in Gemma-2-9B, every other of the 42 layers has a window of 4,096 tokens.

# %% id="windows-figure"
from labkit.widgets.token_figures import conversation_sizes

conversation_sizes(["Gemma-2-9B", "Llama-3.1-8B", "Mistral-7B-v0.1"])

# %% [markdown] id="after-windows"
# Up to the dotted line, at 4,096 tokens, all three grow in proportion. Beyond it, a layer with a window gives back one
# token for each that it takes. Mistral-7B-v0.1, whose layers all have a window, stops growing; Gemma-2-9B goes on at half
# the pace. Remember the bend: a server that has to know how much a request will hold must know which side of it the
# request is on. You will meet one that does not.

# %% [markdown] id="about-predict"
# ## What the cache saves: time
#
# So much for what the cache costs. What does it save? Suppose you keep nothing. The next token follows from the last row of
# attention, which needs the keys and values of *all* tokens, so in every step all of them are computed again, the new
# ones included.

# %% id="predict-p1"
predict("02", "p1")

# %% id="reveal-p1"
from labkit.attention.decode_by_hand import decode_from_scratch
from labkit.attention.toy_model import ToyModel
from labkit.mine import decode_cached

prompt = [3, 1, 4, 1, 5] * 20
forgetful, keeping = ToyModel(3), ToyModel(3)
without = decode_from_scratch(forgetful, prompt, 50)
with_cache = decode_cached(keeping, prompt, 50)
print("without a cache", f"{forgetful.num_projected:>6,} tokens computed")
print("with a cache   ", f"{keeping.num_projected:>6,} tokens computed")
print("same text:", without == with_cache)

# %% [markdown] id="after-p1"
# Hold your number against the first line. Without a cache each step computes all tokens so far once more, so the work
# of a text grows with the *square* of its length. With the cache each token is computed once, all but the last new one:
# nobody has asked yet what follows it. (If the second line says one more once your own loop is in, your loop computes
# that token as well: the text is right, and the last call of the model is for nothing.)
#
# Those were counts on a toy. The next cell measures the real thing, on your machine: how long one more token takes
# after 64, 128, 256 and 512 tokens. It loads SmolLM2-135M if `labkit model fetch` has brought it, else a tiny stand-in,
# and says so; the stand-in is so small that its curves are mostly overhead.

# %% id="real-time" tags=["nbval-ignore-output"]
from labkit.serving import load

lm = load()
text = "A library lends books, and somebody has to know where each of them is. " * 60
ids = lm.prompt_ids(text, chat=False)
lm.generate(ids[:64], max_new_tokens=2, stop=False)  # the first run is slower: not measured

context = [64, 128, 256, 512]
milliseconds = {"no cache": [], "with a cache": []}
for n in context:
    for kind, cache, steps in (("no cache", "none", 2), ("with a cache", "contiguous", 6)):
        answer = lm.generate(ids[:n], max_new_tokens=steps, cache=cache, stop=False)
        milliseconds[kind].append(1000 * min(answer.step_s))  # the least disturbed step
    slow, fast = (times[-1] for times in milliseconds.values())
    print(f"{lm.name}, one more token after {n:>3}: {slow:>7.1f} ms without a cache,"
          f" {fast:>6.1f} with")

# %% id="real-time-figure" tags=["nbval-ignore-output"]
from labkit.widgets.token_figures import step_times

step_times(lm.name, context, milliseconds)

# %% [markdown] id="after-real-time"
# Without a cache, one more token costs what reading the whole text costs. With it, the step is nearly flat: the model
# computes one token, whatever came before. Attention still has to read everything that is kept, so there is a rise; at
# these lengths it is smaller than the noise of the measurement.
#
# ## What the time is made of
#
# In a step a processor reads from its memory, and it computes, both at once, so the longer of the two counts (the
# *roofline model*; Williams, Waterman and Patterson, 2009). To be read are all the weights, once per step, and the keys and
# values of every request that takes part. To be computed is one row per token. In a decode step the reading is by far the
# longer, and nearly all of it is weights, as you can work out with your own function:

# %% id="bytes-a-step"
from labkit.cache.geometry import GiB, model
from labkit.mine import kv_bytes

small = model("SmolLM2-135M")
one_token = kv_bytes(small.num_layers, small.num_kv_heads, small.head_dim, 2)
print(f"SmolLM2-135M: weights {small.weights_bytes / 2**20:.0f} MiB")
print(f"after 512 tokens the cache holds {512 * one_token / 2**20:.1f} MiB")
print(f"it is as large as the weights after {small.weights_bytes // one_token:,} tokens")

# %% [markdown] id="about-batches"
# Now let several requests take part in the same step. The weights are read once for all of them, and each adds only its own
# row, keys and values. Here is what that comes to for a model of 8 billion parameters on an H100, where each request has
# 2,000 tokens so far. These times are computed, not measured: from the card's data sheet, of which 60% is taken to be
# reached, and 4 ms per step for all the rest. The simulations of lessons 16 to 20 count time in the same way.

# %% id="batches"
from labkit.simulate.cost_model import CARDS, cost_model

large = model("Llama-3.1-8B")
one_token = kv_bytes(large.num_layers, large.num_kv_heads, large.head_dim, 2)
cost = cost_model(CARDS["H100"], large)
print("requests   ms per step   tokens per second   GiB of keys and values")
for requests in (1, 2, 4, 8, 16, 32, 64, 128):
    tokens = 2_000 * requests  # whose keys and values are read
    step_s = cost.seconds(requests, tokens, tokens)
    print(f"{requests:>8}{1000 * step_s:>14.1f}{requests / step_s:>20,.0f}"
          f"{tokens * one_token / GiB:>25.1f}")

# %% [markdown] id="after-batches"
# A step for 32 requests takes a third longer than a step for one, and delivers 24 times as many tokens. That is the reason
# for this whole course: **fitting more requests into memory raises throughput**, because each of them is nearly free in
# time. It does not go on like that: from 64 requests on their keys and values take longer to read than the weights, and
# from 64 to 128 the tokens per second rise by less than half. And what the last column says has to find room beside 15 GiB
# of weights.

# %% [markdown] id="about-attend-last"
# ### Exercise: `attend_last` (12 minutes, difficulty 3, importance 4)
#
# Now the step itself, in two pieces. The first is attention for the last token, with all its heads.
#
# Lesson 01's `attend(q, K, V)` takes one query vector `[d]`, keys `[n, d]` and values `[n, dv]`, and gives a mixture
# `[dv]`. Here the last token has `q_heads` queries, and the cache holds keys and values for `kv_heads` heads, often fewer.
# **Neighbouring query heads share a KV head**, as in the figure: with 4 query heads over 2 KV heads, query heads 0 and 1
# read KV head 0, and query heads 2 and 3 read KV head 1.
#
# No mask is needed. The last token has no future, it sees everything that is in the cache, itself included.
#
# `math`, `torch`, `Tensor`, and your `attend` and `scores` from lesson 01 are imported for the cell. A loop over heads is
# fine.

# %% id="ex-attend-last"
# %%exercise attend_last
def attend_last(q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    """Attention of the last token of a sequence, all heads.

    Args:
        q: the last token's queries, [q_heads, d].
        K: the keys of all n tokens so far, the last one's included, [n, kv_heads, d].
            q_heads is a multiple of kv_heads.
        V: their values, [n, kv_heads, dv].

    Returns:
        One row for each query head, [q_heads, dv].
    """
    # BEGIN SOLUTION
    group = q.shape[0] // K.shape[1]
    rows = []
    for h in range(q.shape[0]):
        kv = h // group
        rows.append(attend(q[h], K[:, kv], V[:, kv]))
    return torch.stack(rows)
    # END SOLUTION


# %% [markdown] id="halfway"
# ## Half way
#
# You know what a token costs, and you have the one piece of attention that decoding needs. A good place to stop and come
# back: what you passed is kept.

# %% id="save"
save_point("02")

# %% [markdown] id="the-toy"
# ## Decoding with a cache
#
# For the second piece you get a model that fits on a page: `ToyModel`, one layer, 4 query heads, 2 KV heads, 32 possible
# tokens. Its text means nothing. It has two methods:
#
# - `model.project(tokens, start)` computes queries, keys and values of a list of tokens that stand side by side, the first
#   of them at position `start` of the sequence. The position goes into key and query, as lesson 01 said, so it matters.
#   Every token that you hand it is counted.
# - `model.next_token(row)` takes what attention gave for the last token, and says which token comes next.
#
# This is the loop that forgets everything. It is right, and it is what took 6,225 computed tokens above.
#
# ```python
# def decode_from_scratch(model, prompt, num_new):
#     tokens = list(prompt)
#     for _ in range(num_new):
#         q, K, V = model.project(tokens, 0)  # every token, every time
#         tokens.append(model.next_token(attend_last(q[-1], K, V)))
#     return tokens[len(prompt):]
# ```
#
# Look at what it throws away. In the second step `K` has one row more than in the first. All its other rows are the same
# numbers, computed once more.

# %% [markdown] id="about-decode-cached"
# ### Exercise: `decode_cached` (12 minutes, difficulty 3, importance 5)
#
# Write the loop that computes each token once. Three things happen in a step: what is new is projected, its keys and values
# are appended to what is kept (`torch.cat([K, k])` puts the rows of `k` below those of `K`), and the query of the last
# token attends over all of it. In the first step the whole prompt is new; that is *prefill*. In every later step only the
# token chosen last is; that is *decode*.
#
# Mind the position of a new token. The check compares your text with the loop above, and watches what you ask the model to
# compute. `torch` and your `attend_last` are imported for the cell.

# %% id="ex-decode-cached"
# %%exercise decode_cached
def decode_cached(model, prompt: list[int], num_new: int) -> list[int]:
    """Greedy decoding that computes the key and value of each token once and keeps them.

    Args:
        model: has project(tokens, start) -> (q, k, v), where q is [n, q_heads, d] and k and v
            are [n, kv_heads, d], and next_token(row) -> token id, where row is [q_heads, d].
        prompt: token ids, at least one; left as it is.
        num_new: how many tokens to generate, 0 or more.

    Returns:
        The num_new new token ids, without the prompt.
    """
    # BEGIN SOLUTION
    answer = []
    K = V = None
    new, start = list(prompt), 0
    for _ in range(num_new):
        q, k, v = model.project(new, start)
        K = k if K is None else torch.cat([K, k])
        V = v if V is None else torch.cat([V, v])
        start += len(new)
        new = [model.next_token(attend_last(q[-1], K, V))]
        answer += new
    return answer
    # END SOLUTION


# %% [markdown] id="your-loop"
# Both loops at work on a prompt of 6 tokens. A row is one call of `project`. Solid: computed in it. Hatched: taken from
# the cache.
#
# Two things to look for if the loop is yours. A last row for a token that nobody asks about is one call too many. And if
# the prompt takes a row for each of its tokens, each is computed once, as the rules ask, but in six calls where one would
# do. Each call reads all the weights, so engines hand a prompt over in one piece or in a few large ones.

# %% id="your-loop-figure"
from labkit.attention.decode_by_hand import decode_from_scratch
from labkit.attention.toy_model import ToyModel
from labkit.mine import decode_cached
from labkit.widgets.token_figures import computed_tokens

forgetful, keeping = ToyModel(3), ToyModel(3)
without = decode_from_scratch(forgetful, [3, 1, 4, 1, 5, 9], 10)
with_cache = decode_cached(keeping, [3, 1, 4, 1, 5, 9], 10)
print("same text:", without == with_cache)
runs = {"from scratch": forgetful.calls, "with a cache": keeping.calls}
computed_tokens(runs)

# %% [markdown] id="start-up"
# ## How many fit
#
# Back to the GPU of the first paragraph. When a serving engine starts, it decides once how much memory the cache gets:
#
# 1. Of the GPU's memory it may use a share, say 90%. The rest is left to whatever else runs there.
# 2. The weights take their part.
# 3. A step needs room for intermediate results. The engine tries its largest step and looks at the **activation peak**.
# 4. What is left is cut into **blocks** of, say, 16 tokens. How they are handed out is lesson 04; here we count them.
#
# Then it divides: how many requests of full length have room at the same time? That is the **maximum concurrency** which
# vLLM, for one, writes into its log when it starts.

# %% id="start-up-numbers"
from labkit.cache.geometry import GiB, model, start_up

shape = model("Llama-3.1-8B")
plan = start_up(shape, 80 * GiB, activation_peak_bytes=2 * GiB,
                memory_share=0.9, block_size=16)
print(f"may be used         {plan.usable_bytes / GiB:>6.1f} GiB")
print(f"weights             {plan.weights_bytes / GiB:>6.1f} GiB")
print(f"activation peak     {plan.activation_peak_bytes / GiB:>6.1f} GiB (engines measure it)")
print(f"left for the cache  {plan.kv_cache_bytes / GiB:>6.1f} GiB")
print(f"which is {plan.num_blocks:,} blocks, room for {plan.num_slots:,} tokens")
for tokens in (1_024, 8_192, 32_768, 131_072):
    print(f"requests of {tokens:>7,} tokens: {plan.max_concurrency(tokens):>6.1f}")

# %% [markdown] id="after-start-up"
# There are the few dozen long conversations. Nothing was wrong with the server; the plan had counted the weights and
# forgotten the cache.
#
# An engine logs a fraction because it divides one size by another: 13.8 means that 13 whole requests of that length fit,
# and that the room left over would do for most of another, or for shorter ones. Where the question is how many *fit*,
# round down.
#
# The number is a promise for the worst case, every request at full length. Real requests are shorter, so more of them fit.
# *How many* more, and what it takes to be able to use the room, is the subject of all lessons from here on.
#
# ## On several GPUs
#
# A model that is too large for one GPU is cut up. Under **tensor parallelism** each GPU takes a share of the heads, and
# with them a share of the keys and values. So twice the GPUs, half the cache on each. That holds as long as there are KV
# heads to divide.

# %% id="several-gpus"
from labkit.cache.geometry import kv_bytes_per_token, kv_heads_per_gpu, model
from labkit.errors import GeometryError

large = model("Llama-3.1-70B")
print(f"{large.name}, {large.num_kv_heads} KV heads")
for gpus in (1, 2, 4, 8, 16, 32):
    heads = kv_heads_per_gpu(large, gpus)
    each = kv_bytes_per_token(large, tensor_parallel=gpus)
    print(f"{gpus:>3} x GPU   KV heads on each {heads}   a token on each"
          f" {each / 1024:>4.0f} KiB   in all {gpus * each / 1024:>5.0f} KiB")
try:
    kv_bytes_per_token(model("Falcon-7B"), tensor_parallel=2)
except GeometryError as error:
    print("\nGeometryError:", error)

# %% [markdown] id="after-several-gpus"
# A KV head cannot be cut in two: every GPU needs at least one, whole. From 16 GPUs on the 8 heads are kept in more than
# one copy, a token costs each GPU as much as before, and in all it costs more. A model with one KV head gains nothing from
# the first GPU on, and Falcon-7B, whose 71 query heads are a prime number, cannot be shared evenly at all.

# %% [markdown] id="about-break-it"
# ### Break it: the gate that never opens (8 minutes, difficulty 3, importance 3)
#
# A server has layers with a window. It asks two questions about a request. At the door: could this ever be served? And
# before each step: may it start now? One evening its log says `Running: 0 reqs, Waiting: 1 reqs`, the cache is empty, and
# it stays like that until somebody aborts the request. Nobody behind it was served either.
#
# A block is smaller here than above. There it held 16 tokens in *all* layers; in this server it holds 16 tokens of *one*
# layer. It has to: when a layer with a window gives up its oldest tokens, the other layers still need theirs. So a
# sequence of 48 tokens takes 3 blocks in every layer that keeps all of it.
#
# ```python
# class Gate:
#     def __init__(self, num_blocks, full_layers,
#                  window_layers, window):
#         ...
#
#     def accepts(self, tokens):  # at the door
#         seen = min(tokens, self.window)
#         full = self.full_layers * blocks_needed(tokens, 16)
#         windowed = self.window_layers * blocks_needed(seen, 16)
#         return full + windowed <= self.num_blocks
#
#     def starts(self, tokens):  # on an empty cache
#         layers = self.full_layers + self.window_layers
#         return layers * blocks_needed(tokens, 16) <= self.num_blocks
# ```
#
# (`blocks_needed(tokens, 16)` is the number of tokens divided by 16, rounded up.)
#
# Catch it: choose a server and a request that a right gate lets in and starts, and this one lets in and never starts. The
# list below does not do it.

# %% id="ex-break-it"
# %%exercise break_the_gate
# BEGIN SOLUTION
ops = [
    ("Gate", 4, 1, 1, 16),
    ("request", 48),
]
# END SOLUTION
# BEGIN STUB
# # ("Gate", num_blocks, full_layers, window_layers, window), then ("request", tokens)
# ops = [
#     ("Gate", 100, 2, 2, 64),
#     ("request", 64),
# ]
# END STUB

# %% [markdown] id="after-break-it"
# Two formulas for one quantity, each of them reasonable. The cure is not a better second formula but having only one. Real
# servers have had this fault more than once; *In production* below names two reports.

# %% [markdown] id="how-many"
# ## The plan, done again
#
# One picture for the whole lesson: how many requests fit on a GPU of 80 GiB, by the length of a request.

# %% id="how-many-figure"
from labkit.cache.geometry import GiB
from labkit.widgets.token_figures import requests_at_once

names = ["Gemma-2-9B", "Llama-3.1-8B", "Llama-2-7B", "Falcon-7B"]
requests_at_once(names, gpu_memory_bytes=80 * GiB, activation_peak_bytes=2 * GiB)

# %% [markdown] id="after-how-many"
# All four models have between 6.7 and 9.3 billion parameters. What separates them is the KV heads, how many and how long,
# the number of layers, and the window. Gemma-2-9B and Llama-3.1-8B both have 8 KV heads, but Gemma's are twice as long and
# it has 42 layers where Llama has 32; see also where its line bends away from its neighbours.
#
# Each line assumes that memory is used perfectly, every byte for a token that exists. The next lesson looks at what happens
# when it is handed out in one piece per request. Expect a good deal less.

# %% [markdown] id="questions"
# ## Questions

# %% id="quiz"
quiz("02")

# %% id="finish"
finish("02")

# %% [markdown] id="stretch" tags=["fold"]
# ## Stretch: how many blocks fit
#
# ### Exercise: `blocks_that_fit` (8 minutes, difficulty 2, importance 3)
#
# The sum of an engine's first minute, from bytes to blocks. Mind what the share is a share *of*, and what the answer is
# when the model is too large.

# %% id="ex-blocks-that-fit"
# %%exercise blocks_that_fit
def blocks_that_fit(
    gpu_memory_bytes: int,
    memory_share: float,
    weights_bytes: int,
    activation_peak_bytes: int,
    block_bytes: int,
) -> int:
    """Blocks that a GPU has room for.

    Args:
        gpu_memory_bytes: all of the GPU's memory.
        memory_share: the part of all of it that the engine may use, weights included;
            above 0 and at most 1.
        weights_bytes: the weights on this GPU.
        activation_peak_bytes: what the largest step needs beside them.
        block_bytes: one block with all its layers, 1 or more.

    Returns:
        A whole number of blocks; 0 where not even one fits. A GPU of 1,000 bytes at a share of
        0.5, with weights of 200 and a peak of 100, has room for 20 blocks of 10.
    """
    # BEGIN SOLUTION
    left = int(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes
    return max(left, 0) // block_bytes
    # END SOLUTION


# %% id="use-blocks-that-fit"
from labkit.cache.geometry import GiB, model
from labkit.mine import blocks_that_fit, kv_bytes

shape = model("Qwen3-8B")
block_bytes = 16 * kv_bytes(shape.num_layers, shape.num_kv_heads, shape.head_dim, 2)
for gib in (16, 24, 48, 80):
    blocks = blocks_that_fit(gib * GiB, 0.9, shape.weights_bytes, 2 * GiB, block_bytes)
    print(f"{shape.name} on {gib} GiB: {blocks:>6,} blocks, room for {16 * blocks:>7,} tokens")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production
#
# - **vLLM** does the sum in `determine_available_memory` (`vllm/v1/worker/gpu_worker.py`, 0.33.0 read): a trial step on
#   made-up inputs, then the share of the whole GPU less what that step showed. The share is `--gpu-memory-utilization`; 0.9
#   for years, 0.92 in 0.33.0, so look at yours. `vllm/v1/core/kv_cache_utils.py` then logs *GPU KV cache size: ...
#   tokens* and *Maximum concurrency for ... tokens per request*. It is the first line to read when a server seems small.
# - The share is not the same thing everywhere. In vLLM and in **SGLang** (`--mem-fraction-static`) it is a share of all
#   memory, weights included. **TensorRT-LLM**'s `free_gpu_memory_fraction` is a share of what is *free*, by default 0.9
#   (its documentation of `KvCacheConfig`). Carrying 0.9 from one to the other changes the cache.
# - A shorter `--max-model-len` makes no block more. It raises the *concurrency* that is logged, because the worst case is
#   shorter, and it keeps out the requests that could never fit.
# - **The gate that never opens** is vLLM issue 39734 (April 2026): Gemma-4-31B on two H100, a cache of 76,640 tokens, a
#   limit of 262,144. A request between the two is accepted and never starts, and all others wait behind it. A door that
#   counted windowed layers and a gate that did not is vLLM-Ascend pull request 9543 (May 2026): DeepSeek-V4-Flash requests
#   beyond 32k tokens hung while the cache was nearly empty, 5,703 blocks counted against 5,011 free.
# - `--kv-cache-dtype fp8` halves what a token costs. What it costs in accuracy is the subject of lesson 15.
# - vLLM's `vllm:cache_config_info` and SGLang's `sglang:token_usage` are where a dashboard finds these numbers again.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked about memory planning wrote the sentence below. Is it true, false, or too broad? Pick the
# judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("02", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## Why the work grows with the square
#
# A prompt of $p$ tokens, $m$ new ones. Without a cache, step $i$ (counted from 0) computes $p + i$ tokens, in all
#
# $$\sum_{i=0}^{m-1} (p + i) = mp + \frac{m(m-1)}{2}.$$
#
# With a cache it is $p + m - 1$: every token but the last new one, once. For $p = 100$, $m = 50$ that is 6,225 against 149.
#
# Computing a token is most of the work, but not all. Attention looks from each computed token at all tokens before it, so
# with a cache the *looking* still grows with the square: $p + i$ keys in step $i$. What a cached step saves is the
# projections, the feed-forward layers and everybody else's attention; what it cannot save is reading what is kept.
