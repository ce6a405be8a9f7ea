"""A real language model behind the cache: weights, tokenizer, sampling, generation."""
