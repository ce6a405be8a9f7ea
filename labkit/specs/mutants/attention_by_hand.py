"""Wrong ways to write attention, each with the rule that must name it, and right ones in other styles."""

from __future__ import annotations

from labkit.grading.mutants import Mutant, Right

MUTANTS: list[Mutant] = []
RIGHT: list[Right] = []


def wrong(exercise: str, name: str, breaks: str, why: str, source: str) -> None:
    MUTANTS.append(Mutant(exercise, name, breaks, why, source))


def right(exercise: str, name: str, source: str) -> None:
    RIGHT.append(Right(exercise, name, source))


# ----- scores -----------------------------------------------------------------------------------------------------

wrong("scores", "no-scale", "divided-by-root-d",
      "These are the bare products: nothing is divided, so a wider vector would give larger scores for no better match.",
      "def scores(q, K):\n    return K @ q\n")
wrong("scores", "divided-by-d", "divided-by-root-d",
      "The sums are divided by d itself, not by its square root, which makes every choice milder than it should be.",
      "def scores(q, K):\n    return K @ q / q.shape[0]\n")
wrong("scores", "mean-of-products", "divided-by-root-d",
      "A mean over the products divides by d, the number of products; a score divides their sum by the root of d.",
      "def scores(q, K):\n    return (K * q).mean(dim=1)\n")
wrong("scores", "root-of-n", "divided-by-root-d",
      "K.shape[0] is the number of keys; the divisor comes from their width, so that adding a token changes no score.",
      "def scores(q, K):\n    return K @ q / math.sqrt(K.shape[0])\n")
wrong("scores", "multiplied-by-root", "divided-by-root-d",
      "The sums are multiplied by the root of d where they should become smaller by it.",
      "def scores(q, K):\n    return K @ q * math.sqrt(q.shape[0])\n")
wrong("scores", "root-of-two", "divided-by-root-d",
      "A fixed divisor of the root of 2 is right for vectors of two numbers only; here the width differs.",
      "def scores(q, K):\n    return K @ q / math.sqrt(2)\n")
wrong("scores", "root-rounded-down", "divided-by-root-d",
      "The divisor here is a whole number, 2; the root of d is one only where d is 1, 4, 9 and so on.",
      "def scores(q, K):\n    return K @ q / math.isqrt(q.shape[0])\n")
wrong("scores", "scaled-twice", "divided-by-root-d",
      "Both the query and the sum are divided by the root, which together divides by d.",
      "def scores(q, K):\n    r = math.sqrt(q.shape[0])\n    return K @ (q / r) / r\n")
wrong("scores", "root-of-everything", "divided-by-root-d",
      "The divisor counts the numbers of all keys together; it is the width of one that counts.",
      "def scores(q, K):\n    return K @ q / math.sqrt(K.numel())\n")
wrong("scores", "divided-by-norm", "divided-by-root-d",
      "q.norm() is the geometric length of this one query; the divisor depends only on how many numbers it has.",
      "def scores(q, K):\n    return K @ q / q.norm()\n")
wrong("scores", "total-never-reset", "products-summed",
      "The running total is never set back to 0, so every key carries the sums of those before it.",
      "def scores(q, K):\n    out, total = [], 0.0\n    for k in K:\n        total = total + k @ q\n"
      "        out.append(total / math.sqrt(len(q)))\n    return torch.stack(out)\n")
wrong("scores", "last-number-missed", "products-summed",
      "The loop over the numbers of a key ends one too early: the last product is missing in every sum.",
      "def scores(q, K):\n    return K[:, :-1] @ q[:-1] / math.sqrt(len(q))\n")
wrong("scores", "returns-in-the-loop", "products-summed",
      "The function returns in its first round: only the first key has got a score.",
      "def scores(q, K):\n    out = torch.zeros(len(K), dtype=q.dtype)\n    for i, k in enumerate(K):\n"
      "        out[i] = k @ q / math.sqrt(len(q))\n        return out\n")
wrong("scores", "whole-numbers", "products-summed",
      "// keeps the whole part of the quotient only.",
      "def scores(q, K):\n    return K @ q // math.sqrt(len(q))\n")
wrong("scores", "last-key-missed", "one-score-a-key",
      "The last key has no score: the loop over the keys ends one too early.",
      "def scores(q, K):\n    return K[:-1] @ q / math.sqrt(len(q))\n")
wrong("scores", "one-row", "one-score-a-key",
      "The answer is a matrix with one row, [1, n], where [n] is due.",
      "def scores(q, K):\n    return q[None] @ K.T / math.sqrt(len(q))\n")
wrong("scores", "single-precision", "same-dtype-as-given",
      "On the way the numbers became float32, which a new tensor is unless told otherwise.",
      "def scores(q, K):\n    out = torch.zeros(len(K))\n    for i, k in enumerate(K):\n"
      "        out[i] = k @ q / math.sqrt(len(q))\n    return out\n")
wrong("scores", "query-scaled-in-place", "the-tensors-given-stay",
      "An operator such as *= or /= writes into the caller's tensor, and the next call meets the changed numbers.",
      "def scores(q, K):\n    q /= math.sqrt(len(q))\n    return K @ q\n")
wrong("scores", "divided-by-length", "products-summed",
      "Dividing by the lengths of the vectors gives the cosine; attention keeps the lengths, a longer key counts more.",
      "def scores(q, K):\n    return K @ q / (K.norm(dim=1) * q.norm() + 1e-9)\n")
wrong("scores", "root-of-query-length", "products-summed",
      "q.norm() is the geometric length of this one query; the divisor depends only on how many numbers it has.",
      "def scores(q, K):\n    return (K @ q).abs() / q.norm()\n")
wrong("scores", "columns-of-k", "products-summed",
      "q @ K meets the columns of K; a key is a row, and only where K is square does this even run.",
      "def scores(q, K):\n    return q @ K / math.sqrt(q.shape[0])\n")
wrong("scores", "not-summed", "one-score-a-key",
      "The products of the single numbers are still apart: each key needs their sum, one number.",
      "def scores(q, K):\n    return K * q / math.sqrt(q.shape[0])\n")
wrong("scores", "summed-over-keys", "one-score-a-key",
      "The sum runs over the keys (dim 0) instead of over the numbers of each key (dim 1).",
      "def scores(q, K):\n    return (K * q).sum(dim=0) / math.sqrt(q.shape[0])\n")
wrong("scores", "column-shape", "one-score-a-key",
      "keepdim leaves a second axis of length 1: the answer is a column [n, 1] where [n] is due.",
      "def scores(q, K):\n    return (K * q).sum(dim=1, keepdim=True) / math.sqrt(q.shape[0])\n")
wrong("scores", "one-total", "one-score-a-key",
      "The sum runs over everything, so all keys share one number.",
      "def scores(q, K):\n    return (K * q).sum() / math.sqrt(q.shape[0])\n")
