"""Expected failures of a stage, each a class with its exit code."""

from __future__ import annotations


class StageError(Exception):
    """An expected failure in one line: what was expected, what came, what to do."""

    code = 70


class InputError(StageError):
    """A setting, a file or a command that is not valid."""

    code = 2


class VideoError(StageError):
    """A video that cannot be read, or that does not show what is needed."""

    code = 3


class NetworkError(StageError):
    """A server or a download that failed. The flow tries again."""

    code = 4


class ResourceError(StageError):
    """Memory, disk, a device, a lock or a budget that is not available."""

    code = 5


class TrainingError(StageError):
    """A training that gave no usable policy."""

    code = 6
