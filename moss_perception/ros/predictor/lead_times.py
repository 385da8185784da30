"""The lead times of grasps in grasp_predictor: what it takes, and what it logs about them."""

from moss_perception.core.errors import CandidateError
from moss_perception.core.scores import Prediction
from moss_perception.ros.common import conversions
from moss_perception.ros.predictor.log import StreamLog
from moss_perception.runtime.predictor import Predictor
from sensor_msgs.msg import PointCloud2


def take_lead_times(predictor: Predictor, message: PointCloud2, topic: str,
                    stream_log: StreamLog) -> None:
    """
    Hand a message of lead times to the predictor, or say why it can't be used.

    :param topic: the resolved name of ``grasp_lead_times``.
    """
    if not predictor.config.time_inputs:
        stream_log.once('no_time_inputs', (
            f'lead times on {topic} are not used: the checkpoint of model '
            f'{predictor.config.model!r} has no time inputs; expected one that has them, or '
            'nobody to publish lead times'))
        return
    try:
        predictor.set_lead_times(conversions.to_lead_times(message))
    except CandidateError as error:
        predictor.counters.refused_lead_times += 1
        _warn(str(error), stream_log)
    log_problems(predictor, stream_log)


def log_problems(predictor: Predictor, stream_log: StreamLog) -> None:
    """Log the lead times that fit no candidates."""
    for problem in predictor.take_problems():
        _warn(problem, stream_log)


def _warn(problem: str, stream_log: StreamLog) -> None:
    # What was expected tells the kinds of problems apart.
    stream_log.warn('lead_times_refused', f'lead times refused: {problem}; the lead time of the '
                    'stream is used', kind=f'lead times: {problem.rpartition(": ")[2]}')


def log_stream(predictor: Predictor, stream_log: StreamLog) -> None:
    """Log it if the checkpoint was not trained for the lead time of the stream."""
    if _is_clamped(predictor):
        asked = predictor.stream_lead_time_s
        stream_log.once('lead_times_clamped', (
            f'lead_time {asked:g} s is clamped to {predictor.lead_time_s:g} s: expected '
            f'{_trained(predictor)}'), kind=f'lead_time {asked}')


def log_clamped(predictor: Predictor, prediction: Prediction, stream_log: StreamLog) -> None:
    """Log it once if the checkpoint was not trained for the lead times of candidates."""
    # If it is that of the stream, this was logged at the configuration.
    if prediction.clamped_lead_times and not _is_clamped(predictor):
        stream_log.once('lead_times_clamped', (
            f'{prediction.clamped_lead_times} lead times of candidates are clamped: expected '
            f'{_trained(predictor)}; the diagnostics count further ones'))


def _is_clamped(predictor: Predictor) -> bool:
    return predictor.stream_lead_time_s not in (None, predictor.lead_time_s)


def _trained(predictor: Predictor) -> str:
    low, high = predictor.config.lead_times_s
    return f'{low:g} to {high:g} s, for which the checkpoint was trained'
