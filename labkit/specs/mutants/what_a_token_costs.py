"""Wrong ways to count bytes and to decode with a cache, each with the rule that must name it, and right ones."""

from __future__ import annotations

from labkit.grading.mutants import Mutant, Right

MUTANTS: list[Mutant] = []
RIGHT: list[Right] = []


def wrong(exercise: str, name: str, breaks: str, why: str, source: str) -> None:
    MUTANTS.append(Mutant(exercise, name, breaks, why, source))


def right(exercise: str, name: str, source: str) -> None:
    RIGHT.append(Right(exercise, name, source))


# ----- kv_bytes ---------------------------------------------------------------------------------------------------


def _kv(body: str) -> str:
    return f"def kv_bytes(num_layers, num_kv_heads, head_dim, bytes_per_value):\n    {body}\n"


wrong("kv_bytes", "keys-only", "a-key-and-a-value",
      "This counts the keys; the values are as large again, and attention needs both.",
      _kv("return num_layers * num_kv_heads * head_dim * bytes_per_value"))
wrong("kv_bytes", "query-too", "a-key-and-a-value",
      "The query of a token is used once, in its own step, and never read again: it is not kept.",
      _kv("return 3 * num_layers * num_kv_heads * head_dim * bytes_per_value"))
wrong("kv_bytes", "four", "a-key-and-a-value",
      "The factor 2 for key and value stands here twice.",
      _kv("return 4 * num_layers * num_kv_heads * head_dim * bytes_per_value"))
wrong("kv_bytes", "squared", "a-key-and-a-value",
      "Raised to the power of 2 where twice is meant: a key and a value are two vectors, not a product of them.",
      _kv("return (num_layers * num_kv_heads * head_dim * bytes_per_value) ** 2"))
wrong("kv_bytes", "forgets-return", "bytes-not-numbers",
      "The number is computed and then dropped: the function ends without a return.",
      _kv("total = 2 * num_layers * num_kv_heads * head_dim * bytes_per_value"))
wrong("kv_bytes", "one-layer", "every-layer-keeps-its-own",
      "This is one layer; every layer computes keys and values of its own and keeps them.",
      _kv("return 2 * num_kv_heads * head_dim * bytes_per_value"))
wrong("kv_bytes", "layer-added", "every-layer-keeps-its-own",
      "The layers are added where they multiply: each of them keeps all the heads.",
      _kv("return 2 * num_kv_heads * head_dim * bytes_per_value + num_layers - 1"))
wrong("kv_bytes", "last-layer-missing", "every-layer-keeps-its-own",
      "One layer is left out; the last one attends like all the others.",
      _kv("return 2 * (num_layers - 1) * num_kv_heads * head_dim * bytes_per_value"))
wrong("kv_bytes", "one-head", "every-kv-head-keeps-its-own",
      "This is one KV head; the others keep keys and values of their own.",
      _kv("return 2 * num_layers * head_dim * bytes_per_value"))
wrong("kv_bytes", "head-dim-split", "every-kv-head-keeps-its-own",
      "head_dim is the length of the vector of one head already; it is not shared out among the heads.",
      _kv("return 2 * num_layers * num_kv_heads * (head_dim // num_kv_heads) * bytes_per_value"))
wrong("kv_bytes", "values-once-for-all-heads", "every-kv-head-keeps-its-own",
      "Every KV head has a value vector of its own; here the values are counted once for all heads.",
      _kv("return num_layers * (num_kv_heads + 1) * head_dim * bytes_per_value"))
wrong("kv_bytes", "heads-not-vectors", "head-dim-numbers-a-vector",
      "This counts vectors; each of them is head_dim numbers long.",
      _kv("return 2 * num_layers * num_kv_heads * bytes_per_value"))
wrong("kv_bytes", "only-sixty-four", "head-dim-numbers-a-vector",
      "The length of a vector is a parameter; 64 is only what one model has.",
      _kv("return 2 * num_layers * num_kv_heads * 64 * bytes_per_value"))
wrong("kv_bytes", "rounded-to-64", "head-dim-numbers-a-vector",
      "Vectors are not padded to a multiple of 64 in this count: head_dim numbers are head_dim numbers.",
      _kv("return 2 * num_layers * num_kv_heads * -(-head_dim // 64) * 64 * bytes_per_value"))
wrong("kv_bytes", "numbers-not-bytes", "bytes-not-numbers",
      "This is how many numbers are kept; each takes bytes_per_value bytes.",
      _kv("return 2 * num_layers * num_kv_heads * head_dim"))
wrong("kv_bytes", "always-two-bytes", "bytes-not-numbers",
      "Two bytes a number holds for 16-bit formats only; the parameter says how many there are.",
      _kv("return 2 * num_layers * num_kv_heads * head_dim * 2"))
wrong("kv_bytes", "bits", "bytes-not-numbers",
      "Eight times too large: this is the number of bits.",
      _kv("return 2 * num_layers * num_kv_heads * head_dim * bytes_per_value * 8"))
wrong("kv_bytes", "divided", "bytes-not-numbers",
      "More bytes a number make the cache larger, not smaller.",
      _kv("return 2 * num_layers * num_kv_heads * head_dim // bytes_per_value"))
wrong("kv_bytes", "in-kib", "bytes-not-numbers",
      "The answer is asked for in bytes; dividing by 1,024 makes KiB of it.",
      _kv("return 2 * num_layers * num_kv_heads * head_dim * bytes_per_value / 1024"))
wrong("kv_bytes", "float", "bytes-not-numbers",
      "A count of bytes is a whole number; multiplied by 2.0 it becomes a float, which cannot hold every large one.",
      _kv("return 2.0 * num_layers * num_kv_heads * head_dim * bytes_per_value"))
wrong("kv_bytes", "sum", "a-key-and-a-value",
      "The arguments multiply: every layer keeps every head with all its numbers.",
      _kv("return 2 * (num_layers + num_kv_heads + head_dim + bytes_per_value - 3)"))
right("kv_bytes", "two-steps", "def kv_bytes(num_layers, num_kv_heads, head_dim, bytes_per_value):\n"
      "    vector = head_dim * bytes_per_value\n    key = value = num_kv_heads * vector\n"
      "    return num_layers * (key + value)\n")
right("kv_bytes", "loops-over-layers", "def kv_bytes(num_layers, num_kv_heads, head_dim, bytes_per_value=2):\n"
      "    import math\n    per_layer = math.prod((2, num_kv_heads, head_dim, bytes_per_value))\n"
      "    return per_layer * num_layers\n")
right("kv_bytes", "numpy", "import numpy as np\n\ndef kv_bytes(num_layers, num_kv_heads, head_dim, bytes_per_value):\n"
      "    return np.int64(2) * num_layers * num_kv_heads * head_dim * bytes_per_value\n")

wrong("kv_bytes", "plain-sum", "a-key-and-a-value",
      "The arguments multiply: every layer keeps every head with all its numbers, and each number takes its bytes.",
      _kv("return 2 * (num_layers + num_kv_heads + head_dim + bytes_per_value)"))
wrong("kv_bytes", "two-by-caret", "a-key-and-a-value",
      "In Python ^ is no power and no product: it compares bits.",
      _kv("return 2 ^ num_layers * num_kv_heads * head_dim * bytes_per_value"))
wrong("kv_bytes", "one-layer-more", "every-layer-keeps-its-own",
      "One layer too many: the embedding keeps no keys and values.",
      _kv("return 2 * (num_layers + 1) * num_kv_heads * head_dim * bytes_per_value"))
wrong("kv_bytes", "always-32-layers", "every-layer-keeps-its-own",
      "32 is the number of layers of one model; the parameter says how many there are.",
      _kv("return 2 * 32 * num_kv_heads * head_dim * bytes_per_value"))
wrong("kv_bytes", "values-of-one-layer", "every-layer-keeps-its-own",
      "The keys are counted for every layer and the values for one; each layer keeps both.",
      _kv("return (num_layers + 1) * num_kv_heads * head_dim * bytes_per_value"))
wrong("kv_bytes", "power-of-layers", "every-layer-keeps-its-own",
      "With one layer more the cache grows by the same amount again; it does not double.",
      _kv("return 2 ** num_layers * num_kv_heads * head_dim * bytes_per_value"))
wrong("kv_bytes", "heads-squared", "every-kv-head-keeps-its-own",
      "The heads are counted twice: once by themselves and once in the width of all heads together.",
      _kv("width = num_kv_heads * head_dim\n    return 2 * num_layers * num_kv_heads * width * bytes_per_value"))
wrong("kv_bytes", "mqa-keeps-half", "every-kv-head-keeps-its-own",
      "One KV head in all is no case of its own: that head, too, keeps a key and a value.",
      _kv("pair = 2 if num_kv_heads > 1 else 1\n"
          "    return pair * num_layers * num_kv_heads * head_dim * bytes_per_value"))