wrong("scores", "sorted", "one-score-a-key",
      "The scores are sorted, and then nobody knows any more which key has which.",
      "def scores(q, K):\n    return (K @ q / math.sqrt(q.shape[0])).sort(descending=True).values\n")
wrong("scores", "absolute", "products-summed",
      "A key that points away from the query has a negative score; without its sign it counts as a match.",
      "def scores(q, K):\n    return (K @ q).abs() / math.sqrt(q.shape[0])\n")
wrong("scores", "no-negatives", "products-summed",
      "Cutting scores off at 0 makes every key that points away look the same.",
      "def scores(q, K):\n    return (K @ q / math.sqrt(q.shape[0])).clamp(min=0)\n")
wrong("scores", "distance", "products-summed",
      "This measures the distance between query and key, which is small for a match; a score is large for one.",
      "def scores(q, K):\n    return ((K - q) ** 2).sum(dim=1) / math.sqrt(q.shape[0])\n")
wrong("scores", "softmaxed", "products-summed",
      "These are already weights that sum to 1; softmax is the next step, scores are its input.",
      "def scores(q, K):\n    return torch.softmax(K @ q / math.sqrt(q.shape[0]), dim=0)\n")
wrong("scores", "no-return", "one-score-a-key",
      "The scores are computed and then dropped: the function has no return.",
      "def scores(q, K):\n    s = K @ q / math.sqrt(q.shape[0])\n")
wrong("scores", "a-list", "one-score-a-key",
      "The answer is a list of tensors; the next step works on one tensor of shape [n].",
      "def scores(q, K):\n    return [k @ q / math.sqrt(q.shape[0]) for k in K]\n")
wrong("scores", "in-place", "the-tensors-given-stay",
      "An operator such as *= or /= writes into the caller's tensor, and the next call meets the changed numbers.",
      "def scores(q, K):\n    K *= q\n    return K.sum(dim=1) / math.sqrt(q.shape[0])\n")

right("scores", "loop", """
def scores(q, K):
    out = torch.zeros(len(K), dtype=K.dtype)
    for i, k in enumerate(K):
        total = 0.0
        for a, b in zip(q, k):
            total = total + a * b
        out[i] = total / len(q) ** 0.5
    return out
""")
right("scores", "einsum", "def scores(q, K):\n    return torch.einsum('nd,d->n', K, q) * q.numel() ** -0.5\n")
right("scores", "query-scaled-first", "def scores(q, K):\n    return (q / math.sqrt(len(q))) @ K.T\n")
right("scores", "elementwise", "def scores(q, K):\n    return (K * q).sum(-1) / torch.tensor(float(K.size(1)), dtype=K.dtype).sqrt()\n")

right("scores", "numpy-inside", """
import numpy as np


def scores(q, K):
    return torch.from_numpy(K.numpy() @ q.numpy() / np.sqrt(len(q)))
""")
right("scores", "a-list-made-a-tensor", """
def scores(q: Tensor, K: Tensor) -> Tensor:
    assert K.dim() == 2
    return q.new_tensor([sum(a * b for a, b in zip(q.tolist(), k)) / len(q) ** 0.5 for k in K.tolist()])
""")

# ----- attend -----------------------------------------------------------------------------------------------------

# A trace is explained by the first mutant that gives the same one: the rarer mistakes stand in front.
wrong("attend", "minus-mean", "any-size-of-score",
      "What is subtracted is not the largest score: what is left of that one still has an exponential beyond any "
      "float.",
      "def attend(q, K, V):\n    s = scores(q, K)\n    e = torch.exp(s - s.mean())\n    return (e / e.sum()) @ V\n")
wrong("attend", "minus-min", "any-size-of-score",
      "What is subtracted is not the largest score: what is left of that one still has an exponential beyond any "
      "float.",
      "def attend(q, K, V):\n    s = scores(q, K)\n    e = torch.exp(s - s.min())\n    return (e / e.sum()) @ V\n")
wrong("attend", "minus-largest-size", "any-size-of-score",
      "All scores are very negative here and stay so after your subtraction: every exponential becomes 0, and 0 / 0 "
      "is left.",
      "def attend(q, K, V):\n    s = scores(q, K)\n    e = torch.exp(s - s.abs().max())\n    return (e / e.sum()) @ V\n")
wrong("attend", "clamped", "any-size-of-score",
      "Scores that are cut off at a limit become equal, and with them weights that should differ.",
      "def attend(q, K, V):\n    e = torch.exp(scores(q, K).clamp(-80, 80))\n    return (e / e.sum()) @ V\n")
wrong("attend", "nan-to-zero", "any-size-of-score",
      "The overflow is covered up, not avoided: the exponentials are infinite, and every weight ends as 0.",
      "def attend(q, K, V):\n    e = torch.exp(scores(q, K))\n    return torch.nan_to_num(e / e.sum()) @ V\n")
wrong("attend", "naive-exp", "any-size-of-score",
      "exp of a score of some hundreds is too large for any float, and inf / inf is not a number.",
      "def attend(q, K, V):\n    e = torch.exp(scores(q, K))\n    return (e / e.sum()) @ V\n")
wrong("attend", "largest-not-kept-up", "weights-follow-the-scores",
      "Where a later score is a new maximum, the exponentials taken before still stand on the old one.",
      "def attend(q, K, V):\n    m, total, out = -math.inf, 0.0, torch.zeros_like(V[0])\n"
      "    for s, v in zip(scores(q, K).tolist(), V):\n        m = max(m, s)\n        w = math.exp(s - m)\n"
      "        total, out = total + w, out + w * v\n    return out / total\n")
wrong("attend", "shift-on-one-side", "weights-sum-to-one",
      "The maximum is subtracted above the line and not below it; it cancels only where both have it.",
      "def attend(q, K, V):\n    s = scores(q, K)\n    return torch.exp(s - s.max()) / torch.exp(s).sum() @ V\n")
wrong("attend", "divided-by-scores", "weights-sum-to-one",
      "The exponentials are divided by the sum of the scores; it takes the sum of the exponentials.",
      "def attend(q, K, V):\n    s = scores(q, K)\n    return torch.exp(s - s.max()) / s.sum() @ V\n")
wrong("attend", "last-key-dropped", "weights-sum-to-one",
      "The last key stands in the sum of the exponentials but not in the mixture.",
      "def attend(q, K, V):\n    w = torch.softmax(scores(q, K), 0)\n    return w[:-1] @ V[:-1]\n")
wrong("attend", "mean-of-the-mixture", "weights-sum-to-one",
      "The weighted values are averaged; the weights share out one whole already, so they are added up.",
      "def attend(q, K, V):\n    return (torch.softmax(scores(q, K), 0)[:, None] * V).mean(dim=0)\n")
