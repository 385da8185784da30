"""The errors that this package raises on purpose; each names the thing and what was expected."""


class MossError(Exception):
    """Base of all known errors: a command prints it as one line and exits with 1."""


class ShapeError(MossError, ValueError):
    """An array or tensor has the wrong number of axes or sizes."""


class ConfigError(MossError, ValueError):
    """A setting, or a combination of settings, is not allowed."""


class CheckpointError(MossError):
    """A checkpoint is missing, damaged, foreign, or not the one that was asked for."""


class BagError(MossError):
    """A recording is missing, unreadable, or lacks what was asked of it."""


class ClipError(BagError):
    """One video clip can't be used, though others can: it is left out and counted."""


class DataError(MossError):
    """A sample lacks something that was asked of it."""


class SimulationError(MossError):
    """The simulated work cell can't be built, rendered or recorded."""


class SceneError(SimulationError):
    """
    One scene can't be used, though others can: it is left out and counted.

    :ivar reason: a short constant to count by: ``unstable``, ``contact`` or ``out_of_view``.
    """

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason

    def __reduce__(self):
        # Exceptions are rebuilt from ``args``, which lacks the reason; workers send them home.
        return type(self), (self.reason, str(self))


class WorkerError(MossError):
    """Processes that share some work died over the same part of it, again and again."""


class CandidateError(MossError):
    """A set of grasp candidates can't be used."""


class FrameUnknownError(MossError):
    """It is not known where a frame is in another one."""


class MessageError(MossError):
    """The bytes of a message can't be deserialised."""


class ScoresError(MossError):
    """A cloud of grasp scores can't be used."""


class FrameError(MossError):
    """
    A camera frame was refused.

    :ivar reason: a short constant to count by: ``zero_stamp``, ``encoding``, ``step``, ``size``,
        ``compressed`` or ``not_finite``.
    """

    def __init__(self, reason: str, message: str):
        super().__init__(message)
        self.reason = reason


class NotFiniteWarning(UserWarning):
    """Numbers that are not finite came in; what depends on them is not finite either."""