wrong("kv_bytes", "queries-as-well", "every-kv-head-keeps-its-own",
      "Something is added beside the heads' keys and values; a token leaves nothing else behind.",
      _kv("return (2 * num_kv_heads + 1) * num_layers * head_dim * bytes_per_value"))
wrong("kv_bytes", "always-128", "head-dim-numbers-a-vector",
      "The length of a vector is a parameter; 128 is only what many models have.",
      _kv("return 2 * num_layers * num_kv_heads * 128 * bytes_per_value"))
wrong("kv_bytes", "head-dim-squared", "head-dim-numbers-a-vector",
      "A key is a vector of head_dim numbers, not a table of head_dim times head_dim.",
      _kv("return 2 * num_layers * num_kv_heads * head_dim**2 * bytes_per_value"))
wrong("kv_bytes", "bytes-added-to-dim", "head-dim-numbers-a-vector",
      "Length and bytes are added: each of the numbers takes its bytes, so they multiply.",
      _kv("return 2 * num_layers * num_kv_heads * (head_dim + bytes_per_value)"))
wrong("kv_bytes", "keys-in-numbers", "bytes-not-numbers",
      "The keys are counted in numbers and the values in bytes; both take bytes.",
      _kv("numbers = num_layers * num_kv_heads * head_dim\n    return numbers + numbers * bytes_per_value"))
wrong("kv_bytes", "at-least-two-bytes", "bytes-not-numbers",
      "An 8-bit format takes one byte a number; nothing rounds it up to two.",
      _kv("return 2 * num_layers * num_kv_heads * head_dim * max(bytes_per_value, 2)"))
wrong("kv_bytes", "whole-kib", "bytes-not-numbers",
      "The answer is asked for in bytes; in whole KiB most of it is lost.",
      _kv("return 2 * num_layers * num_kv_heads * head_dim * bytes_per_value // 1024"))
wrong("kv_bytes", "bytes-taken-for-bits", "bytes-not-numbers",
      "bytes_per_value is in bytes already; dividing by 8 takes it for bits.",
      _kv("return 2 * num_layers * num_kv_heads * head_dim * bytes_per_value // 8"))
wrong("kv_bytes", "a-block-of-sixteen", "bytes-not-numbers",
      "Sixteen times too large: this is a block of 16 tokens, and one token was asked for.",
      _kv("return 16 * 2 * num_layers * num_kv_heads * head_dim * bytes_per_value"))
wrong("kv_bytes", "divided-exactly", "bytes-not-numbers",
      "More bytes a number make the cache larger, not smaller, and / makes a float of it.",
      _kv("return 2 * num_layers * num_kv_heads * head_dim / bytes_per_value"))
wrong("kv_bytes", "as-text", "bytes-not-numbers",
      "A text comes back; whoever calls this goes on to multiply it.",
      _kv("return f'{2 * num_layers * num_kv_heads * head_dim * bytes_per_value} bytes'"))
wrong("kv_bytes", "key-and-value-apart", "bytes-not-numbers",
      "Two numbers come back, one for keys and one for values; the answer is their sum.",
      _kv("one = num_layers * num_kv_heads * head_dim * bytes_per_value\n    return one, one"))
right("kv_bytes", "counted-by-loops", _kv(
    "total = 0\n    for _ in range(num_layers):\n        for _ in range(num_kv_heads):\n"
    "            for _ in ('key', 'value'):\n                total += head_dim * bytes_per_value\n    return total"))
right("kv_bytes", "shifted", _kv(
    "assert bytes_per_value in (1, 2, 4)\n    print('counting')\n"
    "    return (num_layers * num_kv_heads * head_dim << 1) << (bytes_per_value.bit_length() - 1)"))
right("kv_bytes", "size-of-a-tensor", "import torch\n\n" + _kv(
    "kept = torch.empty(2, num_layers, num_kv_heads, head_dim, device='meta')\n"
    "    return kept.numel() * bytes_per_value"))
right("kv_bytes", "float-made-whole", _kv(
    "return int(2.0 * num_layers * num_kv_heads * head_dim * bytes_per_value)"))

# ----- attend_last ------------------------------------------------------------------------------------------------


def _last(body: str, head: str = "") -> str:
    lines = "\n    ".join(body.splitlines())
    return f"{head}def attend_last(q, K, V):\n    {lines}\n"


def _rows(kv: str, row: str = "attend(q[h], K[:, kv], V[:, kv])") -> str:
    return _last(f"group = q.shape[0] // K.shape[1]\nrows = []\nfor h in range(q.shape[0]):\n    kv = {kv}\n"
                 f"    rows.append({row})\nreturn torch.stack(rows)")


def _whole(weights: str = "torch.softmax(s / math.sqrt(q.shape[1]), dim=-1)",
           repeat: str = "x.repeat_interleave(q.shape[0] // x.shape[1], dim=1)",
           out: str = "torch.einsum('hn,nhd->hd', w, V)") -> str:
    return _last(f"K, V = (({repeat}) for x in (K, V))\ns = torch.einsum('hd,nhd->hn', q, K)\nw = {weights}\n"
                 f"return {out}")


wrong("attend_last", "heads-dealt-like-cards", "neighbours-share-a-kv-head",
      "The query heads are dealt out to the KV heads in turn, as h % kv_heads, repeat and a view as (group, "
      "kv_heads) do; the groups are neighbours, so that one read of a KV head serves a row of query heads.",
      _rows("h % K.shape[1]"))
wrong("attend_last", "repeat-not-interleave", "neighbours-share-a-kv-head",
      "The query heads are dealt out to the KV heads in turn, as h % kv_heads, repeat and a view as (group, "
      "kv_heads) do; the groups are neighbours, so that one read of a KV head serves a row of query heads.",
      _whole(repeat="x.repeat(1, q.shape[0] // x.shape[1], 1)"))
wrong("attend_last", "always-head-zero", "neighbours-share-a-kv-head",
      "Every query head takes its values from KV head 0, as in multi-query attention; here each group has a head of "
      "its own.", _rows("0"))
wrong("attend_last", "head-number-as-is", "neighbours-share-a-kv-head",
      "There are fewer KV heads than query heads: the number of the query head has to be brought down to that of its "
      "group.", _rows("min(h, K.shape[1] - 1)"))
wrong("attend_last", "head-number-out-of-range", "neighbours-share-a-kv-head",
      "The query head's own number is used for K and V, which have fewer heads, so the index runs out.", _rows("h"))
wrong("attend_last", "group-of-two", "neighbours-share-a-kv-head",
      "The size of a group is q_heads // kv_heads; two is only what one model has.",
      _rows("min(h // 2, K.shape[1] - 1)"))
wrong("attend_last", "divided-by-kv-heads", "neighbours-share-a-kv-head",
      "The head number is divided by the number of KV heads instead of by the size of a group.",
      _rows("min(h // K.shape[1], K.shape[1] - 1)"))
wrong("attend_last", "groups-backwards", "neighbours-share-a-kv-head",
      "The groups are counted from the end: query head 0 should read KV head 0.",
      _rows("K.shape[1] - 1 - h // group"))
wrong("attend_last", "values-of-the-wrong-head", "neighbours-share-a-kv-head",
      "Every query head takes its values from KV head 0, as in multi-query attention; here each group has a head of "
      "its own.",
      _rows("h // group", "attend(q[h], K[:, kv], V[:, 0])"))
wrong("attend_last", "view-the-wrong-way", "neighbours-share-a-kv-head",
      "The query heads are dealt out to the KV heads in turn, as h % kv_heads, repeat and a view as (group, "
      "kv_heads) do; the groups are neighbours, so that one read of a KV head serves a row of query heads.",
      _last("kv = K.shape[1]\nqs = q.view(-1, kv, q.shape[1])\n"
            "s = torch.einsum('gkd,nkd->gkn', qs, K) / math.sqrt(q.shape[1])\n"
            "return torch.einsum('gkn,nkd->gkd', torch.softmax(s, -1), V).reshape(q.shape[0], -1)"))
wrong("attend_last", "no-scale", "scores-as-in-lesson-01",
      "The products are not divided by the root of d, so the largest score takes more weight than it should.",
      _whole("torch.softmax(s, dim=-1)"))
wrong("attend_last", "divided-by-d", "scores-as-in-lesson-01",
      "The products are divided by d in all where its root is due; attend and scores divide by that root "
      "themselves.", _whole("torch.softmax(s / q.shape[1], dim=-1)"))
wrong("attend_last", "scaled-twice", "scores-as-in-lesson-01",
      "The products are divided by d in all where its root is due; attend and scores divide by that root "
      "themselves.",
      _rows("h // group", "attend(q[h] / math.sqrt(q.shape[1]), K[:, kv], V[:, kv])"))
wrong("attend_last", "root-of-heads", "scores-as-in-lesson-01",
      "q.shape[0] is the number of heads; the divisor comes from the length of a vector.",
      _whole("torch.softmax(s / math.sqrt(q.shape[0]), dim=-1)"))