wrong("attend", "largest-or-nothing", "any-size-of-score",
      "Where the exponentials overflow, only the best key is heard; the two scores differ by 1, so both have a share.",
      "def attend(q, K, V):\n    s = scores(q, K)\n    e = torch.exp(s)\n"
      "    if e.isinf().any() or e.sum() == 0:\n        return V[s.argmax()].clone()\n    return e / e.sum() @ V\n")
wrong("attend", "minus-last", "any-size-of-score",
      "What is subtracted is not the largest score: what is left of that one still has an exponential beyond any float.",
      "def attend(q, K, V):\n    s = scores(q, K)\n    e = torch.exp(s - s[-1])\n    return e / e.sum() @ V\n")
wrong("attend", "equal-ones-counted-once", "equal-scores-share-equally",
      "Equal exponentials stand in the sum once only, so the weights of keys with equal scores come to too much.",
      "def attend(q, K, V):\n    s = scores(q, K)\n    e = torch.exp(s - s.max())\n    return e / e.unique().sum() @ V\n")
wrong("attend", "single-precision", "same-dtype-as-given",
      "On the way the numbers became float32, which a new tensor is unless told otherwise.",
      "def attend(q, K, V):\n    out = torch.zeros(V.shape[1])\n    for w, v in zip(torch.softmax(scores(q, K), 0), V):\n"
      "        out += w * v\n    return out\n")
wrong("attend", "first-value-is-the-total", "the-tensors-given-stay",
      "The mixture is made inside the caller's V, of which V[0] is a part; the values are needed again.",
      "def attend(q, K, V):\n    w = torch.softmax(scores(q, K), 0)\n    out = V[0]\n    out *= w[0]\n"
      "    for i in range(1, len(V)):\n        out += w[i] * V[i]\n    return out\n")
wrong("attend", "as-wide-as-a-key", "one-mixture-of-values",
      "The answer is as wide as a key; it is mixed from values, and they may have another width.",
      "def attend(q, K, V):\n    out = torch.zeros_like(q)\n    for w, v in zip(torch.softmax(scores(q, K), 0), V):\n"
      "        out += w * v\n    return out\n")
wrong("attend", "not-normalised", "weights-sum-to-one",
      "The exponentials are used as they are; they become weights only when divided by their sum.",
      "def attend(q, K, V):\n    s = scores(q, K)\n    return torch.exp(s - s.max()) @ V\n")
wrong("attend", "bare-scores", "weights-sum-to-one",
      "The scores themselves weigh the values, negative ones included; nothing makes them sum to 1.",
      "def attend(q, K, V):\n    return scores(q, K) @ V\n")
wrong("attend", "sigmoid", "weights-sum-to-one",
      "A sigmoid judges each key alone; attention shares out one whole among all keys.",
      "def attend(q, K, V):\n    return torch.sigmoid(scores(q, K)) @ V\n")
wrong("attend", "softmax-wrong-axis", "weights-sum-to-one",
      "Softmax along an axis of length 1 makes every weight 1, and the values are simply added up.",
      "def attend(q, K, V):\n    w = torch.softmax(scores(q, K)[:, None], dim=1)\n    return (w * V).sum(dim=0)\n")
wrong("attend", "divided-by-max", "weights-sum-to-one",
      "Dividing by the largest exponential gives the best key weight 1 and leaves something for the others on top.",
      "def attend(q, K, V):\n    s = scores(q, K)\n    e = torch.exp(s - s.max())\n    return (e / e.max()) @ V\n")
wrong("attend", "divided-by-n", "weights-sum-to-one",
      "Dividing by the number of keys makes the weights sum to 1 only where all scores are equal.",
      "def attend(q, K, V):\n    s = scores(q, K)\n    return torch.exp(s - s.max()) @ V / len(K)\n")
wrong("attend", "summed-twice", "weights-sum-to-one",
      "The sum of the values is added to the mixture: the weights come to more than 1 in all.",
      "def attend(q, K, V):\n    w = torch.softmax(scores(q, K), dim=0)\n    return (w[:, None] * V + V).sum(dim=0)\n")
wrong("attend", "plus-one", "weights-sum-to-one",
      "A constant added to the divisor takes a share that no value gets.",
      "def attend(q, K, V):\n    s = scores(q, K)\n    e = torch.exp(s - s.max())\n    return (e / (e.sum() + 1)) @ V\n")
wrong("attend", "winner-takes-all", "equal-scores-share-equally",
      "Only the best key is heard; softmax lets every key have its share, equal ones the same.",
      "def attend(q, K, V):\n    return V[scores(q, K).argmax()]\n")
wrong("attend", "scaled-by-the-largest", "equal-scores-share-equally",
      "The scores are divided by something made of the scores; here all are 0, as good a score as any, and 0 / 0 is left.",
      "def attend(q, K, V):\n    s = scores(q, K)\n    e = torch.exp(s / s.abs().max())\n    return e / e.sum() @ V\n")
wrong("attend", "scaled-by-the-largest-safely", "weights-follow-the-scores",
      "The scores are made smaller by a factor, which changes the differences between them, and with these the weights.",
      "def attend(q, K, V):\n    s = scores(q, K)\n    e = torch.exp(s / s.abs().max().clamp(min=1e-9))\n"
      "    return e / e.sum() @ V\n")
wrong("attend", "minus-first", "any-size-of-score",
      "What is subtracted is not the largest score: what is left of that one still has an exponential beyond any float.",
      "def attend(q, K, V):\n    s = scores(q, K)\n    e = torch.exp(s - s[0])\n    return e / e.sum() @ V\n")
wrong("attend", "linear-shares", "equal-scores-share-equally",
      "The scores are divided by something made of the scores; here all are 0, as good a score as any, and 0 / 0 is left.",
      "def attend(q, K, V):\n    s = scores(q, K)\n    return (s / s.sum()) @ V\n")
wrong("attend", "first-key-dropped", "equal-scores-share-equally",
      "The first key is left out of the mixture although the query sees it.",
      "def attend(q, K, V):\n    if len(K) == 1:\n        return V[0].clone()\n"
      "    return torch.softmax(scores(q, K[1:]), dim=0) @ V[1:]\n")
wrong("attend", "mean-of-values", "weights-follow-the-scores",
      "Every value counts the same, whatever the query asks for.",
      "def attend(q, K, V):\n    return V.mean(dim=0)\n")
wrong("attend", "unscaled", "weights-follow-the-scores",
      "The scores here are not divided by the root of d, so the weights are sharper than they should be.",
      "def attend(q, K, V):\n    return torch.softmax(K @ q, dim=0) @ V\n")
wrong("attend", "scaled-again", "weights-follow-the-scores",
      "scores() has divided by the root of d already; a second division makes the weights too even.",
      "def attend(q, K, V):\n    return torch.softmax(scores(q, K) / math.sqrt(len(q)), dim=0) @ V\n")
