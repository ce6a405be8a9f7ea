"""What is timed, and what proves the cache: a textbook manager, a model of the manager, random operations."""