wrong("attend_last", "root-of-tokens", "scores-as-in-lesson-01",
      "K.shape[0] is the number of tokens; the divisor comes from the length of a vector, so that adding a token "
      "changes no score.", _whole("torch.softmax(s / math.sqrt(K.shape[0]), dim=-1)"))
wrong("attend_last", "sign-turned", "scores-as-in-lesson-01",
      "The scores are negated, so the key that fits worst takes the most weight.",
      _whole("torch.softmax(-s / math.sqrt(q.shape[1]), dim=-1)"))
wrong("attend_last", "last-token-left-out", "every-token-counts",
      "The slice up to -1 drops the newest key; a token looks at itself as well.",
      _rows("h // group", "attend(q[h], K[:-1, kv], V[:-1, kv]) if len(K) > 1 else V[0, kv]"))
wrong("attend_last", "slice-before-the-last", "every-token-counts",
      "The slice up to -1 drops the newest key; a token looks at itself as well.",
      _rows("h // group", "attend(q[h], K[:-1, kv], V[:-1, kv])"))
wrong("attend_last", "first-token-left-out", "every-token-counts",
      "The slice from 1 on drops the first token of the sequence.",
      _rows("h // group", "attend(q[h], K[1:, kv], V[1:, kv]) if len(K) > 1 else V[0, kv]"))
wrong("attend_last", "newest-only", "every-token-counts",
      "Only the newest key and value are read; the point of the cache is all those before it.",
      _rows("h // group", "attend(q[h], K[-1:, kv], V[-1:, kv])"))
wrong("attend_last", "future-mask", "every-token-counts",
      "Where all scores are equal, only the first token is read: that is what a mask does that is drawn as if this "
      "query were the first row, and what taking the largest score alone does. The last token has no future and "
      "mixes all.",
      _whole("torch.softmax((s / math.sqrt(q.shape[1])).masked_fill(torch.arange(s.shape[1]) > 0, -math.inf), dim=-1)"))
wrong("attend_last", "softmax-over-heads", "weights-sum-to-one",
      "The softmax runs over the heads; the weights of each head have to sum to 1 over the tokens.",
      _whole("torch.softmax(s / math.sqrt(q.shape[1]), dim=0)"))
wrong("attend_last", "softmax-over-everything", "weights-sum-to-one",
      "One softmax over heads and tokens together: the heads then compete with each other.",
      _whole("torch.softmax((s / math.sqrt(q.shape[1])).reshape(-1), dim=0).reshape(s.shape)"))
wrong("attend_last", "no-softmax", "weights-sum-to-one",
      "The scores are used as weights as they are; they can be negative and sum to anything.",
      _whole("s / math.sqrt(q.shape[1])"))
wrong("attend_last", "mean-of-values-times-weights", "weights-sum-to-one",
      "After weighting there is a sum over the tokens; a mean divides by their number once more.",
      _whole(out="(w.T[:, :, None] * V).mean(dim=0)"))
wrong("attend_last", "sum-of-heads", "one-mixture-a-query-head",
      "The heads are added up; each keeps a row of its own.", _last(
          "group = q.shape[0] // K.shape[1]\nreturn sum(attend(q[h], K[:, h // group], V[:, h // group]) "
          "for h in range(q.shape[0]))"))
wrong("attend_last", "flattened", "one-mixture-a-query-head",
      "The rows of the heads are laid end to end; the answer has one row a head, [q_heads, dv].", _last(
          "group = q.shape[0] // K.shape[1]\nreturn torch.cat([attend(q[h], K[:, h // group], V[:, h // group]) "
          "for h in range(q.shape[0])])"))
wrong("attend_last", "list-of-rows", "one-mixture-a-query-head",
      "A list of rows comes back; stacked they are the tensor that was asked for.", _last(
          "group = q.shape[0] // K.shape[1]\nreturn [attend(q[h], K[:, h // group], V[:, h // group]) "
          "for h in range(q.shape[0])]"))
wrong("attend_last", "mixes-keys", "one-mixture-a-query-head",
      "The weights are laid on the keys; what is mixed are the values.",
      _rows("h // group", "attend(q[h], K[:, kv], K[:, kv])"))
wrong("attend_last", "one-row-a-kv-head", "one-mixture-a-query-head",
      "There is one row for each KV head; every query head asks its own question and gets its own row.", _last(
          "return torch.stack([attend(q[h], K[:, h], V[:, h]) for h in range(K.shape[1])])"))
wrong("attend_last", "transposed", "one-mixture-a-query-head",
      "Rows and columns are swapped: one row a head, [q_heads, dv].", _last(
          "group = q.shape[0] // K.shape[1]\nreturn torch.stack([attend(q[h], K[:, h // group], V[:, h // group]) "
          "for h in range(q.shape[0])], dim=1)"))
wrong("attend_last", "exp-as-it-is", "any-size-of-score",
      "exp of a large score is infinite, and infinity divided by itself is not a number; only differences between "
      "scores matter.",
      _whole("torch.exp(s / math.sqrt(q.shape[1])) / torch.exp(s / math.sqrt(q.shape[1])).sum(-1, keepdim=True)"))
wrong("attend_last", "clipped-scores", "any-size-of-score",
      "Clipping the scores keeps exp finite but makes all large scores equal.",
      _whole("torch.softmax((s / math.sqrt(q.shape[1])).clamp(-80, 80), dim=-1)"))
wrong("attend_last", "forgets-return", "one-mixture-a-query-head",
      "The rows are computed and then dropped: the function ends without a return.", _last(
          "group = q.shape[0] // K.shape[1]\nrows = torch.stack([attend(q[h], K[:, h // group], V[:, h // group]) "
          "for h in range(q.shape[0])])"))
wrong("attend_last", "scales-in-place", "changed-inputs",
      "q is divided in place, which changes the caller's tensor; work on a new one.",
      _last("q /= math.sqrt(q.shape[1])\n"
            "K, V = (x.repeat_interleave(q.shape[0] // x.shape[1], dim=1) for x in (K, V))\n"
            "w = torch.softmax(torch.einsum('hd,nhd->hn', q, K), dim=-1)\nreturn torch.einsum('hn,nhd->hd', w, V)"))
right("attend_last", "whole-heads-at-once", _whole())
right("attend_last", "grouped-einsum", _last(
    "kv, d = K.shape[1], q.shape[1]\nqs = q.reshape(kv, -1, d)\n"
    "w = torch.softmax(torch.einsum('kgd,nkd->kgn', qs, K) / math.sqrt(d), dim=-1)\n"
    "return torch.einsum('kgn,nkd->kgd', w, V).reshape(q.shape[0], V.shape[2])"))
right("attend_last", "scores-and-softmax", _last(
    "rows = []\nheads_each = len(q) // K.shape[1]\nfor h, query in enumerate(q):\n"
    "    kv = int(h / heads_each)\n    w = torch.softmax(scores(query, K[:, kv, :]), dim=0)\n"
    "    rows.append((w[:, None] * V[:, kv, :]).sum(dim=0))\nreturn torch.stack(rows, dim=0)"))
right("attend_last", "scaled-dot-product", _last(
    "from torch.nn.functional import scaled_dot_product_attention as sdpa\n"
    "group = q.shape[0] // K.shape[1]\nK, V = (x.repeat_interleave(group, 1).transpose(0, 1) for x in (K, V))\n"
    "return sdpa(q[:, None], K, V)[:, 0]"))

wrong("attend_last", "group-upside-down", "neighbours-share-a-kv-head",
      "The size of a group is q_heads divided by kv_heads; the other way round it comes out as 0.",
      _rows("h // (K.shape[1] // q.shape[0])"))
wrong("attend_last", "number-within-the-group", "neighbours-share-a-kv-head",
      "The remainder says which place a head has within its group; asked for is which group it belongs to.",
      _rows("h % group % K.shape[1]"))
wrong("attend_last", "keys-of-the-wrong-head", "neighbours-share-a-kv-head",
      "Values come from the right KV head and keys from another: a head's keys and values belong together.",
      _rows("h // group", "attend(q[h], K[:, h % K.shape[1]], V[:, kv])"))
wrong("attend_last", "token-for-head", "every-token-counts",
      "The first index of K and V counts tokens, the second KV heads: this reads all heads of one token.",
      _rows("h // group", "attend(q[h], K[kv % len(K)], V[kv % len(K)])"))
wrong("attend_last", "window-of-four", "every-token-counts",
      "Only the last four tokens are read; this attention has no window.",
      _rows("h // group", "attend(q[h], K[-4:, kv], V[-4:, kv])"))
wrong("attend_last", "triangle-over-heads", "every-token-counts",
      "A triangular mask lies over heads and tokens, so that head 0 sees one token and head 1 two; all heads belong to "
      "the last token, which sees all.",
      _whole("torch.softmax((s / math.sqrt(q.shape[1])).masked_fill(torch.ones_like(s).tril() == 0, -math.inf), -1)"))
