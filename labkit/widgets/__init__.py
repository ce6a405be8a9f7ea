"""Widgets: views of the event log, of a verdict, of a quiz, of the learner's progress."""
