# %% [markdown] id="symptom"
# # 01. Attention by hand
#
# You paste a long report into a chat and ask one question about it. For a while nothing happens. Then the first word
# comes, and the rest of the answer follows at an even pace. Somebody else, whose answer was being written by the same
# machine, saw it stand still for just as long as you waited.
#
# The same model makes every one of these words. Why does the first take so much longer than the second? What is done in
# that silence, what of it is kept, and why does it hold up other people?
#
# The answer lies in one operation. You will build it in a few lines, from one query and three keys up to a whole
# **prompt** (the text that you send), until you can point at the numbers that have to be kept from one word to the next.
# Those numbers are the **KV cache**. Where to put them is what the rest of the course is about.

# %% id="start"
from labkit.lesson import finish, predict, quiz, save_point, start

start("01")

# %% [markdown] id="tokens"
# ## One query, three keys
#
# A language model reads and writes **tokens**: words and pieces of words. Inside the model each token is a vector, a
# list of numbers. The model is a stack of layers, and each layer replaces every vector by a better one. Nearly all of
# that work treats each token by itself. **Attention** is the one step in which tokens look at each other.
#
# For it, every token makes three short vectors out of its own:
#
# - a **query** `q`, which says what this token is looking for;
# - a **key** `k`, which says what it can be found by;
# - a **value** `v`, which is what it hands over when it is found.
#
# Here are the query of one token and the keys and values of three. They have only two numbers each, so that you can see
# them. One plane shows the query and the keys, the other the values. The table holds all the arithmetic there is.

# %% id="play"
from labkit.widgets import AttentionPlay

AttentionPlay()

# %% [markdown] id="play-try"
# Four things to try:
#
# 1. **Turn `q` to a right angle with `k0`.** Their product q·k0 becomes 0: it is the first number of one times the first of
#    the other, plus the second times the second. Then point at a row of the table: the thick line is how far along the
#    query's line that key lies, and the sentence below multiplies it by the length of the query. That is the product.
# 2. **Pull `q` to the origin**, where the axes cross. All scores are 0. Every value counts the same, and the mixture is
#    their mean.
# 3. **Pull `q` outwards**, without turning it. The order of the keys stays, but the weights sharpen, and the mixture runs
#    towards one corner.
# 4. **Try to get the mixture out of the triangle.** You cannot: the weights are positive and sum to 1.
#
# So attention is a soft lookup. A table would hand over the value of the one key that fits. Attention hands over a mixture
# of all values, in proportions that tell how well each key fits.

# %% [markdown] id="where-from"
# ### Where the three vectors come from
#
# From three matrices, which were learned in training and are the same for every token. With the tokens' vectors as the
# rows of `X`, one matrix product makes all the queries at once, a second one all keys, a third all values. By custom,
# matrices with one row per token have capital letters. How many numbers a token's own vector has is called its *hidden*
# width, since it is not seen outside the model; `d` is the width of a query and of a key.

# %% id="projections"
import torch

n, hidden, d = 3, 6, 2


def draw(*shape, seed):
    """Random numbers, the same at every run, in float64: about 16 digits each."""
    numbers = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=numbers)


X = draw(n, hidden, seed=1)
W_q, W_k, W_v = draw(3, hidden, d, seed=2)  # three matrices at once
Q, K, V = X @ W_q, X @ W_k, X @ W_v

for name, matrix in {"X": X, "W_q": W_q, "Q": Q, "K": K, "V": V}.items():
    print(f"{name:<4}{tuple(matrix.shape)}")

# %% [markdown] id="positions"
# ### Where a token stands
#
# One thing is missing so far. To a token that comes after both, *dog bites man* and *man bites dog* are the same three keys
# and values in another order, and a sum does not depend on the order: as described, attention could not tell the two apart.
# So a model also tells each key where it stands. In SmolLM2, as in most models of today, every query and every key is
# turned by an angle in proportion to its position before the two meet (**rotary position embedding**, Su et al., 2021);
# their product then depends on how far apart they stand.
#
# It follows that a key is not the same for a token anywhere: *dog* at place 0 and *dog* at place 2 have different keys.
# (Values are not turned.) In the exercises the keys come as they are, and your functions need not know.