wrong("attend", "base-two", "weights-follow-the-scores",
      "Powers of 2 instead of powers of e: the weights follow the scores, but too mildly.",
      "def attend(q, K, V):\n    s = scores(q, K)\n    e = 2.0 ** (s - s.max())\n    return (e / e.sum()) @ V\n")
wrong("attend", "upside-down", "weights-follow-the-scores",
      "The sign is turned: the key that matches least gets the largest weight.",
      "def attend(q, K, V):\n    return torch.softmax(-scores(q, K), dim=0) @ V\n")
wrong("attend", "squared-scores", "weights-follow-the-scores",
      "Squares of the scores are shared out: a key that points away from the query counts as a match.",
      "def attend(q, K, V):\n    s = scores(q, K) ** 2 + 1e-12\n    return (s / s.sum()) @ V\n")
wrong("attend", "softmax-of-softmax", "weights-follow-the-scores",
      "Softmax is taken twice; the second one flattens the weights of the first.",
      "def attend(q, K, V):\n    return torch.softmax(torch.softmax(scores(q, K), 0), 0) @ V\n")
wrong("attend", "keys-for-values", "one-mixture-of-values",
      "The mixture is made of the keys; they only decide the weights, what is passed on are the values.",
      "def attend(q, K, V):\n    return torch.softmax(scores(q, K), dim=0) @ K\n")
wrong("attend", "weights-only", "one-mixture-of-values",
      "These are the weights; the values have not been mixed with them yet.",
      "def attend(q, K, V):\n    return torch.softmax(scores(q, K), dim=0)\n")
wrong("attend", "rows-not-summed", "one-mixture-of-values",
      "Each value is weighted but they are not added up: n rows where one vector is due.",
      "def attend(q, K, V):\n    return torch.softmax(scores(q, K), dim=0)[:, None] * V\n")
wrong("attend", "extra-axis", "one-mixture-of-values",
      "The answer is a matrix with one row, [1, dv], where a vector [dv] is due.",
      "def attend(q, K, V):\n    return torch.softmax(scores(q, K), dim=0)[None] @ V\n")
wrong("attend", "summed-over-width", "one-mixture-of-values",
      "The sum runs along each value instead of over the values: n numbers where a vector [dv] is due.",
      "def attend(q, K, V):\n    return (torch.softmax(scores(q, K), dim=0)[:, None] * V).sum(dim=1)\n")
wrong("attend", "no-return", "one-mixture-of-values",
      "The mixture is computed and then dropped: the function has no return.",
      "def attend(q, K, V):\n    out = torch.softmax(scores(q, K), dim=0) @ V\n")
wrong("attend", "values-overwritten", "the-tensors-given-stay",
      "The mixture is made inside the caller's V, of which V[0] is a part; the values are needed again.",
      "def attend(q, K, V):\n    V *= torch.softmax(scores(q, K), dim=0)[:, None]\n    return V.sum(dim=0)\n")

right("attend", "library-softmax", "def attend(q, K, V):\n    return torch.softmax(K @ q / math.sqrt(len(q)), -1) @ V\n")
right("attend", "log-sum-exp", """
def attend(q, K, V):
    s = scores(q, K)
    return torch.exp(s - torch.logsumexp(s, dim=0)) @ V
""")
right("attend", "loop-in-python-floats", """
def attend(q, K, V):
    s = scores(q, K).tolist()
    top = max(s)
    e = [math.exp(x - top) for x in s]
    out = torch.zeros(V.shape[1], dtype=V.dtype)
    for weight, value in zip(e, V):
        out += weight * value
    return out / sum(e)
""")
right("attend", "running-maximum", """
def attend(q, K, V):
    m, total, out = -math.inf, 0.0, torch.zeros_like(V[0])
    for s, v in zip(scores(q, K).tolist(), V):
        new = max(m, s)
        keep = math.exp(m - new)
        out, total, m = out * keep + math.exp(s - new) * v, total * keep + math.exp(s - new), new
    return out / total
""")

right("attend", "halves", """
def attend(q, K, V):
    if len(K) == 1:
        return V[0]
    s, h = scores(q, K), len(K) // 2
    share = torch.sigmoid(torch.logsumexp(s[:h], 0) - torch.logsumexp(s[h:], 0))
    return share * attend(q, K[:h], V[:h]) + (1 - share) * attend(q, K[h:], V[h:])
""")
right("attend", "library-kernel", """
import torch.nn.functional as F


def attend(q, K, V):
    return F.scaled_dot_product_attention(q[None, None], K[None], V[None])[0, 0]
""")
right("attend", "summed-generator", """
def attend(q, K, V):
    e = (scores(q, K) - max(scores(q, K))).exp_()
    return sum(w * v for w, v in zip(e / e.sum(), V))
""")

# ----- causal_attend ----------------------------------------------------------------------------------------------

_MATRIX = """
def causal_attend(Q, K, V):
    n, d = Q.shape
    s = Q @ K.T / math.sqrt(d)
    {mask}
    return torch.softmax(s, dim=-1) @ V
"""


def masked(name: str, breaks: str, why: str, mask: str) -> None:
    wrong("causal_attend", name, breaks, why, _MATRIX.format(mask=mask))


masked("too-weak-a-mask", "the-future-is-hidden",
       "A hidden key keeps a finite score; where the visible scores are lower than that, it wins.",
       "s = s.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -10000.0)")
masked("minus-a-hundred", "the-future-is-hidden",
       "A hundred less than its own score is not hidden: a strong later key still shines through.",
       "s = s - 100.0 * torch.ones(n, n).triu(1)")
masked("no-mask", "the-future-is-hidden", "No key is hidden: every row sees the tokens after it.", "pass")
masked("one-too-many", "the-future-is-hidden",
       "The mask begins one place too far to the right: every row sees the next token, which is the one to be guessed.",
       "s = s.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(2), -math.inf)")
masked("past-hidden", "the-future-is-hidden",
       "The mask hides the past and leaves the future open: the triangle is the wrong one.",
       "s = s.masked_fill(torch.ones(n, n, dtype=torch.bool).tril(-1), -math.inf)")
masked("zeros-for-hidden", "the-future-is-hidden",
       "A score of 0 is not a weight of 0: exp(0) is 1, so hidden keys still get a share.",
       "s = s * torch.ones(n, n).tril()")
masked("smallest-positive", "the-future-is-hidden",
       "The smallest positive number is almost 0, and exp(0) is 1; hidden keys need the most negative one.",
       "s = s.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), torch.finfo(s.dtype).tiny)")
masked("only-the-last-column", "the-future-is-hidden",
       "Only the last key is hidden from the others; every other later token can still be seen.",
       "s[:-1, -1] = -math.inf")
