"""Expected failures of a stage, each a class with its exit code."""

from __future__ import annotations


class StageError(Exception):
    """An expected failure in one line: what was expected, what came, what to do."""

    code = 70


class InputError(StageError):
    code = 2


class VideoError(StageError):
    code = 3


class NetworkError(StageError):
    code = 4


class ResourceError(StageError):
    code = 5


class TrainingError(StageError):
    code = 6