# %% [markdown] id="scores-text"
# ### Exercise: `scores` (6 minutes, difficulty 1, importance 4)
#
# Write the first half of the picture's table: the score of every key for one query. For a query `q` and a key `k`, both of
# `d` numbers,
#
# $$\text{score} = \frac{q \cdot k}{\sqrt d} = \frac{q_0 k_0 + q_1 k_1 + \dots + q_{d-1} k_{d-1}}{\sqrt d}$$
#
# The keys come as the rows of `K`, so the answer has one number for each row. A loop is fine; one matrix product is
# shorter. The root of `d` keeps the scores in the same range however long the vectors are; why it is the root is worked
# out at the end of the notebook.
#
# This product is all that a key is ever used for. Keep that in mind for the end of the lesson.

# %% id="ex-scores"
# %%exercise scores
import math

from torch import Tensor


def scores(q: Tensor, K: Tensor) -> Tensor:
    """The score of every key for one query.

    Args:
        q: the query, shape [d].
        K: the keys, one per row, shape [n, d]. Same dtype as q. Not to be changed.

    Returns:
        Shape [n], same dtype: entry i is the product of q with row i of K, divided by
        the square root of d.

    Example:
        q = [1, 1, 2, 0] and the one key [3, 1, 0, 5]: the products are 3, 1, 0 and 0,
        their sum is 4, and 4 / 2 = 2. The answer is [2].
    """
    # BEGIN SOLUTION
    return K @ q / math.sqrt(q.shape[0])
    # END SOLUTION

# %% [markdown] id="softmax-text"
# ## From scores to weights
#
# The weights must be positive and sum to 1, and a higher score must get a larger one. **Softmax** does that: take the
# exponential of every score, then divide each by the sum of all.
#
# $$w_i = \frac{e^{s_i}}{e^{s_0} + e^{s_1} + \dots + e^{s_{n-1}}}$$
#
# Only *differences* between scores count. Add 5 to every score, and every exponential is multiplied by the same number,
# which cancels. A key that scores 1 higher than another gets about 2.7 times its weight, wherever the two stand.
#
# That is more than a curiosity. An exponential outgrows every float soon, and then this happens:

# %% id="overflow"
s = torch.tensor([1000.0, 1001.0], dtype=torch.float64)
e = torch.exp(s)
print("exponentials:", e.tolist())
print("weights:     ", (e / e.sum()).tolist())

# %% [markdown] id="attend-text"
# Infinity divided by infinity is not a number (NaN). Everything that is computed from it is NaN as well, so one such score
# in one layer is the end of the answer. Yet the two weights are perfectly ordinary: the scores differ by 1, so they must be
# the same as for scores of 0 and 1.
#
# ### Exercise: `attend` (8 minutes, difficulty 2, importance 5)
#
# Write all of the picture: scores, weights, mixture. `scores` is there for you (yours, if it has passed). Do the softmax by
# hand rather than call `torch.softmax`: it is two lines, and lesson 10 computes them piece by piece. It
# must give the right weights for scores of any size, large and small, positive and negative.
#
# This is all of attention. What follows only does it for many queries at once.

# %% id="ex-attend"
# %%exercise attend
import torch
from torch import Tensor

from labkit.mine import scores