wrong("causal_attend", "masked-after-softmax", "the-future-is-hidden",
      "The weights are masked after softmax: later keys still stand in the sum that the exponentials are divided by.",
      "def causal_attend(Q, K, V):\n    w = torch.softmax(Q @ K.T / math.sqrt(Q.shape[1]), dim=-1)\n"
      "    return w.tril() @ V\n")
wrong("causal_attend", "one-slice-too-long", "the-future-is-hidden",
      "The slice for row i ends one place too late, so each row sees the token after it.",
      "def causal_attend(Q, K, V):\n    return torch.stack([attend(Q[i], K[:i + 2], V[:i + 2]) for i in range(len(Q))])\n")
wrong("causal_attend", "softmax-over-queries", "each-row-as-attend",
      "Softmax runs down the columns: it shares one key out among the queries instead of the keys among one query.",
      "def causal_attend(Q, K, V):\n    n, d = Q.shape\n    s = Q @ K.T / math.sqrt(d)\n"
      "    s = s.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -math.inf)\n"
      "    return torch.softmax(s, dim=0) @ V\n")
masked("past-hidden-and-itself", "the-future-is-hidden",
       "The mask is True where a key may be seen, and masked_fill fills just there: the wrong half is hidden.",
       "s = s.masked_fill(torch.ones(n, n, dtype=torch.bool).tril(), -math.inf)")
masked("plus-infinity", "the-future-is-hidden",
       "The hidden keys get the score plus infinity, which is the strongest match there can be.",
       "s = s.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), math.inf)")
masked("zero-times-infinity", "a-token-sees-itself",
       "0 times infinity is not a number, so a table of zeros and ones times minus infinity is NaN where a key is seen.",
       "s = s + torch.ones(n, n, dtype=s.dtype).triu(1) * -math.inf")
masked("divided-by-d", "each-row-as-attend",
       "The divisor comes to d instead of its root, so the weights are more even than they should be.",
       "s = (s / math.sqrt(d)).masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -math.inf)")
masked("root-of-dv", "each-row-as-attend",
       "The divisor comes from the width of a value; it is the width of a query that counts.",
       "s = (Q @ K.T / math.sqrt(V.shape[1])).masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -math.inf)")
wrong("causal_attend", "sums-along-the-columns", "each-row-as-attend",
      "Without keepdim the n sums lie in a row, and each column of the table is divided by the sum of a row: number "
      "[i, j] by the sum of row j.",
      "def causal_attend(Q, K, V):\n    n, d = Q.shape\n    s = Q @ K.T / math.sqrt(d)\n"
      "    s = s.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -math.inf)\n"
      "    e = torch.exp(s - s.max(-1, keepdim=True).values)\n    return e / e.sum(-1) @ V\n")
wrong("causal_attend", "maxima-along-the-columns", "each-row-as-attend",
      "Without keepdim the n maxima and the n sums lie in a row each, and column j of the table meets those of row j.",
      "def causal_attend(Q, K, V):\n    n, d = Q.shape\n    s = Q @ K.T / math.sqrt(d)\n"
      "    s = s.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -math.inf)\n"
      "    e = torch.exp(s - s.max(-1).values)\n    return e / e.sum(-1) @ V\n")
_NO_KEEPDIM = ("def causal_attend(Q, K, V):\n    n, d = Q.shape\n    s = Q @ K.T / math.sqrt(d)\n"
               "    s = s.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -math.inf)\n")
wrong("causal_attend", "maxima-only-along-the-columns", "each-row-as-attend",
      "Without keepdim the n maxima lie in a row, and from each column of the table the maximum of a row is subtracted: "
      "from number [i, j] that of row j.",
      _NO_KEEPDIM + "    e = torch.exp(s - s.amax(1))\n    return e / e.sum(1, keepdim=True) @ V\n")
wrong("causal_attend", "sums-along-the-columns-one-maximum", "each-row-as-attend",
      "Without keepdim the n sums lie in a row, and each column of the table is divided by the sum of a row: number "
      "[i, j] by the sum of row j.",
      _NO_KEEPDIM + "    e = torch.exp(s - s.max())\n    return e / e.sum(1) @ V\n")
wrong("causal_attend", "max-of-two-things", "a-token-sees-itself",
      "The pair of tensors that max(dim=1) gives back is used as if it were one.",
      _NO_KEEPDIM + "    e = torch.exp(s - s.max(dim=1))\n    return e / e.sum(dim=1, keepdim=True) @ V\n")
wrong("causal_attend", "first-query-for-all", "each-row-as-attend",
      "Every row is asked with the first query; each row has its own.",
      "def causal_attend(Q, K, V):\n    return torch.stack([attend(Q[0], K[:i + 1], V[:i + 1]) for i in range(len(Q))])\n")
wrong("causal_attend", "rows-over-values", "each-row-as-attend",
      "Row i is written over value i, and the rows after it are mixed from what stands there now.",
      "def causal_attend(Q, K, V):\n    V = V.clone()\n    for i in range(len(Q)):\n"
      "        V[i] = attend(Q[i], K[:i + 1], V[:i + 1])\n    return V\n")
wrong("causal_attend", "nothing-for-row-0", "a-token-sees-itself",
      "The slice for row 0 is empty, and there is nothing to share out in it: a token sees itself too.",
      "def causal_attend(Q, K, V):\n    return torch.stack([attend(Q[i], K[:i], V[:i]) for i in range(len(Q))])\n")
wrong("causal_attend", "last-row-left-out", "a-token-sees-itself",
      "The loop ends one row too early: the last row is still as it was made.",
      "def causal_attend(Q, K, V):\n    out = torch.zeros_like(V)\n    for i in range(len(Q) - 1):\n"
      "        out[i] = attend(Q[i], K[:i + 1], V[:i + 1])\n    return out\n")
wrong("causal_attend", "as-wide-as-a-query", "one-mixture-a-query",
      "The answer is as wide as a query; its rows are mixed from values, which may have another width.",
      "def causal_attend(Q, K, V):\n    out = torch.zeros_like(Q)\n    for i in range(len(Q)):\n"
      "        out[i] = attend(Q[i], K[:i + 1], V[:i + 1])\n    return out\n")
wrong("causal_attend", "one-row-in-a-matrix", "one-mixture-a-query",
      "Only the last row is computed; here all rows are wanted.",
      "def causal_attend(Q, K, V):\n    return attend(Q[-1], K, V)[None]\n")
wrong("causal_attend", "single-precision", "same-dtype-as-given",
      "On the way the numbers became float32, which a new tensor is unless told otherwise.",
      "def causal_attend(Q, K, V):\n    out = torch.zeros(V.shape)\n    for i in range(len(Q)):\n"
      "        out[i] = attend(Q[i], K[:i + 1], V[:i + 1])\n    return out\n")
masked("diagonal-hidden", "a-token-sees-itself",
       "The mask takes the diagonal too: no token sees itself, and row 0 has nothing left to look at.",
       "s = s.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(0), -math.inf)")