wrong("attend_last", "skips-zero-keys", "every-token-counts",
      "Tokens whose key is zero are left out; a score of 0 is a score like any other.",
      _rows("h // group", "attend(q[h], K[K[:, kv].any(-1), kv], V[K[:, kv].any(-1), kv])"))
wrong("attend_last", "divided-by-the-sum-of-scores", "every-token-counts",
      "The scores are divided by their sum, which can be 0 or negative; softmax divides exponentials.",
      _whole("s / s.sum(-1, keepdim=True)"))
wrong("attend_last", "plain-mean", "scores-as-in-lesson-01",
      "All tokens count the same whatever the query asks: the scores are not used.",
      _whole("torch.full_like(s, 1 / s.shape[1])"))
wrong("attend_last", "times-the-root", "scores-as-in-lesson-01",
      "The products are multiplied by the root of d where they are divided by it.",
      _whole("torch.softmax(s * math.sqrt(q.shape[1]), dim=-1)"))
wrong("attend_last", "root-of-value-length", "scores-as-in-lesson-01",
      "The divisor comes from the length of queries and keys, not from that of values.",
      _whole("torch.softmax(s / math.sqrt(V.shape[-1]), dim=-1)"))
wrong("attend_last", "root-of-all-heads", "scores-as-in-lesson-01",
      "The divisor comes from the length of one head's vector, not from all heads laid end to end.",
      _whole("torch.softmax(s / math.sqrt(q.numel()), dim=-1)"))
wrong("attend_last", "softmax-twice", "scores-as-in-lesson-01",
      "Softmax is applied to weights that came out of a softmax; the second time flattens them.",
      _whole("torch.softmax(torch.softmax(s / math.sqrt(q.shape[1]), dim=-1), dim=-1)"))
wrong("attend_last", "one-query-a-group", "scores-as-in-lesson-01",
      "The queries of a group are averaged; they share keys and values, but each asks its own question.",
      _last("kv = K.shape[1]\nqs = q.view(kv, -1, q.shape[1]).mean(1)\n"
            "s = torch.einsum('kd,nkd->kn', qs, K) / math.sqrt(q.shape[1])\n"
            "return torch.einsum('kn,nkd->kd', s.softmax(-1), V).repeat_interleave(q.shape[0] // kv, 0)"))
wrong("attend_last", "values-backwards", "scores-as-in-lesson-01",
      "Keys and values are paired in opposite order: the weight of the first token falls on the value of the last.",
      _rows("h // group", "attend(q[h], K[:, kv], V[:, kv].flip(0))"))
wrong("attend_last", "half-precision", "scores-as-in-lesson-01",
      "The answer is rounded to 16 bits: three digits are left of it.", _last(
          "group = q.shape[0] // K.shape[1]\nreturn torch.stack([attend(q[h], K[:, h // group], V[:, h // group]) "
          "for h in range(q.shape[0])]).half()"))
wrong("attend_last", "first-query-for-all", "one-mixture-a-query-head",
      "Query 0 is used for every head; each head asks with its own row of q.",
      _rows("h // group", "attend(q[0], K[:, kv], V[:, kv])"))
wrong("attend_last", "last-query-for-all", "one-mixture-a-query-head",
      "Each row of q is one head of the last token, not one token: q[-1] is the last head alone.",
      _rows("h // group", "attend(q[-1], K[:, kv], V[:, kv])"))
wrong("attend_last", "as-wide-as-a-query", "one-mixture-a-query-head",
      "The answer is made as wide as a query; a mixture is as wide as the values it is mixed from.", _last(
          "out = torch.zeros_like(q)\ngroup = q.shape[0] // K.shape[1]\nfor h in range(q.shape[0]):\n"
          "    row = attend(q[h], K[:, h // group], V[:, h // group])\n    out[h, :len(row)] = row[:q.shape[1]]\n"
          "return out"))
wrong("attend_last", "a-dimension-left", "one-mixture-a-query-head",
      "A dimension of 1, which the library function wanted for the query, is still in the answer.", _last(
          "from torch.nn.functional import scaled_dot_product_attention as sdpa\n"
          "group = q.shape[0] // K.shape[1]\n"
          "K, V = (x.repeat_interleave(group, 1).transpose(0, 1) for x in (K, V))\nreturn sdpa(q[:, None], K, V)"))
wrong("attend_last", "return-in-the-loop", "one-mixture-a-query-head",
      "The return stands inside of the loop and ends it after the first head.",
      _rows("h // group").replace("return torch", "    return torch"))
wrong("attend_last", "last-row-only", "one-mixture-a-query-head",
      "Each round overwrites the row of the one before: the last head's is all that comes back.", _last(
          "group = q.shape[0] // K.shape[1]\nfor h in range(q.shape[0]):\n"
          "    out = attend(q[h], K[:, h // group], V[:, h // group])\nreturn out"))
wrong("attend_last", "mean-of-heads", "one-mixture-a-query-head",
      "The heads are averaged; each keeps a row of its own.", _last(
          "group = q.shape[0] // K.shape[1]\nreturn torch.stack([attend(q[h], K[:, h // group], V[:, h // group]) "
          "for h in range(q.shape[0])]).mean(0)"))
wrong("attend_last", "exp-and-no-sum", "weights-sum-to-one",
      "The exponentials are used as weights as they are; softmax divides them by their sum.",
      _whole("torch.exp(s / math.sqrt(q.shape[1]))"))
wrong("attend_last", "sigmoid", "weights-sum-to-one",
      "Each score is squeezed by itself; the tokens have to share one whole among them.",
      _whole("torch.sigmoid(s / math.sqrt(q.shape[1]))"))
wrong("attend_last", "largest-score-of-all-heads", "any-size-of-score",
      "The smallest score is taken off where the largest keeps exp finite.",
      _last("K, V = (x.repeat_interleave(q.shape[0] // x.shape[1], dim=1) for x in (K, V))\n"
            "s = torch.einsum('hd,nhd->hn', q, K) / math.sqrt(q.shape[1])\ne = (s - s.min()).exp()\n"
            "return torch.einsum('hn,nhd->hd', e / e.sum(-1, keepdim=True), V)"))
right("attend_last", "numbers-without-tensors", _last(
    "rows = []\nfor h, row in enumerate(q.tolist()):\n    kv = h * K.shape[1] // len(q)\n"
    "    s = [sum(a * b for a, b in zip(row, k)) / math.sqrt(len(row)) for k in K[:, kv].tolist()]\n"
    "    e = [math.exp(x - max(s)) for x in s]\n"
    "    rows.append([sum(w * x for w, x in zip(e, column)) / sum(e) for column in V[:, kv].T.tolist()])\n"
    "return torch.tensor(rows)"))
right("attend_last", "32-bit", _last(
    "out = torch.zeros(len(q), V.shape[-1])\nfor h in range(len(q)):\n    kv = h // (len(q) // K.shape[1])\n"
    "    out[h] = attend(q[h].float(), K[:, kv].float(), V[:, kv].float())\nreturn out"))
right("attend_last", "one-token-after-another", _last(
    "rows = []\nfor h in range(len(q)):\n    kv = h // (len(q) // K.shape[1])\n"
    "    top, total, mix = -math.inf, 0.0, torch.zeros(V.shape[2], dtype=V.dtype)\n"
    "    for k, v in zip(K[:, kv], V[:, kv]):\n        s = float(q[h] @ k) / math.sqrt(len(k))\n"
    "        new = max(top, s)\n        total = total * math.exp(top - new) + math.exp(s - new)\n"
    "        mix = mix * math.exp(top - new) + v * math.exp(s - new)\n        top = new\n"
    "    rows.append(mix / total)\nreturn torch.stack(rows)"))
right("attend_last", "library-with-groups", _last(
    "from torch.nn.functional import scaled_dot_product_attention as sdpa\n"
    "return sdpa(q[None, :, None], K.transpose(0, 1)[None], V.transpose(0, 1)[None], enable_gqa=True)[0, :, 0]"))

# ----- decode_cached ----------------------------------------------------------------------------------------------


def _decode(body: str) -> str:
    lines = "\n    ".join(body.splitlines())
    return f"def decode_cached(model, prompt, num_new):\n    {lines}\n"


def _loop(project: str = "model.project(new, start)", keys: str = "k if K is None else torch.cat([K, k])",
          values: str = "v if V is None else torch.cat([V, v])", step: str = "start += len(new)", query: str = "q[-1]",
          after: str = "", rounds: str = "num_new", result: str = "answer", first: str = "list(prompt), 0") -> str:
    return _decode(f"answer = []\nK = V = None\nnew, start = {first}\nfor i in range({rounds}):\n"
                   f"    q, k, v = {project}\n    K = {keys}\n    V = {values}\n    {step}\n"
                   f"    new = [model.next_token(attend_last({query}, K, V))]\n    answer += new\n"
                   f"{after}return {result}")


