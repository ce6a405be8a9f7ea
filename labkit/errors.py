"""The errors that labkit raises on purpose.

Each message is one sentence that says what was wrong, what was expected and what to do. Nothing is half-changed
after one of these.
"""

from __future__ import annotations


class LabkitError(Exception):
    """Base of every error that labkit raises on purpose."""


class BlockError(LabkitError):
    """A block pool or block table was asked for something that makes no sense."""


class DoubleFreeError(BlockError):
    """A block was returned that is already free, or twice in one call."""


class ForeignBlockError(BlockError):
    """A block was returned that this pool never had."""


class UnreadableError(LabkitError):
    """A file from outside cannot be read as what it should be; `labkit.reading` says why.

    Attributes:
        reason: the message, as a clause that fits into parentheses.
        line: where in the file, counted from 1; None where it is the whole file.
    """

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason, self.line = reason, line


class MissingFileError(UnreadableError):
    """There is no such file."""


class LessonError(LabkitError):
    """A lesson, an exercise or a slot of the engine was named that does not exist."""


class ProgressError(LabkitError):
    """The learner's progress could not be read or written."""


class QuizFileError(LabkitError):
    """A quiz file is malformed: file, line, field and remedy are named, in the message and as attributes."""

    def __init__(self, file: str, line: int, field: str, problem: str, remedy: str) -> None:
        super().__init__(f"{file}:{line}: {field}: {problem}; {remedy}")
        self.file, self.line, self.field, self.problem, self.remedy = file, line, field, problem, remedy


class AnswerError(LabkitError):
    """An answer to a quiz question has the wrong shape."""


class ModelFetchError(LabkitError):
    """The model could not be fetched; nothing half-written was left behind."""


class CheckpointError(LabkitError):
    """A checkpoint folder or file cannot be loaded."""


class TraceFileError(LabkitError):
    """A trace file cannot be read as the format it claims to be."""


class AuthorError(LabkitError):
    """A master notebook breaks a rule that lessons keep."""


class GenerationError(LabkitError):
    """The model cannot go on: damaged logits, or sampling settings that make no sense."""


class RefusedError(LabkitError):
    """A request was refused at the door of an engine that has too much to do; nothing of it was kept.

    Attributes:
        reason: the word under which it is counted, one of `labkit.scheduling.doors`.
        retry_after_s: seconds after which it is worth another try.
    """

    def __init__(self, message: str, reason: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.reason, self.retry_after_s = reason, retry_after_s


class ServeError(LabkitError):
    """An endpoint cannot listen where it should, has stopped, or will not answer any more."""


class GeometryError(LabkitError):
    """A model shape or a start-up plan that cannot be."""


class ReservationError(LabkitError):
    """A contiguous allocator was asked for something that makes no sense."""


class CacheError(LabkitError):
    """The KV-cache manager or a prefix cache was asked for something that makes no sense."""


class PartError(CacheError):
    """A part of the engine, by its name in the lessons, broke its law in the middle of a run, which is over."""

    def __init__(self, part: str, what: str, sentence: str = "") -> None:
        super().__init__(sentence or f"{part} broke its law: {what}; mend it and check it again.")
        self.part, self.what = part, what


class UnknownSequenceError(CacheError):
    """A sequence was named that the manager does not hold: never allocated, or finished."""


class TokenError(CacheError):
    """A token id is not a whole number from 0 to 2**32 - 1."""


class PolicyError(CacheError):
    """An eviction policy broke its contract: it named a block that may not be evicted, peeked, or did too much."""


class SchedulerError(LabkitError):
    """A request, or a configuration of the scheduler, that makes no sense."""


class SeriesError(LabkitError):
    """A series of figures was given a window or a figure that makes no sense."""


class WatchError(LabkitError):
    """The figures of a server cannot be had, or not be read."""


class KVEventError(LabkitError):
    """A server's KV events cannot be listened to, or not be read."""


class SimulationError(LabkitError):
    """A simulation was asked for something that makes no sense."""


class EventLogError(LabkitError):
    """An event log from outside is not in the published format."""


class DrillError(LabkitError):
    """A drill was asked for that there is not, or a play was given a move that it does not take now."""


class TreeLogError(LabkitError):
    """A radix tree, or a picture of one, was given in a form that cannot be read."""


class BoardError(LabkitError):
    """A widget was given something that it cannot draw."""


class ExportError(LabkitError):
    """A notebook cannot be read for export, or its page cannot be written."""


class ReportError(LabkitError):
    """A report cannot be written in that form or place, or there is nothing to report on."""


class KernelError(LabkitError):
    """A kernel, dtype or architecture that the support matrix does not have, or one that could not be compiled."""
