"""Lead times of grasp candidates, as a message of their own: when the fingers close on each."""

from dataclasses import dataclass
from typing import Any

from moss_perception.core.clouds import read_rows
from moss_perception.core.errors import CandidateError
from moss_perception.core.frames import Candidates, check_lead_times, stamp_to_ns
from moss_perception.core.grasp_match import nearest_grasp
import numpy as np

LEAD_TIME_DTYPE = np.dtype([('lead_time', '<f4')])
"""One point of ``grasp_lead_times``, seconds."""


@dataclass(frozen=True, eq=False)
class LeadTimes:
    """
    Lead times of the candidates that have the same stamp and frame.

    :ivar stamp_ns: of the candidates, nanoseconds, above 0.
    :ivar frame_id: of the candidates.
    :ivar values: float64, shape ``(K,)``, in the order of the candidates, seconds, 0 or more.
    """

    stamp_ns: int
    frame_id: str
    values: np.ndarray

    def __post_init__(self):
        if self.stamp_ns <= 0:
            raise CandidateError(f'lead times need a stamp above 0, got {self.stamp_ns}')
        check_lead_times(self.values, len(self.values))


def to_lead_times(message: Any) -> LeadTimes:
    """
    Read the lead times of candidates.

    :param message: with the fields of sensor_msgs/PointCloud2: one point a candidate, with the
        float32 field ``lead_time``, seconds.
    :raises CandidateError: if the field is missing or of another type, the sizes do not fit, the
        stamp is 0, or a lead time is not finite or below 0.
    """
    try:
        rows = read_rows(message, LEAD_TIME_DTYPE, 'the cloud of lead times')
    except ValueError as error:
        raise CandidateError(str(error)) from error
    return LeadTimes(stamp_to_ns(message.header.stamp), message.header.frame_id,
                     rows['lead_time'].astype(np.float64))


def executed_lead_time(measured_s: float | None, listed: Candidates | None, position: np.ndarray,
                       yaw: float) -> float | None:
    """
    Return the lead time of an executed grasp: the measured one, or the one that the planner gave.

    The planner gave it to the candidate that was executed. Late or resampled candidates need not
    hold the executed grasp: then it is that of the nearest one.

    :param measured_s: by the recorder, seconds; ``None`` if it was not measured.
    :param listed: the newest candidates at the decision; ``None`` if there are none.
    :param position: of the executed grasp, shape ``(3,)``, metres, in the candidates' frame.
    :param yaw: of the executed grasp, radians.
    :returns: seconds; ``None`` if it is not known.
    """
    if measured_s is not None:
        return measured_s
    if listed is None or listed.lead_times is None:
        return None
    index = nearest_grasp(listed.positions, listed.yaws, position, yaw)
    if index is None:
        distances = np.linalg.norm(listed.positions - position, axis=1)
        distances[~np.isfinite(distances)] = np.inf
        if not np.isfinite(distances).any():
            return None
        index = int(distances.argmin())
    return float(listed.lead_times[index])