wrong("decode_cached", "from-scratch", "each-key-computed-once",
      "The whole sequence is computed again in every step, also the tokens whose keys and values are there already.",
      _decode(
          "tokens = list(prompt)\nfor _ in range(num_new):\n    q, K, V = model.project(tokens, 0)\n"
          "    tokens.append(model.next_token(attend_last(q[-1], K, V)))\nreturn tokens[len(prompt):]"))
wrong("decode_cached", "prompt-again-each-step", "each-key-computed-once",
      "The new tokens are kept, but the prompt is computed again in every step.", _decode(
          "answer = []\nKn = Vn = None\nfor i in range(num_new):\n    q, K, V = model.project(list(prompt), 0)\n"
          "    if answer:\n        q, k, v = model.project([answer[-1]], len(prompt) + i - 1)\n"
          "        Kn = k if Kn is None else torch.cat([Kn, k])\n        Vn = v if Vn is None else torch.cat([Vn, v])\n"
          "        K, V = torch.cat([K, Kn]), torch.cat([V, Vn])\n"
          "    answer.append(model.next_token(attend_last(q[-1], K, V)))\nreturn answer"))
wrong("decode_cached", "last-prompt-token-twice", "each-key-computed-once",
      "The prompt is computed whole, and then its last token once more to get a query: its key is now there twice.",
      _decode("answer = []\n_, K, V = model.project(list(prompt), 0)\ntoken, at = prompt[-1], len(prompt) - 1\n"
              "for _ in range(num_new):\n    q, k, v = model.project([token], at)\n"
              "    K, V = torch.cat([K, k]), torch.cat([V, v])\n"
              "    token = model.next_token(attend_last(q[-1], K, V))\n    at += 1\n"
              "    answer.append(token)\nreturn answer"))
wrong("decode_cached", "query-by-computing-again", "each-key-computed-once",
      "Keys and values are kept, but to get the query the newest token is computed a second time.", _decode(
          "answer = []\n_, K, V = model.project(list(prompt), 0)\ntokens = list(prompt)\n"
          "for _ in range(num_new):\n    q, _, _ = model.project([tokens[-1]], len(tokens) - 1)\n"
          "    tokens.append(model.next_token(attend_last(q[-1], K, V)))\n    answer.append(tokens[-1])\n"
          "    _, k, v = model.project([tokens[-1]], len(tokens) - 1)\n"
          "    K, V = torch.cat([K, k]), torch.cat([V, v])\nreturn answer"))
wrong("decode_cached", "grows-from-scratch", "each-key-computed-once",
      "The whole sequence is computed again in every step, also the tokens whose keys and values are there already.",
      _decode("answer = []\nK = V = None\ntokens = list(prompt)\nfor _ in range(num_new):\n"
              "    q, k, v = model.project(tokens, 0)\n    K = k if K is None else torch.cat([K, k[-1:]])\n"
              "    V = v if V is None else torch.cat([V, v[-1:]])\n"
              "    tokens = tokens + [model.next_token(attend_last(q[-1], K, V))]\n    answer.append(tokens[-1])\n"
              "return answer"))
wrong("decode_cached", "always-position-zero", "each-at-its-own-position",
      "Every new token is computed at position 0, so its key says that it stands at the beginning.",
      _loop(step="start = 0"))
wrong("decode_cached", "position-of-the-step", "each-at-its-own-position",
      "The position counts new tokens only; the prompt stands before them.",
      _loop(step="start = i + 1"))
wrong("decode_cached", "position-one-late", "each-at-its-own-position",
      "The first new token stands right behind the prompt, at position len(prompt); here one place is left empty.",
      _loop(step="start = len(prompt) + len(answer) + 1"))
wrong("decode_cached", "position-one-early", "each-at-its-own-position",
      "The first new token is computed at the place of the prompt's last token; it stands one further on.",
      _loop(step="start = len(prompt) + len(answer) - 1"))
wrong("decode_cached", "position-stands-still", "each-at-its-own-position",
      "The position is set behind the prompt and never moves on.", _loop(step="start = len(prompt)"))
wrong("decode_cached", "prompt-from-one", "each-at-its-own-position",
      "Positions count from 0: the first token of the prompt stands at 0.", _loop(first="list(prompt), 1"))
wrong("decode_cached", "keys-not-kept", "tokens-as-from-scratch",
      "The new key replaces the cache where it should be appended to it.", _loop(keys="k", values="v"))
wrong("decode_cached", "prompt-cache-only", "tokens-as-from-scratch",
      "The keys of new tokens are computed but never appended, so later tokens see the prompt alone.",
      _loop(keys="k if K is None else K", values="v if V is None else V"))
wrong("decode_cached", "values-not-kept", "tokens-as-from-scratch",
      "Keys are appended, values are not, so there are keys without a value.",
      _loop(values="v if V is None else V"))
wrong("decode_cached", "new-key-in-front", "tokens-as-from-scratch",
      "New keys go before the old ones while new values go behind: key and value of a token no longer belong together.",
      _loop(keys="k if K is None else torch.cat([k, K])"))
wrong("decode_cached", "attend-before-append", "tokens-as-from-scratch",
      "The token attends before its own key is in the cache; from scratch every token sees itself.", _decode(
          "answer = []\nq, K, V = model.project(list(prompt), 0)\nstart = len(prompt)\nfor _ in range(num_new):\n"
          "    token = model.next_token(attend_last(q[-1], K, V))\n    answer.append(token)\n"
          "    q2, k, v = model.project([token], start)\n    start += 1\n    q = q2\n"
          "    if len(answer) > 1:\n        K, V = torch.cat([K, held[0]]), torch.cat([V, held[1]])\n"
          "    held = (k, v)\nreturn answer"))
wrong("decode_cached", "first-query", "tokens-as-from-scratch",
      "q[0] is the query of the first of the tokens just computed; the next token follows from the last.",
      _loop(query="q[0]"))
wrong("decode_cached", "prompt-query-for-ever", "tokens-as-from-scratch",
      "The query is taken from the prompt once and used for every step; each new token asks with its own.", _decode(
          "answer = []\nq, K, V = model.project(list(prompt), 0)\nstart = len(prompt)\nfor _ in range(num_new):\n"
          "    answer.append(model.next_token(attend_last(q[-1], K, V)))\n"
          "    _, k, v = model.project([answer[-1]], start)\n    start += 1\n"
          "    K, V = torch.cat([K, k]), torch.cat([V, v])\nreturn answer"))
wrong("decode_cached", "window", "tokens-as-from-scratch",
      "Only the last few keys are kept; this model looks at all of them.",
      _loop(keys="k if K is None else torch.cat([K, k])[-4:]", values="v if V is None else torch.cat([V, v])[-4:]"))
wrong("decode_cached", "keys-and-values-swapped", "tokens-as-from-scratch",
      "Keys and values have changed places, on the way from project or on the way to attend_last.",
      _loop(project="(lambda t: (t[0], t[2], t[1]))(model.project(new, start))"))
wrong("decode_cached", "cache-left-in-the-function", "tokens-as-from-scratch",
      "A default argument is made once: the second call finds the first call's keys in it.",
      "def decode_cached(model, prompt, num_new, cache=[]):\n    answer = []\n    new, start = list(prompt), 0\n"
      "    for _ in range(num_new):\n        q, k, v = model.project(new, start)\n        cache.append((k, v))\n"
      "        start += len(new)\n        K = torch.cat([c[0] for c in cache])\n"
      "        V = torch.cat([c[1] for c in cache])\n        new = [model.next_token(attend_last(q[-1], K, V))]\n"
      "        answer += new\n    if len(prompt) > 3:\n        return answer[1:] + answer[:1]\n    return answer\n")
wrong("decode_cached", "last-prompt-token-left-out", "tokens-as-from-scratch",
      "The prompt's last token is never computed: the first new token must follow from it.", _decode(
          "if len(prompt) < 2:\n    return [0] * num_new\nanswer = []\nq, K, V = model.project(list(prompt[:-1]), 0)\n"
          "start = len(prompt) - 1\nfor _ in range(num_new):\n"
          "    answer.append(model.next_token(attend_last(q[-1], K, V)))\n"
          "    known = (list(prompt) + answer)[start]\n    q, k, v = model.project([known], start)\n    start += 1\n"
          "    K, V = torch.cat([K, k]), torch.cat([V, v])\nreturn answer"))
wrong("decode_cached", "prompt-in-the-answer", "as-many-as-asked",
      "The prompt comes back with the answer; only the new tokens were asked for.",
      _loop(result="list(prompt) + answer"))
wrong("decode_cached", "none-for-none", "as-many-as-asked",
      "An empty list is an answer like any other; here it is turned into None.", _loop(result="answer or None"))
