"""Diagnosis games: two minutes of a server that somebody else runs, and the question of what is wrong with it."""