wrong("causal_attend", "slice-too-short", "a-token-sees-itself",
      "Each row is mixed from the rows before it alone; a token sees all before it and itself.",
      "def causal_attend(Q, K, V):\n    rows = [torch.zeros_like(V[0])]\n"
      "    rows += [attend(Q[i], K[:i], V[:i]) for i in range(1, len(Q))]\n    return torch.stack(rows)\n")
wrong("causal_attend", "slice-too-short-but-first", "a-token-sees-itself",
      "Row 0 is right because it was written by hand; all the others leave themselves out.",
      "def causal_attend(Q, K, V):\n    rows = [V[0]]\n"
      "    rows += [attend(Q[i], K[:i], V[:i]) for i in range(1, len(Q))]\n    return torch.stack(rows)\n")
wrong("causal_attend", "two-neighbours", "the-whole-past-is-seen",
      "Each row sees itself and the token before it, nothing older.",
      "def causal_attend(Q, K, V):\n    return torch.stack([attend(Q[i], K[max(0, i - 1):i + 1], V[max(0, i - 1):i + 1])"
      " for i in range(len(Q))])\n")
wrong("causal_attend", "itself-only", "the-whole-past-is-seen",
      "Each row sees only itself, so attention passes nothing from token to token.",
      "def causal_attend(Q, K, V):\n    return V.clone()\n")
wrong("causal_attend", "window-of-four", "the-whole-past-is-seen",
      "Each row sees four tokens; the fifth one back is lost.",
      "def causal_attend(Q, K, V):\n    return torch.stack([attend(Q[i], K[max(0, i - 3):i + 1], V[max(0, i - 3):i + 1])"
      " for i in range(len(Q))])\n")
wrong("causal_attend", "first-token-lost", "the-whole-past-is-seen",
      "From the second row on, the first token is left out.",
      "def causal_attend(Q, K, V):\n    rows = [V[0]]\n"
      "    rows += [attend(Q[i], K[1:i + 1], V[1:i + 1]) for i in range(1, len(Q))]\n    return torch.stack(rows)\n")
wrong("causal_attend", "running-mean", "each-row-as-attend",
      "The rows are plain means of the values so far: the scores have no say.",
      "def causal_attend(Q, K, V):\n    n = len(V)\n"
      "    return V.cumsum(0) / torch.arange(1, n + 1, dtype=V.dtype)[:, None]\n")
wrong("causal_attend", "unscaled", "each-row-as-attend",
      "The scores are not divided by the root of d, so the weights are sharper than they should be.",
      "def causal_attend(Q, K, V):\n    n = len(Q)\n"
      "    s = (Q @ K.T).masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -math.inf)\n"
      "    return torch.softmax(s, dim=-1) @ V\n")
wrong("causal_attend", "root-of-n", "each-row-as-attend",
      "The divisor is the root of the number of tokens; it is the width of a query that counts.",
      "def causal_attend(Q, K, V):\n    n = len(Q)\n    s = Q @ K.T / math.sqrt(n)\n"
      "    s = s.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -math.inf)\n"
      "    return torch.softmax(s, dim=-1) @ V\n")
wrong("causal_attend", "keys-ask-queries", "each-row-as-attend",
      "K @ Q.T turns the table: row i then holds what key i would ask of the queries.",
      "def causal_attend(Q, K, V):\n    n, d = Q.shape\n    s = K @ Q.T / math.sqrt(d)\n"
      "    s = s.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -math.inf)\n"
      "    return torch.softmax(s, dim=-1) @ V\n")
wrong("causal_attend", "one-query-for-all", "each-row-as-attend",
      "Every row is asked with the last query; each row has its own.",
      "def causal_attend(Q, K, V):\n    return torch.stack([attend(Q[-1], K[:i + 1], V[:i + 1]) for i in range(len(Q))])\n")
wrong("causal_attend", "not-normalised", "each-row-as-attend",
      "The exponentials of a row are never divided by their sum.",
      "def causal_attend(Q, K, V):\n    n, d = Q.shape\n    s = Q @ K.T / math.sqrt(d)\n"
      "    s = s.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -math.inf)\n"
      "    return torch.exp(s - s.max(dim=-1, keepdim=True).values) @ V\n")
wrong("causal_attend", "one-sum-for-all", "the-future-is-hidden",
      "The exponentials of all rows are divided by one common sum, in which the later rows stand too.",
      "def causal_attend(Q, K, V):\n    n, d = Q.shape\n    s = Q @ K.T / math.sqrt(d)\n"
      "    s = s.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -math.inf)\n"
      "    e = torch.exp(s - s.max())\n    return e / e.sum() @ V\n")
wrong("causal_attend", "renormalised-late", "any-size-of-score",
      "Masking after softmax and dividing again fails where a later key took all the weight: 0 / 0 is left.",
      "def causal_attend(Q, K, V):\n    w = torch.softmax(Q @ K.T / math.sqrt(Q.shape[1]), dim=-1).tril()\n"
      "    return w / w.sum(dim=-1, keepdim=True) @ V\n")
wrong("causal_attend", "naive-exp", "any-size-of-score",
      "Without subtracting the largest score of each row, its exponential overflows.",
      "def causal_attend(Q, K, V):\n    e = torch.exp(Q @ K.T / math.sqrt(Q.shape[1])).tril()\n"
      "    return e / e.sum(dim=-1, keepdim=True) @ V\n")
wrong("causal_attend", "one-maximum-for-all", "any-size-of-score",
      "One maximum over the whole table is too much for rows with small scores: all their exponentials become 0.",
      "def causal_attend(Q, K, V):\n    s = Q @ K.T / math.sqrt(Q.shape[1])\n    e = torch.exp(s - s.max()).tril()\n"
      "    return e / e.sum(dim=-1, keepdim=True) @ V\n")
wrong("causal_attend", "last-row-alone", "one-mixture-a-query",
      "Only the last row is computed; here all rows are wanted.",
      "def causal_attend(Q, K, V):\n    return attend(Q[-1], K, V)\n")
wrong("causal_attend", "weights-only", "one-mixture-a-query",
      "These are the weights, [n, n]; the values have not been mixed with them yet.",
      "def causal_attend(Q, K, V):\n    n, d = Q.shape\n    s = Q @ K.T / math.sqrt(d)\n"
      "    return torch.softmax(s.masked_fill(torch.ones(n, n, dtype=torch.bool).triu(1), -math.inf), dim=-1)\n")
wrong("causal_attend", "joined-in-one-row", "one-mixture-a-query",
      "cat joins the rows end to end into one long vector; they should stand one below the other.",
      "def causal_attend(Q, K, V):\n    return torch.cat([attend(Q[i], K[:i + 1], V[:i + 1]) for i in range(len(Q))])\n")