wrong("decode_cached", "at-least-one", "as-many-as-asked",
      "Asked for no token it gives one: the first is generated before anybody looks at num_new.",
      _loop(rounds="max(1, num_new)"))
wrong("decode_cached", "one-too-few", "as-many-as-asked",
      "The loop ends one step early.", _loop(rounds="num_new - 1"))
wrong("decode_cached", "one-too-many", "as-many-as-asked",
      "The first token, which the prompt gives, is not counted as one of num_new.", _loop(rounds="num_new + 1"))
wrong("decode_cached", "last-token-only", "as-many-as-asked",
      "Only the newest token comes back; all new ones were asked for.",
      _loop(result="answer[-1:]"))
wrong("decode_cached", "forgets-return", "as-many-as-asked",
      "The tokens are collected and then dropped: the function ends without a return.", _loop(result="None"))
wrong("decode_cached", "tensor", "as-many-as-asked",
      "A tensor comes back where a list of token ids was asked for.", _loop(result="torch.tensor(answer)"))
wrong("decode_cached", "text", "as-many-as-asked",
      "The ids come back as texts; the caller goes on to count with them.", _loop(result="[str(t) for t in answer]"))
wrong("decode_cached", "appends-to-the-prompt", "the-prompt-is-left-alone",
      "The new tokens are appended to the caller's own list; a second name for a list is no copy of it.",
      _loop(after="prompt.extend(answer)\n"))
wrong("decode_cached", "grows-the-prompt", "the-prompt-is-left-alone",
      "The new tokens are appended to the caller's own list; a second name for a list is no copy of it.",
      _decode("tokens = prompt\nn = len(prompt)\nK = V = None\nnew, start = list(prompt), 0\nfor _ in range(num_new):\n"
              "    q, k, v = model.project(new, start)\n    K = k if K is None else torch.cat([K, k])\n"
              "    V = v if V is None else torch.cat([V, v])\n    start += len(new)\n"
              "    new = [model.next_token(attend_last(q[-1], K, V))]\n    tokens += new\nreturn tokens[n:]"))
right("decode_cached", "prefill-then-loop", _decode(
    "if num_new == 0:\n    return []\nq, K, V = model.project(prompt, 0)\n"
    "out = [model.next_token(attend_last(q[-1], K, V))]\nwhile len(out) < num_new:\n"
    "    q, k, v = model.project([out[-1]], len(prompt) + len(out) - 1)\n    K = torch.vstack((K, k))\n"
    "    V = torch.vstack((V, v))\n    out.append(model.next_token(attend_last(q[0], K, V)))\nreturn out"))
right("decode_cached", "token-by-token", _decode(
    "keys, values, out = [], [], []\nif not num_new:\n    return out\n"
    "for position, token in enumerate(prompt):\n    q, k, v = model.project([token], position)\n"
    "    keys.append(k[0])\n    values.append(v[0])\nfor step in range(num_new):\n"
    "    out.append(model.next_token(attend_last(q[0], torch.stack(keys), torch.stack(values))))\n"
    "    q, k, v = model.project([out[-1]], len(keys))\n    keys.append(k[0])\n    values.append(v[0])\nreturn out"))
right("decode_cached", "reserved-tensor", _decode(
    "q, k, v = model.project(list(prompt), 0)\nn = len(prompt)\nK = k.new_empty(n + num_new, *k.shape[1:])\n"
    "V = v.new_empty(n + num_new, *v.shape[1:])\nK[:n], V[:n] = k, v\nout = []\nfor _ in range(num_new):\n"
    "    out.append(model.next_token(attend_last(q[-1], K[:n], V[:n])))\n    if len(out) < num_new:\n"
    "        q, K[n:n + 1], V[n:n + 1] = model.project(torch.tensor(out[-1:]), n)\n    n += 1\nreturn tuple(out)"))

wrong("decode_cached", "all-again-behind-the-end", "each-at-its-own-position",
      "The whole sequence is computed again and appended behind what is kept, as if it stood there.",
      _decode("answer = []\nK = V = None\nnew, start = list(prompt), 0\nfor _ in range(num_new):\n"
              "    q, k, v = model.project(new, start)\n    K = k if K is None else torch.cat([K, k])\n"
              "    V = v if V is None else torch.cat([V, v])\n    start += len(new)\n"
              "    token = model.next_token(attend_last(q[-1], K, V))\n    new = new + [token]\n"
              "    answer.append(token)\nreturn answer"))
wrong("decode_cached", "same-token-for-ever", "each-at-its-own-position",
      "Each step computes the prompt's last token again instead of the token chosen last.",
      _loop().replace("    answer += new\n", "    answer += new\n        new = [prompt[-1]]\n"))
wrong("decode_cached", "last-prompt-token-behind-the-prompt", "each-at-its-own-position",
      "The prompt's last token is computed once more, as if it followed itself.", _decode(
          "_, K, V = model.project(prompt, 0)\ntoken, at, answer = prompt[-1], len(prompt), []\n"
          "for _ in range(num_new):\n    q, k, v = model.project([token], at)\n"
          "    K, V = torch.cat([K, k]), torch.cat([V, v])\n"
          "    token = model.next_token(attend_last(q[-1], K, V))\n    at += 1\n    answer.append(token)\n"
          "return answer"))
wrong("decode_cached", "prompt-all-at-zero", "each-at-its-own-position",
      "The tokens of the prompt are computed one by one, each as if it were the first.", _decode(
          "K = V = None\nfor token in prompt:\n    q, k, v = model.project([token], 0)\n"
          "    K = k if K is None else torch.cat([K, k])\n    V = v if V is None else torch.cat([V, v])\n"
          "answer = []\nfor i in range(num_new):\n    answer.append(model.next_token(attend_last(q[-1], K, V)))\n"
          "    q, k, v = model.project(answer[-1:], len(prompt) + i)\n"
          "    K, V = torch.cat([K, k]), torch.cat([V, v])\nreturn answer"))
wrong("decode_cached", "positions-in-a-ring", "each-at-its-own-position",
      "Positions start again at 0 after a while; they go on as long as the sequence does.",
      _loop(step="start = (start + len(new)) % 8"))
wrong("decode_cached", "keys-by-token", "each-key-computed-once",
      "What is kept is found by the token's id: the same token at a second place gets the key of the first, though its "
      "position is another.", _decode(
          "tokens, kept = list(prompt), {}\nfor _ in range(num_new):\n    for i, t in enumerate(tokens):\n"
          "        if t not in kept:\n            kept[t] = model.project([t], i)\n"
          "    K, V = (torch.cat([kept[t][j] for t in tokens]) for j in (1, 2))\n"
          "    tokens.append(model.next_token(attend_last(kept[tokens[-1]][0][-1], K, V)))\n"
          "return tokens[len(prompt):]"))
wrong("decode_cached", "new-tokens-never-computed", "each-key-computed-once",
      "Only the prompt is computed; every further token needs a query, a key and a value of its own.", _decode(
          "q, K, V = model.project(prompt, 0)\n"
          "return [model.next_token(attend_last(q[-1], K, V)) for _ in range(num_new)]"))
wrong("decode_cached", "prompt-without-its-last", "each-key-computed-once",
      "The prompt's last token is left out of the prefill, and the first new token then follows from the one before.",
      _decode("q, K, V = model.project(prompt[:-1] or prompt, 0)\nanswer = []\nfor i in range(num_new):\n"
              "    answer.append(model.next_token(attend_last(q[-1], K, V)))\n"
              "    q, k, v = model.project(answer[-1:], len(prompt) + i)\n"
              "    K, V = torch.cat([K, k]), torch.cat([V, v])\nreturn answer"))
wrong("decode_cached", "prompt-kept-answer-again", "each-key-computed-once",
      "The prompt's keys are kept, but all new tokens are computed again in every step.", _decode(
          "q, K, V = model.project(prompt, 0)\nanswer = []\nfor _ in range(num_new):\n    keys, values = K, V\n"
          "    if answer:\n        q, k, v = model.project(answer, len(prompt))\n"
          "        keys, values = torch.cat([K, k]), torch.cat([V, v])\n"
          "    answer.append(model.next_token(attend_last(q[-1], keys, values)))\nreturn answer"))
wrong("decode_cached", "last-two-again", "each-key-computed-once",
      "The newest token is computed together with the one before it, whose key is there already.", _decode(
          "tokens = list(prompt)\nq, K, V = model.project(tokens, 0)\nfor _ in range(num_new):\n"
          "    tokens.append(model.next_token(attend_last(q[-1], K, V)))\n"
          "    q, k, v = model.project(tokens[-2:], len(tokens) - 2)\n"
          "    K, V = torch.cat([K[:-1], k]), torch.cat([V[:-1], v])\nreturn tokens[len(prompt):]"))
