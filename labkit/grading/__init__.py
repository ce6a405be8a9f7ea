"""Specifications, the runner that grades in its own process, reports, progress and quizzes."""
