"""Lesson 20: a shop's assistant and its server, what a person sees of it, and a log from somewhere else."""

from __future__ import annotations


def waited(due_s: float, sent_s: float, first_s: float) -> float:
    """The right clock of a client: it starts when the request was due."""
    return first_s - due_s