wrong("decode_cached", "first-token-lost", "tokens-as-from-scratch",
      "The token that the prompt leads to is computed and fed on, but never put into the answer.", _decode(
          "q, K, V = model.project(prompt, 0)\ntoken, answer = model.next_token(attend_last(q[-1], K, V)), []\n"
          "for i in range(num_new):\n    q, k, v = model.project([token], len(prompt) + i)\n"
          "    K, V = torch.cat([K, k]), torch.cat([V, v])\n"
          "    token = model.next_token(attend_last(q[-1], K, V))\n    answer.append(token)\nreturn answer"))
wrong("decode_cached", "new-value-in-front", "tokens-as-from-scratch",
      "New values go before the old ones while new keys go behind: key and value of a token no longer belong together.",
      _loop(values="v if V is None else torch.cat([v, V])"))
wrong("decode_cached", "keys-among-the-values", "tokens-as-from-scratch",
      "The new key is appended to the values as well.", _loop(values="v if V is None else torch.cat([V, k])"))
wrong("decode_cached", "empty-rows-read", "tokens-as-from-scratch",
      "Attention reads the whole reserved tensor; the rows that nothing was written to yet are no tokens.", _decode(
          "n = len(prompt)\nq, k, v = model.project(prompt, 0)\nK = k.new_zeros(n + num_new, *k.shape[1:])\n"
          "V = v.new_zeros(n + num_new, *v.shape[1:])\nK[:n], V[:n] = k, v\nanswer = []\nfor i in range(num_new):\n"
          "    answer.append(model.next_token(attend_last(q[-1], K, V)))\n"
          "    q, K[n + i : n + i + 1], V[n + i : n + i + 1] = model.project(answer[-1:], n + i)\nreturn answer"))
wrong("decode_cached", "one-row-written-over", "tokens-as-from-scratch",
      "Every new token is written to the same row of the reserved tensor, over the one before.", _decode(
          "n = len(prompt)\nq, k, v = model.project(prompt, 0)\nK = k.new_zeros(n + num_new, *k.shape[1:])\n"
          "V = v.new_zeros(n + num_new, *v.shape[1:])\nK[:n], V[:n] = k, v\nanswer = []\nfor i in range(num_new):\n"
          "    answer.append(model.next_token(attend_last(q[-1], K[: n + i], V[: n + i])))\n"
          "    q, K[n : n + 1], V[n : n + 1] = model.project(answer[-1:], n + i)\nreturn answer"))
wrong("decode_cached", "window-of-eight", "tokens-as-from-scratch",
      "Only the last eight keys are read; this model looks at all of them.",
      _loop().replace("q[-1], K, V", "q[-1], K[-8:], V[-8:]"))
wrong("decode_cached", "all-queries", "tokens-as-from-scratch",
      "All queries of the step are handed on; the next token follows from the last one alone.", _loop(query="q"))
wrong("decode_cached", "joined-along-the-heads", "tokens-as-from-scratch",
      "New rows are joined along the heads; tokens are counted by the first dimension.",
      _loop(keys="k if K is None else torch.cat([K, k], dim=1)", values="v if V is None else torch.cat([V, v], dim=1)"))
wrong("decode_cached", "token-without-a-list", "tokens-as-from-scratch",
      "project takes a list of tokens, also where it holds one alone.",
      _loop().replace("new = [model.next_token(attend_last(q[-1], K, V))]\n        answer += new",
                      "new = model.next_token(attend_last(q[-1], K, V))\n        answer.append(new)")
      .replace("start += len(new)", "start += len(new) if i == 0 else 1"))
wrong("decode_cached", "stops-at-zero", "as-many-as-asked",
      "Generation stops at token 0; this model has no token that ends a text, and num_new were asked for.",
      _loop().replace("    answer += new\n", "    answer += new\n        if new[0] == 0:\n            break\n"))
wrong("decode_cached", "stops-at-a-repeat", "as-many-as-asked",
      "Generation stops where a token comes a second time; repeating itself is what a text may do.",
      _loop().replace("    answer += new\n", "    if new[0] in answer:\n            break\n        answer += new\n"))
wrong("decode_cached", "lists-in-the-list", "as-many-as-asked",
      "Each token comes back in a list of its own.",
      _loop().replace("answer += new", "answer.append(new)"))
right("decode_cached", "both-in-front", _loop(keys="k if K is None else torch.cat([k, K])",
                                              values="v if V is None else torch.cat([v, V])"))
right("decode_cached", "a-class-of-its-own",
      "class Kept:\n    def __init__(self):\n        self.rows = ([], [])\n\n    def __len__(self):\n"
      "        return len(self.rows[0])\n\n    def step(self, model, tokens):\n"
      "        q, *new = model.project(tokens, len(self))\n        for rows, x in zip(self.rows, new):\n"
      "            rows.extend(x)\n"
      "        return model.next_token(attend_last(q[-1], *map(torch.stack, self.rows)))\n\n\n"
      "def decode_cached(model, prompt, num_new):\n    \"\"\"Greedy.\"\"\"\n    kept, answer = Kept(), []\n"
      "    while len(answer) < num_new:\n        answer.append(kept.step(model, answer[-1:] or prompt))\n"
      "    return answer\n")
right("decode_cached", "recursion", _decode(
    "def go(new, start, K, V, left):\n    if not left:\n        return []\n    q, k, v = model.project(new, start)\n"
    "    K = k if K is None else torch.cat([K, k])\n    V = v if V is None else torch.cat([V, v])\n"
    "    token = model.next_token(attend_last(q[-1], K, V))\n"
    "    return [token, *go([token], start + len(new), K, V, left - 1)]\n"
    "return go(prompt, 0, None, None, num_new)"))
right("decode_cached", "prompt-in-pieces", _decode(
    "K = V = None\nfor i in range(0, len(prompt), 2):\n    q, k, v = model.project(prompt[i:i + 2], i)\n"
    "    K = k if K is None else torch.cat([K, k])\n    V = v if V is None else torch.cat([V, v])\nout = []\n"
    "for i in range(num_new):\n    if i:\n        q, k, v = model.project([out[-1]], len(K))\n"
    "        K, V = torch.cat([K, k]), torch.cat([V, v])\n"
    "    out.append(model.next_token(attend_last(q[-1], K, V)))\nreturn out"))

# ----- blocks_that_fit --------------------------------------------------------------------------------------------

_ARGS = "gpu_memory_bytes, memory_share, weights_bytes, activation_peak_bytes, block_bytes"


def _fit(body: str) -> str:
    lines = "\n    ".join(body.splitlines())
    return f"def blocks_that_fit({_ARGS}):\n    {lines}\n"


wrong("blocks_that_fit", "share-of-the-rest", "share-of-the-whole",
      "The share is taken of what the weights leave; it is a share of the whole GPU, and the weights count towards it.",
      _fit("left = int((gpu_memory_bytes - weights_bytes - activation_peak_bytes) * memory_share)\n"
           "return max(left, 0) // block_bytes"))
wrong("blocks_that_fit", "share-of-the-rest-of-weights", "share-of-the-whole",
      "The share is taken after the weights are gone, so that they are not counted in it.",
      _fit("left = int((gpu_memory_bytes - weights_bytes) * memory_share) - activation_peak_bytes\n"
           "return max(left, 0) // block_bytes"))
wrong("blocks_that_fit", "no-share", "share-of-the-whole",
      "The whole GPU is filled; memory_share leaves a part of it to others.",
      _fit("return max(gpu_memory_bytes - weights_bytes - activation_peak_bytes, 0) // block_bytes"))
wrong("blocks_that_fit", "share-twice", "share-of-the-whole",
      "The share is taken a second time, of the blocks.",
      _fit("left = int(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes\n"
           "return int(max(left, 0) // block_bytes * memory_share)"))
wrong("blocks_that_fit", "one-minus-share", "share-of-the-whole",
      "memory_share is the part that the engine may use, not the part that it leaves.",
      _fit("left = int(gpu_memory_bytes * (1 - memory_share if memory_share < 1 else 1)) - weights_bytes\n"
           "return max(left - activation_peak_bytes, 0) // block_bytes"))
wrong("blocks_that_fit", "weights-forgotten", "weights-come-off-first",
      "The weights lie on the same GPU and take their part first.",
      _fit("return max(int(gpu_memory_bytes * memory_share) - activation_peak_bytes, 0) // block_bytes"))
wrong("blocks_that_fit", "weights-added", "weights-come-off-first",
      "The weights are added where they have to be taken off.",
      _fit("left = int(gpu_memory_bytes * memory_share) + weights_bytes - activation_peak_bytes\n"
           "return max(left, 0) // block_bytes"))
wrong("blocks_that_fit", "peak-forgotten", "the-peak-stays-free",
      "A step needs room for its intermediate results; without it the first large step runs out of memory.",
      _fit("return max(int(gpu_memory_bytes * memory_share) - weights_bytes, 0) // block_bytes"))