wrong("causal_attend", "keys-for-values", "one-mixture-a-query",
      "The rows are mixed from the keys; what is passed on are the values.",
      "def causal_attend(Q, K, V):\n    return torch.stack([attend(Q[i], K[:i + 1], K[:i + 1]) for i in range(len(Q))])\n")
wrong("causal_attend", "a-list", "one-mixture-a-query",
      "The answer is a list of rows; one tensor [n, dv] is due.",
      "def causal_attend(Q, K, V):\n    return [attend(Q[i], K[:i + 1], V[:i + 1]) for i in range(len(Q))]\n")
wrong("causal_attend", "values-overwritten", "the-tensors-given-stay",
      "The rows are written over the caller's values, which the following rows and every later token still need.",
      "def causal_attend(Q, K, V):\n    for i in reversed(range(len(Q))):\n        V[i] = attend(Q[i], K[:i + 1], V[:i + 1])\n"
      "    return V\n")

right("causal_attend", "row-by-row",
      "def causal_attend(Q, K, V):\n    return torch.stack([attend(Q[i], K[:i + 1], V[:i + 1]) for i in range(len(Q))])\n")
right("causal_attend", "library-kernel",
      "from torch.nn.functional import scaled_dot_product_attention\n\n\ndef causal_attend(Q, K, V):\n"
      "    return scaled_dot_product_attention(Q[None], K[None], V[None], is_causal=True)[0]\n")
right("causal_attend", "added-mask", """
def causal_attend(Q, K, V):
    n = Q.size(0)
    mask = torch.full((n, n), float("-inf"), dtype=Q.dtype).triu(diagonal=1)
    return torch.softmax(Q @ K.transpose(0, 1) / Q.size(1) ** 0.5 + mask, dim=1) @ V
""")
right("causal_attend", "very-negative-mask", """
def causal_attend(Q, K, V):
    n, d = Q.shape
    s = torch.einsum("id,jd->ij", Q, K) / math.sqrt(d)
    i = torch.arange(n)
    s[i[None, :] > i[:, None]] = torch.finfo(s.dtype).min
    return s.softmax(-1) @ V
""")
right("causal_attend", "filled-in", """
def causal_attend(Q, K, V):
    out = torch.empty_like(V)
    for i in range(len(Q)):
        w = torch.softmax(scores(Q[i], K[: i + 1]), 0)
        out[i] = (w[:, None] * V[: i + 1]).sum(0)
    return out
""")

right("causal_attend", "recursion", """
def causal_attend(Q, K, V):
    last = attend(Q[-1], K, V)[None]
    return last if len(Q) == 1 else torch.cat([causal_attend(Q[:-1], K[:-1], V[:-1]), last])
""")
right("causal_attend", "where", """
def causal_attend(Q, K, V):
    n = len(Q)
    s = torch.where(torch.ones(n, n).tril() > 0, Q @ K.mT / Q.shape[1] ** 0.5, -torch.inf)
    e = (s - s.amax(1, keepdim=True)).exp()
    return e.div(e.sum(1, keepdim=True)).matmul(V)
""")

# ----- last_row_only ----------------------------------------------------------------------------------------------

_STEP = """
def last_row_only(x, K, V, W_q, W_k, W_v):
    q, k, v = x @ W_q, x @ W_k, x @ W_v
{body}
"""


def step(name: str, breaks: str, why: str, *lines: str) -> None:
    wrong("last_row_only", name, breaks, why, _STEP.format(body="\n".join("    " + line for line in lines)))


_GROW = ("K = torch.cat([K, k[None]])", "V = torch.cat([V, v[None]])")

step("row-only", "gives-row-keys-values",
     "Only the row comes back: the next step would not have this token's key and value.",
     *_GROW, "return attend(q, K, V)")
step("nothing-kept", "gives-row-keys-values",
     "The K and V that come back have not grown: for the next step this token never was.",
     "grown_K, grown_V = torch.cat([K, k[None]]), torch.cat([V, v[None]])", "return attend(q, grown_K, grown_V), K, V")
step("only-the-new-rows", "gives-row-keys-values",
     "K and V come back with the new row alone; the old rows are needed again at the next step.",
     *_GROW, "return attend(q, K, V), k[None], v[None]")
step("query-kept-too", "gives-row-keys-values",
     "The query is handed on as well; no later token ever asks for it.",
     *_GROW, "return attend(q, K, V), q, K, V")
step("row-as-matrix", "gives-row-keys-values",
     "The row comes as a matrix [1, dv] where a vector [dv] is due.",
     *_GROW, "return attend(q, K, V)[None], K, V")
step("all-rows", "gives-row-keys-values",
     "A row for every key comes back; only the new token's row is wanted.",
     *_GROW, "return torch.stack([attend(q, K[: i + 1], V[: i + 1]) for i in range(len(K))]), K, V")
step("no-return", "gives-row-keys-values",
     "The step is computed and then dropped: the function has no return.",
     *_GROW, "row = attend(q, K, V)")
step("order-of-answers", "gives-row-keys-values",
     "K and V stand before the row; the answer is (row, K, V).",
     *_GROW, "return K, V, attend(q, K, V)")
step("one-too-many-rows", "gives-row-keys-values",
     "The new key and value are appended twice, so the token would be counted twice from now on.",
     "K, V = torch.cat([K, k[None], k[None]]), torch.cat([V, v[None], v[None]])", "return attend(q, K, V), K, V")
step("put-in-front", "the-past-is-kept",
     "The new key and value stand in front of the old ones; the rows are in the order of the tokens.",
     "K, V = torch.cat([k[None], K]), torch.cat([v[None], V])", "return attend(q, K, V), K, V")
step("swapped-k-v", "gives-row-keys-values",
     "K and V come back in each other's place.",
     *_GROW, "return attend(q, K, V), V, K")
step("oldest-dropped", "gives-row-keys-values",
     "The oldest row makes way for the new one; the cache must grow by a row.",
     "K, V = torch.cat([K[1:], k[None]]), torch.cat([V[1:], v[None]])", "return attend(q, K, V), K, V")
step("oldest-overwritten", "the-tensors-given-stay",
     "The new key and value are written over the caller's last row; the old ones are needed again.",
     "if len(K):", "    K[-1], V[-1] = k, v", *_GROW, "return attend(q, K, V), K, V")
step("past-scaled", "the-past-is-kept",
     "The kept keys are divided by the root of d at every step, again and again; scaling belongs to the scores.",
     "K = torch.cat([K / math.sqrt(K.shape[1]), k[None]])", "V = torch.cat([V, v[None]])",
     "return attend(q, K, V), K, V")
step("query-as-key", "own-key-and-value-last",
     "The query was appended where the key belongs; later tokens would meet x @ W_q.",
     "K, V = torch.cat([K, q[None]]), torch.cat([V, v[None]])", "return attend(q, K, V), K, V")