def attend(q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    """What one query takes away from n keys and values.

    Args:
        q: the query, shape [d].
        K: the keys, shape [n, d], n at least 1.
        V: the values, shape [n, dv]; dv may differ from d.
        None of the three is to be changed.

    Returns:
        Shape [dv], same dtype: the rows of V, each times its weight, added up. The
        weights are the softmax of scores(q, K), finite and right for scores of any size.

    Example:
        q = [0, 0]: all scores are 0, so the answer is the mean of the rows of V.
    """
    # BEGIN SOLUTION
    s = scores(q, K)
    e = torch.exp(s - s.max())
    return (e / e.sum()) @ V
    # END SOLUTION

# %% [markdown] id="mask-text"
# ## The mask
#
# A language model is trained to say, at every place of a text, which token comes next. The token at place 5 must therefore
# not see place 6: there it would find the answer. So each token attends to itself and to everything before
# it, and to nothing after it. This is the **causal mask**.
#
# To hide a key is to give it the score minus infinity. Its exponential is exactly 0, so it stands neither in the mixture nor
# in the sum that the exponentials are divided by. Below, you look through the eyes of token 1 of three: token 2 comes after
# it, so `k2` is not ticked as *seen* in the table.

# %% id="play-mask"
AttentionPlay(
    query=(0.5, 1.0),
    hidden=[2],
    title="Token 1 of three: token 2 is its future",
    task="Pull k2 close to q: its q·k grows, but the mixture does not move. "
    "Now tick 'seen' for k2.",
)

# %% [markdown] id="mask-picture-text"
# With all queries as rows, the scores form a table: row i is query i, column j is key j. The mask is a triangle.

# %% id="mask-picture"
from labkit.widgets import attention_figures

attention_figures.seen_table(5)

# %% [markdown] id="causal-text"
# ### Exercise: `causal_attend` (14 minutes, difficulty 3, importance 5)
#
# Compute every row at once: row i is query i, attending to keys and values 0 to i, itself included. Two ways lead there,
# and both pass. Go row by row with `attend` and a slice, and `torch.stack` the rows; that takes some 6 minutes. Or compute
# the whole table of scores as one product and hide the triangle before the softmax, along each row. That is closer to
# what real systems do.
#
# Three things for the table:
#
# - `torch.ones(n, n, dtype=torch.bool).triu(1)` is True strictly above the diagonal.
# - `s.masked_fill(where, value)` makes a copy of `s` with a value filled in.
# - `s.amax(dim=1, keepdim=True)` is the largest number of each row, as a *column* of shape [n, 1], and `sum` takes the same
#   two arguments. Without `keepdim` the n numbers come as shape [n]. Torch then lays them out as a row, without a word of
#   warning, and number j meets column j of the table where it should meet row j.
#
# You have written a softmax by hand, so `torch.softmax(s, dim=1)` is allowed from here on.
#
# Here `n` tokens have queries and keys of `d` numbers and values of `dv`; the three need not be equal.
#
# This is what a model does with your whole prompt in its first step.

# %% id="ex-causal-attend"
# %%exercise causal_attend
import math

import torch
from torch import Tensor

from labkit.mine import attend, scores


def causal_attend(Q: Tensor, K: Tensor, V: Tensor) -> Tensor:
    """Attention of all tokens of a text, none of which sees a later one.

    Args:
        Q, K: queries and keys, one row per token, shape [n, d], n at least 1.
        V: values, shape [n, dv]. None of the three is to be changed.

    Returns:
        Shape [n, dv], same dtype: row i is attend(Q[i], K[: i + 1], V[: i + 1]).

    Example:
        Row 0 sees nothing but itself, so it is V[0], whatever Q and K hold.
    """
    # BEGIN SOLUTION
    n, d = Q.shape
    s = Q @ K.T / math.sqrt(d)
    future = torch.ones(n, n, dtype=torch.bool).triu(1)
    s = s.masked_fill(future, -math.inf)
    e = torch.exp(s - s.max(dim=1, keepdim=True).values)
    return (e / e.sum(dim=1, keepdim=True)) @ V
    # END SOLUTION

# %% [markdown] id="weights-text"
# ## Your function in the real model
#
# SmolLM2 has 30 layers with 9 such attentions each (*heads*, which come next). The cell below takes a sentence through
# the model up to one of them, and hands the queries, keys and values that it finds there to your `causal_attend` (to the
# reference, as long as yours has not passed). What comes out must be what the model computes there itself.
#
# To see the weights, there is a trick: let the values be the rows of the identity matrix. Then the mixture *is* the list
# of weights. Look at the rows of *bites*, *it* and *hungry*: in this head of SmolLM2 each gives most of its weight to
# *dog*. Then write a sentence of your own, or look into another head, and run the cell again. (In layer 16, head 0, most
# tokens look at the one before them. Many heads give nearly all weight to the very first token, where they seem to look
# when there is nothing for them to find: an *attention sink*; Xiao et al., 2023.)

# %% id="real-head" tags=["nbval-ignore-output"]
from labkit.mine import causal_attend
from labkit.serving import load
from labkit.serving.one_head import one_head
from labkit.widgets import attention_figures

sentence = "The dog bites the man because it is hungry."
layer, head = 13, 8  # SmolLM2 has layers 0 to 29, with heads 0 to 8

lm = load()  # or a tiny stand-in, which says so
if lm.is_tiny:
    layer, head = 1, 3
real = one_head(lm, sentence, layer, head)
rows = causal_attend(real.Q, real.K, real.V)
same = torch.allclose(rows, real.rows, atol=0.02, rtol=0.02)
print(f"{lm.name}, layer {layer}, head {head}. Your rows are the model's own: {same}")
weights = causal_attend(real.Q, real.K, torch.eye(len(rows)))
attention_figures.weight_table(weights, real.pieces)

# %% [markdown] id="halfway"
# ## Half way
#
# You have written attention, and a language model has run on it. A good place to stop and come back: what you passed is
# kept.

# %% id="save"
save_point("01")

# %% [markdown] id="heads-text"
# ## Heads
#
# One query can look for one kind of thing. So a layer runs several attentions side by side, called **heads**. Each has its
# own matrices and therefore its own queries, keys and values; the rows of all heads are laid end to end.
#
# With one key and one value for every query (multi-head attention, **MHA**), a lot has to be kept for every token. But a
# head can be taken apart: a *query head* makes queries, a *KV head* makes a key and a value. It turned out that several
# query heads can share one KV head and little is lost (grouped-query attention, **GQA**; Ainslie et
# al., 2023). In the extreme all share a single one (multi-query attention, **MQA**; Shazeer, 2019).

# %% id="heads-picture"
attention_figures.shared_heads()

# %% [markdown] id="gqa-text"
# In code, GQA is nothing but an index: query head `h` reads KV head `h // group`. Eight query heads over two KV heads, for
# the last of five tokens:

# %% id="gqa"
from labkit.cache.geometry import model
from labkit.mine import attend

n, q_heads, kv_heads, d = 5, 8, 2, 4
group = q_heads // kv_heads
q = draw(q_heads, d, seed=6)  # one token's queries, one per head
K, V = draw(2, n, kv_heads, d, seed=7)  # of all tokens, one per KV head

heads = [attend(q[h], K[:, h // group], V[:, h // group]) for h in range(q_heads)]
print("query head: KV head", {h: h // group for h in range(q_heads)})
print("the token's row:   ", len(torch.cat(heads)), f"numbers, from {q_heads} heads of {d}")
print("kept per token:    ", 2 * kv_heads * d, "numbers: a key and a value for each KV head")
print("kept under MHA:    ", 2 * q_heads * d, "numbers")

small = model("SmolLM2-135M")
print(f"\n{small.name}, the model of this course: {small.num_query_heads} query heads,")
print(f"{small.num_kv_heads} KV heads of {small.head_dim} numbers, in each of", end=" ")
print(f"{small.num_layers} layers")

# %% [markdown] id="heads-after"
# What is kept depends on the number of *KV* heads; how many query heads read it makes no difference. Lesson 02 turns these
# numbers into bytes. From here on there is one head again: all do the same.

# %% [markdown] id="grow-text"
# ## One token more
#
# Above the top layer, the model turns the vector of the *last* token into a number for every token that it knows, and one of
# them is chosen. That is the next token of the text. It is put at the end, and everything begins again with one token more.
#
# Now the step that the whole course rests on. Four tokens have gone through `causal_attend`, and four rows came out. A
# fifth token joins the text, and all five rows are computed: once with the mask, and once with no mask at all. Before you
# run the cell that shows it, say what you expect of the four old rows:

# %% id="p1"
predict("01", "p1")

# %% id="grow"
from labkit.mine import causal_attend

Q, K, V = draw(3, 5, 4, seed=3)


def without_mask(Q, K, V):
    return torch.softmax(Q @ K.T / K.shape[1] ** 0.5, dim=1) @ V


for name, attention in (("causal mask", causal_attend), ("no mask", without_mask)):
    four = attention(Q[:4], K[:4], V[:4])
    five = attention(Q, K, V)
    changed = [i for i in range(4) if not torch.allclose(four[i], five[i])]
    print(f"{name:<12} old rows that changed: {changed}")

# %% [markdown] id="grow-after"
# Hold your answer against the two lines. A row changes if its token sees the new one, which is in the future of all the
# others. And where an old row stays, so does everything that is made of it: the next layer's query, key and value for this
# token are what they were, and so on up to the top of the model. Under the mask, *nothing about an old token ever needs to
# be computed again.*
#
# So the next step needs only one new row, the last. And what does that row need of the past? Look at your `attend`: it
# takes **one** query, its own, and **all** the keys and values. The old queries are used by the old rows only. They are
# done.
#
# ### Exercise: `last_row_only` (6 minutes, difficulty 2, importance 5)
#
# Write one step of the answer. In comes the vector `x` of the new token, and the keys and values of the `n` tokens before it,
# kept from earlier steps. Make the new token's three vectors, let it attend to everything up to and including itself, and
# hand back its row together with the keys and values to keep for next time.
#
# `torch.cat([A, B])` puts the rows of `B` below those of `A`; `k[None]` makes a matrix with one row out of a vector.
# (`causal_attend` wants as many queries as keys, so it is no help to a single query; `attend` is.)
#
# `K` and `V`, handed on from call to call, are the KV cache.

# %% id="ex-last-row-only"
# %%exercise last_row_only
import torch
from torch import Tensor

from labkit.mine import attend


def last_row_only(
    x: Tensor, K: Tensor, V: Tensor, W_q: Tensor, W_k: Tensor, W_v: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The row of one new token, computed from kept keys and values.

    Args:
        x: the new token's vector, shape [hidden].
        K: keys of the n tokens before it, oldest first, shape [n, d]. n may be 0.
        V: their values, shape [n, dv]. K and V are not to be changed: make larger copies.
        W_q, W_k: shape [hidden, d]; the token's query is x @ W_q, its key x @ W_k.
        W_v: shape [hidden, dv]; its value is x @ W_v.

    Returns:
        (row, K, V). row, [dv], is the last row of causal attention over all n + 1 tokens.
        K, [n + 1, d], and V, [n + 1, dv], end in the new token's key and value.
        All three have the dtype of x.

    Example:
        n = 0: the token sees only itself, so row is x @ W_v.
    """
    # BEGIN SOLUTION
    K = torch.cat([K, (x @ W_k)[None]])
    V = torch.cat([V, (x @ W_v)[None]])
    return attend(x @ W_q, K, V), K, V
    # END SOLUTION

# %% [markdown] id="loop-text"
# Does it hold up? Feed a text of eight tokens through it one by one, and compare with all rows computed at once:

# %% id="loop"
from labkit.mine import causal_attend, last_row_only

X = draw(8, 6, seed=4)
W_q, W_k, W_v = draw(3, 6, 4, seed=5)

K, V = torch.empty(0, 4, dtype=torch.float64), torch.empty(0, 4, dtype=torch.float64)
one_by_one = []
for x in X:
    row, K, V = last_row_only(x, K, V, W_q, W_k, W_v)
    one_by_one.append(row)

at_once = causal_attend(X @ W_q, X @ W_k, X @ W_v)
print("same rows:", torch.allclose(torch.stack(one_by_one), at_once))
print("kept at the end: K", tuple(K.shape), "and V", tuple(V.shape))

# %% [markdown] id="phases-text"
# ## Prefill and decode
#
# A server does both. The tokens of your prompt are all known when it arrives, so their rows are computed together, in one
# step: the **prefill**. Its last row yields the first token of the answer. From there on each new token depends on the one
# before it, so the rows come one at a time: that is **decode**.
#
# In the picture every cell is one score. The prompt has five tokens, and five more are written. The prefill writes the
# first of these, so four decode steps are enough: each feeds the token written last and writes the next. The very last
# token is written and never fed.

# %% id="phases"
attention_figures.two_phases(prompt=5, answer=5)

# %% [markdown] id="count-text"
# Now with a prompt of the size of a report. Two ways to go on after it: keep the keys and values and compute one row per
# step, or keep nothing and compute all rows again every time.
#
# The two columns are two kinds of work. A *row* takes a token through all the matrices of every layer; that work is the
# same for each row. The *scores* are the attention proper; a row has more of them the further down it stands.

# %% id="count"
prompt, answer = 2000, 200


def scores_of(rows):
    """Scores in one head for the first `rows` rows of a text: row i has i + 1 of them."""
    return rows * (rows + 1) // 2


def line(name, rows, count):
    print(f"{name:<26}{rows:>9,}{count:>17,}")


# The prefill writes the first token of the answer, the decode steps the others.
lengths = range(prompt + 1, prompt + answer)  # of the text, in each decode step
print(f"a prompt of {prompt:,} tokens, an answer of {answer}:", end=" ")
print(f"1 prefill and {len(lengths)} decode steps\n")
print(f"{'':<26}{'rows':>9}{'scores per head':>17}")
line("step 1, prefill", prompt, scores_of(prompt))
line("step 2, K and V kept", 1, prompt + 1)
line("step 2, nothing kept", prompt + 1, scores_of(prompt + 1))
line("whole answer, K and V kept", prompt + len(lengths), scores_of(prompt) + sum(lengths))
again = [prompt, *lengths]  # every row of every step
line("whole answer, nothing kept", sum(again), sum(map(scores_of, again)))
more_rows = sum(again) / (prompt + len(lengths))
more_scores = sum(map(scores_of, again)) / (scores_of(prompt) + sum(lengths))
print(f"\nkept nothing: {more_rows:.0f} times the rows, {more_scores:.0f} times the scores")

# %% [markdown] id="time-text"
# Keep K and V, and a decode step is one row where the prefill was 2,000; keep nothing, and each step is as much work as
# the prefill and a little more.
#
# But rows are work, and work is not yet time. How much longer does a prefill *take* than a decode step? Measured on the
# model that is loaded above, on your machine, with 512 tokens:

# %% id="time" tags=["nbval-ignore-output"]
text = "A library lends books, and somebody has to know where each of them is. " * 60
ids = lm.prompt_ids(text, chat=False)[:512]
lm.generate(ids[:64], max_new_tokens=2, stop=False)  # the first run is slower: not measured
timed = lm.generate(ids, max_new_tokens=8, stop=False)
prefill = timed.prefill_s * 1e3
decode = min(timed.step_s) * 1e3  # the least disturbed step
print(f"{lm.name}: prefill {prefill:.0f} ms, a decode step {decode:.1f} ms")
print(f"{len(ids)} times the rows, {prefill / decode:.0f} times as long")

# %% [markdown] id="time-after"
# Many times as long, and by far not 512 times. (With the stand-in the figure says little: it is so small that most of
# its time is Python's.) A row does not take a fixed time, because a step has a **fixed part**: to compute even one row, all
# weights of the model have to be read from memory. They are read once per step, whether it computes one row or two
# thousand. A decode step is hardly anything but this fixed part.
#
# So a second row in the same step costs next to nothing. That is why servers **batch**, which means to let all requests
# that run take part in the same step, and why it pays to have room for one more request: it delivers more tokens for nearly
# the same time. What sets the limit is where the keys and values of all these requests are kept. Lesson 02 shows what time
# is made of, and counts it.
#
# ### Why others wait
#
# One question of the beginning is left: why does your prompt hold up somebody else's answer? A step carries one row of each
# answer that is being written, plus all rows of a prompt that has just arrived, and nobody's word is ready before the step
# is over. Here are ten steps of a server with a large GPU, to scale. Grey is the fixed part. A decode row adds so little
# to it that it is drawn as a line, the prompt of 2,000 tokens adds a block.

# %% id="shared-steps"
attention_figures.shared_steps(prompt=2000)

# %% id="shared-steps-numbers"
for part, milliseconds in attention_figures.step_parts(prompt=2000).items():
    print(f"{part:<8}{milliseconds:>6.1f} ms")

# %% [markdown] id="answer"
# ## Back to the silence
#
# You can now read the symptom. The silence was the **prefill**: thousands of rows before the first word. Then came decode,
# one row per word, at an even pace. (Even, not constant: the row gets longer with every token.) And the others stood still
# because they were in the same step: it carried your thousands of rows, and everyone's next word waited for its end. Once
# it was over, your request cost them hardly anything. Cutting the prompt into pieces softens the wait; lesson 16 does it.
#
# What made the second word quick is what was kept of the first step:
#
# | of an old token | needed by the next row? | so it is |
# |---|---|---|
# | its query | no, only its own row asked with it | dropped |
# | its row | no, the next layer has made its own K and V of it | dropped |
# | its key | yes, every later query meets it | **kept** |
# | its value | yes, every later mixture takes from it | **kept** |
#
# A key and a value, for every token, every KV head, every layer, as long as the request runs: that is the **KV cache**. It
# grows by one row per step, nobody knows in advance how far, and there is one for every request that the server works on.
# How large is it? That is lesson 02. Where do you put something that grows like this? That is the rest of the course.

# %% [markdown] id="break-text"
# ### Break it: the mask in the wrong corner (5 minutes, difficulty 2, importance 3)
#
# Here is a head that keeps its keys and values. Its author tested it on whole prompts and on decoding token by token, and
# all rows were right. It is wrong all the same.
#
# ```python
# class CachedAttention:
#     def __init__(self):
#         self.K = self.V = None
#
#     def feed(self, Q, K, V):  # those of the new tokens
#         self.K = K if self.K is None else torch.cat([self.K, K])
#         self.V = V if self.V is None else torch.cat([self.V, V])
#         s = Q @ self.K.T / math.sqrt(Q.shape[1])
#         if len(Q) > 1:  # one token alone may see everything
#             visible = torch.ones(s.shape, dtype=torch.bool).tril()
#             s = s.masked_fill(~visible, -math.inf)
#         return torch.softmax(s, dim=-1) @ self.V
# ```
#
# Catch it. Write `ops`, a list of calls in order: `("feed", 3)` feeds the next three tokens. A right head gives the same
# rows however a text is cut; find the shortest cut on which this one does not.
#
# A test passes on the cases that its author thought of. Here two were tested, and a server has a third.

# %% id="ex-break-the-mask"
# %%exercise break_the_mask
# Each entry is ("feed", how many new tokens), from 1 to 64. At most six entries.
# BEGIN SOLUTION
ops = [("feed", 1), ("feed", 2)]
# END SOLUTION
# BEGIN STUB
# ops = []
# END STUB

# %% [markdown] id="break-after"
# Caught? Then read on; this is the answer.
#
# Between the two phases lies a third case: several new tokens at once, with others already kept. A server meets it when it
# cuts a long prompt into pieces, so that other requests can take a step between them. The same slip has been made more than
# once. With `is_causal=True`, PyTorch's own `scaled_dot_product_attention` lays the triangle into the upper left corner,
# which its documentation says and its users stumble over (pytorch/pytorch issues 108108, 115111 and 144858). In 2026 it was
# found in the reference cache of ExecuTorch: in a prompt fed in pieces, the first query of the second piece saw key 0 and
# nothing else (pytorch/executorch, pull request 21749).

# %% [markdown] id="questions"
# ## Questions
#
# All of them can be answered in the head; a pencil helps.

# %% id="quiz"
quiz("01")

# %% id="finish"
finish("01")

# %% [markdown] id="in-production" tags=["fold"]
# ## In production

# %% [markdown] id="production-table"
# | what you built | where real systems have it |
# |---|---|
# | the two phases, seen from outside | vLLM: histograms `vllm:time_to_first_token_seconds` (waiting and prefill) and `vllm:inter_token_latency_seconds` (decode); and per request `vllm:request_queue_time_seconds`, `vllm:request_prefill_time_seconds`, `vllm:request_decode_time_seconds` |
# | the same in SGLang | `sglang:time_to_first_token_seconds`, `sglang:inter_token_latency_seconds` |
# | `causal_attend`, `last_row_only` | one code path: the vLLM V1 scheduler only knows how many tokens of a request are still to be computed, thousands (a prompt) or one (decode); the attention kernel gets both in one batch |
# | the mask for a piece of a prompt | PyTorch: `torch.nn.attention.bias.causal_lower_right(m, n)`, beside `is_causal=True`, which is the upper left one |
# | GQA | PyTorch: `scaled_dot_product_attention(..., enable_gqa=True)`; in a model's `config.json`: `num_attention_heads` and `num_key_value_heads` |
# | the long prompt that holds everyone up | chunked prefill: a prompt is fed in pieces under a token budget (`--max-num-batched-tokens` in vLLM), lesson 16 |
#
# Read in: vLLM 0.33.0, `vllm/v1/metrics/loggers.py` and `vllm/v1/core/sched/scheduler.py` (older versions call the second
# metric `vllm:time_per_output_token_seconds`); SGLang 0.5.23, `srt/observability/metrics_collector.py`; the docstrings of
# PyTorch 2.13.0.

# %% [markdown] id="verify-it" tags=["fold"]
# ## Verify it
#
# An assistant that was asked what a KV cache has to hold wrote the sentence below. Is it true, false, or too broad? Pick
# the judgement together with the evidence; the feedback links the cell that shows it.

# %% id="verify"
predict("01", "verify")

# %% [markdown] id="derivation" tags=["fold"]
# ## Why the square root of d?

# %% [markdown] id="root-text"
# Take a query and a key whose numbers are drawn at random, each with mean 0 and spread 1. (The spread, or standard
# deviation, says how far numbers typically lie from their mean; its square is the variance.) Every product of two such
# numbers has spread 1 as well. When independent numbers are added, their variances add. So a sum of `d` products has
# variance `d`, and its spread is the root of `d`. Dividing by that root brings the spread back to 1, whatever `d` is. This
# is the reason given in *Attention Is All You Need* (Vaswani et al., 2017, section 3.2.1, footnote 4).
#
# The cell below draws 20,000 pairs for several `d` and measures the spread with and without the division. Without it, wide
# vectors would give scores so far apart that one key takes nearly all the weight before anything has been learned.

# %% id="root-check"
import numpy as np

random = np.random.default_rng(0)
for width in (4, 16, 64, 256):
    q, k = random.standard_normal((2, 20_000, width))
    spread = (q * k).sum(axis=1).std()
    over_root = spread / width**0.5
    print(f"d = {width:>3}: spread of q·k {spread:5.1f}, over the root of d {over_root:.1f}")
