"""The model for where there is none: tiny, with random weights from a fixed seed.

It has every part of a real one (two layers, grouped heads, rotary embedding, a byte-level vocabulary, the chat
tokens), runs in a millisecond per token, and writes words in an order that means nothing.
"""

from __future__ import annotations

import torch

from labkit.serving.chat import CHATML
from labkit.serving.config import ModelConfig
from labkit.serving.detokenizer import byte_of_character
from labkit.serving.model import LanguageModel
from labkit.serving.tokenizer import Tokenizer

_CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_WORDS = (
    "the a of and to in is it that for as with on by this be are from at or one two more than each block page table "
    "pool slot token cache key value query head layer prompt request memory free full first last next long short old "
    "new room step batch model server queue line word number time space place holds takes gives finds reads writes "
    "waits grows moves keeps counts starts ends , . : ; ? !"
).split()


def tiny_model(seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[LanguageModel, Tokenizer]:
    """A Llama-layout model of a few tens of thousand parameters, and its tokenizer.

    Args:
        seed: of the weights; the same seed gives the same model on every machine.
        dtype: of the weights.
    """
    tokenizer = tiny_tokenizer()
    config = ModelConfig(
        model_type="llama",
        vocab_size=tokenizer.vocab_size,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=8,
        max_position_embeddings=2048,
        rms_norm_eps=1e-5,
        rope_theta=10000.0,
        tie_word_embeddings=False,
        eos_token_ids=(2,),
    )
    model = LanguageModel(config)
    random = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            values = torch.ones(parameter.shape)
        else:
            # Wide enough that attention is not uniform, so that what is in the cache decides what is written.
            values = torch.randn(parameter.shape, generator=random) * (2.0 / parameter.shape[-1] ** 0.5)
        parameter.data = values.to(dtype)
    # Words only: rows of bytes and of parts of words score 0, which is never the highest of some hundred scores.
    assert model.lm_head is not None
    words = {tokenizer.backend.token_to_id(_piece(word)) for word in _WORDS}
    for token in range(config.vocab_size):
        if token not in words and token != 2:
            model.lm_head.weight.data[token] = 0
    return model.eval().requires_grad_(False), tokenizer


def tiny_tokenizer() -> Tokenizer:
    """A byte-level vocabulary: the control tokens, the 256 bytes, and some common words with their beginnings."""
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as Backend
    from tokenizers.decoders import ByteLevel as ByteLevelDecoder
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    vocabulary = {token: i for i, token in enumerate(_CONTROL)}
    for character in byte_of_character():
        vocabulary[character] = len(vocabulary)
    merges = []
    for word in _WORDS:
        piece = _piece(word)
        # A word is merged from the left, letter by letter, so that every beginning of a word is a token as well.
        for stop in range(2, len(piece) + 1):
            if piece[:stop] not in vocabulary:
                vocabulary[piece[:stop]] = len(vocabulary)
                merges.append((piece[: stop - 1], piece[stop - 1]))
    backend = Backend(BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    backend.decoder = ByteLevelDecoder()
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in _CONTROL])
    return Tokenizer(backend, {"chat_template": CHATML})


def _piece(word: str) -> str:
    """A word as the vocabulary writes it: with its leading blank (U+0120 in byte-level vocabularies)."""
    return word if word in ",.:;?!" else "\u0120" + word