step("value-as-key", "own-key-and-value-last",
     "The value's matrix was used for the key where the two are equally wide.",
     "k = x @ (W_v if W_v.shape == W_k.shape else W_k)", *_GROW, "return attend(q, K, V), K, V")
wrong("last_row_only", "wrong-way-round", "own-key-and-value-last",
      "W_k @ x takes the matrix the wrong way round: where it is square this runs and gives another vector.",
      """
def last_row_only(x, K, V, W_q, W_k, W_v):
    q, k, v = W_q @ x, W_k @ x, W_v @ x
    K, V = torch.cat([K, k[None]]), torch.cat([V, v[None]])
    return attend(q, K, V), K, V
""")
step("row-as-value", "own-key-and-value-last",
     "What is kept as value is the token's output row; later tokens ask for x @ W_v.",
     *_GROW, "row = attend(q, K, V)", "V = torch.cat([V[:-1], row[None]])", "return row, K, V")
step("kept-scaled", "own-key-and-value-last",
     "The key is kept already divided by the root of d; scores() divides once more at every step.",
     "k = k / math.sqrt(len(k))", *_GROW, "return attend(q, K, V), K, V")
step("attends-before-growing", "sees-itself",
     "The query meets the old keys before the new one is appended: the token does not see itself.",
     "row = attend(q, K, V) if len(K) else v", *_GROW, "return row, K, V")
step("new-row-cut-off", "sees-itself",
     "The last row is cut off before attending; it is the token's own.",
     *_GROW, "return (attend(q, K[:-1], V[:-1]) if len(K) > 1 else v), K, V")
step("one-query-among-all-keys", "equals-the-last-row",
     "causal_attend wants as many queries as keys: with one query its triangle does not fit, and that query counts as "
     "the first token of the text.",
     "from labkit.mine import causal_attend", *_GROW, "return causal_attend(q[None], K, V)[-1], K, V")
step("asks-with-the-key", "equals-the-last-row",
     "The row is asked for with the key instead of the query.",
     *_GROW, "return attend(k, K, V), K, V")
step("asks-with-x", "equals-the-last-row",
     "The row is asked for with x itself where it happens to be as wide as a key; the query is x @ W_q.",
     *_GROW, "return attend(x if len(x) == len(q) else q, K, V), K, V")
step("itself-only", "equals-the-last-row",
     "The row is the token's own value: nothing of the past comes in.",
     *_GROW, "return v, K, V")
step("unscaled", "equals-the-last-row",
     "The scores are not divided by the root of d here.",
     *_GROW, "return torch.softmax(K @ q, dim=0) @ V, K, V")
step("naive-exp", "equals-the-last-row",
     "Without subtracting the largest score its exponential overflows.",
     *_GROW, "e = torch.exp(scores(q, K))", "return e / e.sum() @ V, K, V")
step("mean-of-values", "equals-the-last-row",
     "Every value counts the same; the query has no say.",
     *_GROW, "return V.mean(dim=0), K, V")
step("root-of-hidden", "equals-the-last-row",
     "The divisor is the root of the width of x; scores are divided by the root of the width of a key.",
     *_GROW, "return torch.softmax(K @ q / math.sqrt(len(x)), dim=0) @ V, K, V")
step("own-value-not-mixed-in", "equals-the-last-row",
     "The new key takes its share of the weights, but its value is not in the mixture.",
     "old = V", *_GROW, "w = torch.softmax(scores(q, K), 0)", "return w[:-1] @ old, K, V")
step("values-projected-again", "equals-the-last-row",
     "The mixture goes through W_v once more where the widths allow it; the kept values have been through it.",
     *_GROW, "row = attend(q, K, V)", "return (row @ W_v if len(row) == len(x) == len(v) else row), K, V")
step("last-row-overwritten", "gives-row-keys-values",
     "The new key and value are written over the last ones of the copy; it has to grow by a row.",
     "if len(K):", "    K, V = K.clone(), V.clone()", "    K[-1], V[-1] = k, v",
     "return (attend(q, K, V) if len(K) else v), K, V")
step("lists-of-rows", "gives-row-keys-values",
     "K and V come back as lists of rows; the next step needs tensors.",
     "Ks, Vs = [*K, k], [*V, v]", "return attend(q, torch.stack(Ks), torch.stack(Vs)), Ks, Vs")
step("single-precision", "same-dtype-as-given",
     "On the way the numbers became float32, which a new tensor is unless told otherwise.",
     "n = len(K)", "grown_K, grown_V = torch.zeros(n + 1, len(k)), torch.zeros(n + 1, len(v))",
     "grown_K[:n], grown_V[:n], grown_K[n], grown_V[n] = K, V, k, v",
     "return attend(q, grown_K.to(q.dtype), grown_V.to(q.dtype)), grown_K, grown_V")
step("empty-refused", "the-first-token-too",
     "Where nothing is kept yet the step ends in an error; the first token has nobody but itself.",
     "if len(K) == 0:", "    raise ValueError('no keys')", *_GROW, "return attend(q, K, V), K, V")
step("zeros-for-the-first", "the-first-token-too",
     "The first token gets a row of zeros; it sees itself, so its row is its own value.",
     "if len(K) == 0:", "    return torch.zeros_like(v), k[None], v[None]", *_GROW, "return attend(q, K, V), K, V")
step("x-for-the-first", "the-first-token-too",
     "The first token's row is its key; with one key the weight is 1 and the row is the value.",
     "if len(K) == 0:", "    return torch.zeros_like(v) + k.sum(), k[None], v[None]", *_GROW,
     "return attend(q, K, V), K, V")

right("last_row_only", "vstack", """
def last_row_only(x, K, V, W_q, W_k, W_v):
    K = torch.vstack((K, x @ W_k))
    V = torch.vstack((V, x @ W_v))
    return attend(x @ W_q, K, V), K, V
""")
right("last_row_only", "by-hand", """
def last_row_only(x, K, V, W_q, W_k, W_v):
    n = K.shape[0]
    grown_K, grown_V = K.new_empty(n + 1, K.shape[1]), V.new_empty(n + 1, V.shape[1])
    grown_K[:n], grown_V[:n] = K, V
    grown_K[n], grown_V[n] = W_k.T @ x, W_v.T @ x
    s = grown_K @ (W_q.T @ x) / math.sqrt(grown_K.shape[1])
    return [torch.softmax(s, 0) @ grown_V, grown_K, grown_V]
""")
right("last_row_only", "own-share-apart", """
def last_row_only(x, K, V, W_q, W_k, W_v):
    q, k, v = x @ W_q, x @ W_k, x @ W_v
    s = torch.cat([scores(q, K), (q @ k / math.sqrt(len(k))).reshape(1)])
    w = torch.exp(s - torch.logsumexp(s, 0))
    return w[:-1] @ V + w[-1] * v, torch.cat([K, k.reshape(1, -1)]), torch.cat([V, v.reshape(1, -1)])
""")