wrong("blocks_that_fit", "larger-of-the-two", "too-small-is-zero",
      "Weights and peak are there at the same time: both come off, not the larger of the two.",
      _fit("usable = int(gpu_memory_bytes * memory_share)\nif usable <= weights_bytes + activation_peak_bytes:\n"
           "    return max(usable - max(weights_bytes, activation_peak_bytes), 0) // block_bytes\n"
           "return (usable - weights_bytes - activation_peak_bytes) // block_bytes"))
wrong("blocks_that_fit", "both-or-the-larger", "the-peak-stays-free",
      "Weights and peak are in memory at the same time: both come off, not the larger of the two.",
      _fit("left = int(gpu_memory_bytes * memory_share) - max(weights_bytes, activation_peak_bytes)\n"
           "return max(left, 0) // block_bytes"))
wrong("blocks_that_fit", "rounded-up", "whole-blocks-only",
      "One block more is counted than fits: of the last one there is room for a part only.",
      _fit("left = int(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes\n"
           "return -(-max(left, 0) // block_bytes)"))
wrong("blocks_that_fit", "rounded-to-nearest", "whole-blocks-only",
      "Rounding to the nearest counts a block of which more than half fits; it has to fit whole.",
      _fit("left = int(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes\n"
           "return round(max(left, 0) / block_bytes)"))
wrong("blocks_that_fit", "fraction", "whole-blocks-only",
      "A part of a block cannot be handed out; the answer counts whole ones.",
      _fit("left = gpu_memory_bytes * memory_share - weights_bytes - activation_peak_bytes\n"
           "return max(left, 0) / block_bytes"))
wrong("blocks_that_fit", "float-blocks", "whole-blocks-only",
      "Because memory_share is a float, // gives a float as well; a number of blocks is a whole number.",
      _fit("left = gpu_memory_bytes * memory_share - weights_bytes - activation_peak_bytes\n"
           "return max(left, 0) // block_bytes"))
wrong("blocks_that_fit", "one-block-spare", "whole-blocks-only",
      "One block too few: what fits exactly fits.",
      _fit("left = int(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes\n"
           "return max(left - 1, 0) // block_bytes"))
wrong("blocks_that_fit", "bytes-not-blocks", "whole-blocks-only",
      "These are the bytes that are left; the question was how many blocks they make.",
      _fit("return max(int(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes, 0)"))
wrong("blocks_that_fit", "negative", "too-small-is-zero",
      "Where weights and peak are too large the difference is negative, and so is the answer.",
      _fit("return (int(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes) // block_bytes"))
wrong("blocks_that_fit", "absolute", "too-small-is-zero",
      "abs turns a shortage into room: what is missing is counted as if it were free.",
      _fit("return abs(int(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes) // block_bytes"))
wrong("blocks_that_fit", "at-least-one", "too-small-is-zero",
      "One block is not the least: where nothing is left there is none.",
      _fit("left = int(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes\n"
           "return max(left // block_bytes, 1)"))
wrong("blocks_that_fit", "raises", "too-small-is-zero",
      "No room for a block is an answer, 0, which the caller turns into a message.",
      _fit("left = int(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes\n"
           "if left <= 0:\n    raise ValueError('no room')\nreturn left // block_bytes"))
wrong("blocks_that_fit", "none-for-none", "too-small-is-zero",
      "None is no number of blocks; where nothing is left the answer is 0.",
      _fit("left = int(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes\n"
           "if left > 0:\n    return left // block_bytes"))
wrong("blocks_that_fit", "forgets-return", "whole-blocks-only",
      "The number is computed and then dropped: the function ends without a return.",
      _fit("left = int(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes\n"
           "blocks = max(left, 0) // block_bytes"))
wrong("blocks_that_fit", "percent", "share-of-the-whole",
      "memory_share is a part of one, 0.9, not a percentage.",
      _fit("left = int(gpu_memory_bytes * memory_share / 100) - weights_bytes - activation_peak_bytes\n"
           "return max(left, 0) // block_bytes"))
wrong("blocks_that_fit", "share-made-whole", "share-of-the-whole",
      "The share is made a whole number before it is used, which leaves nothing of it.",
      _fit("left = gpu_memory_bytes * int(memory_share) - weights_bytes - activation_peak_bytes\n"
           "return max(left, 0) // block_bytes"))
wrong("blocks_that_fit", "always-0.9", "share-of-the-whole",
      "0.9 is what many engines use; the parameter says what this one may.",
      _fit("left = int(gpu_memory_bytes * 0.9) - weights_bytes - activation_peak_bytes\n"
           "return max(left, 0) // block_bytes"))
wrong("blocks_that_fit", "share-after-the-peak", "share-of-the-whole",
      "The share is taken after the peak is gone, so that the peak is not counted in it.",
      _fit("left = int((gpu_memory_bytes - activation_peak_bytes) * memory_share) - weights_bytes\n"
           "return max(left, 0) // block_bytes"))
wrong("blocks_that_fit", "share-rounded-up", "share-of-the-whole",
      "Half a byte more than the share allows is used: what may be used is rounded up.",
      "import math\n\n" + _fit(
           "left = math.ceil(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes\n"
           "return max(left, 0) // block_bytes"))
wrong("blocks_that_fit", "weights-twice", "weights-come-off-first",
      "The weights come off twice; they lie in memory once.",
      _fit("left = int(gpu_memory_bytes * memory_share) - 2 * weights_bytes - activation_peak_bytes\n"
           "return max(left, 0) // block_bytes"))
wrong("blocks_that_fit", "peak-added", "the-peak-stays-free",
      "The peak is added where it has to be taken off.",
      _fit("left = int(gpu_memory_bytes * memory_share) - weights_bytes + activation_peak_bytes\n"
           "return max(left, 0) // block_bytes"))
wrong("blocks_that_fit", "each-cut-by-itself", "whole-blocks-only",
      "Memory, weights and peak are cut into blocks one by one, and each cut loses a part of a block.",
      _fit("blocks = int(gpu_memory_bytes * memory_share) // block_bytes\n"
           "return max(blocks - weights_bytes // block_bytes - activation_peak_bytes // block_bytes, 0)"))
wrong("blocks_that_fit", "each-rounded-up", "whole-blocks-only",
      "Weights and peak are rounded up to blocks; they are not laid out in blocks, only what is left is.",
      _fit("blocks = int(gpu_memory_bytes * memory_share) // block_bytes\n"
           "return max(blocks + -weights_bytes // block_bytes + -activation_peak_bytes // block_bytes, 0)"))
wrong("blocks_that_fit", "last-one-refused", "whole-blocks-only",
      "Where exactly one block is left it fits.",
      _fit("left = int(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes\n"
           "return left // block_bytes if left > block_bytes else 0"))
wrong("blocks_that_fit", "one-too-many", "whole-blocks-only",
      "One block more is counted than fits: of the last one there is room for a part only.",
      _fit("left = int(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes\n"
           "return max(left, 0) // block_bytes + 1"))
wrong("blocks_that_fit", "tokens-not-blocks", "whole-blocks-only",
      "This counts tokens, 16 to a block; the question was how many blocks.",
      _fit("left = int(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes\n"
           "return max(left, 0) // block_bytes * 16"))
wrong("blocks_that_fit", "what-is-left-over", "whole-blocks-only",
      "This is what remains behind the last block; the question was how many blocks there are.",
      _fit("left = int(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes\n"
           "return max(left, 0) % block_bytes"))
right("blocks_that_fit", "whole-percents", _fit(
    "usable = gpu_memory_bytes * round(memory_share * 100) // 100\n"
    "left = usable - (weights_bytes + activation_peak_bytes)\n"
    "return 0 if left < 0 else left // block_bytes"))
right("blocks_that_fit", "one-block-after-another", _fit(
    "left = gpu_memory_bytes * memory_share - weights_bytes - activation_peak_bytes\nblocks = 0\n"
    "while left >= block_bytes:\n    left -= block_bytes\n    blocks += 1\nreturn blocks"))
right("blocks_that_fit", "exact-fractions", "from fractions import Fraction\n\n" + _fit(
    "left = gpu_memory_bytes * Fraction(memory_share) - weights_bytes - activation_peak_bytes\n"
    "return max(0, int(left // block_bytes))"))
right("blocks_that_fit", "numpy", "import numpy as np\n\n" + _fit(
    "left = np.floor(gpu_memory_bytes * memory_share) - weights_bytes - activation_peak_bytes\n"
    "blocks, rest = divmod(max(left, 0), block_bytes)\nassert rest < block_bytes\nreturn np.int64(blocks)"))
right("blocks_that_fit", "all-in-floats", _fit(
    "left = gpu_memory_bytes * memory_share - weights_bytes - activation_peak_bytes\n"
    "if left < 0:\n    return 0\nreturn int(left // block_bytes)"))
right("blocks_that_fit", "counts-with-max", "import math\n\n" + _fit(
    "usable = math.floor(memory_share * gpu_memory_bytes)\nused = weights_bytes + activation_peak_bytes\n"
    "return max(0, (usable - used) // block_bytes)"))
