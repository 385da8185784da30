"""At which lead times the grasps of a stream are scored."""

from dataclasses import replace
import math

from moss_perception.core.errors import ConfigError
from moss_perception.core.frames import Candidates
from moss_perception.models.config import ModelConfig
import numpy as np


def check_lead_time(config: ModelConfig, lead_time_s: float | None) -> None:
    """
    Check the lead time of a stream.

    :param lead_time_s: seconds; ``None`` for the checkpoint's default.
    :raises ConfigError: if it is not finite or below 0, or the checkpoint has no time inputs.
    """
    if lead_time_s is None:
        return
    if not (math.isfinite(lead_time_s) and lead_time_s >= 0):
        raise ConfigError(f'lead time {lead_time_s:g} s is not allowed: expected a finite number '
                          'of seconds, 0 or more')
    if not config.time_inputs:
        raise ConfigError(f'lead time {lead_time_s:g} s is not allowed: the checkpoint of model '
                          f'{config.model!r} has no time inputs, expected no lead time'
                          ' or a checkpoint with time inputs')


def stream_lead_time(config: ModelConfig, lead_time_s: float | None) -> float:
    """
    Return the lead time of grasps without one of their own, seconds; NaN without time inputs.

    :param lead_time_s: the one that was chosen; ``None`` for the checkpoint's default.
    """
    if not config.time_inputs:
        return float('nan')
    return float(np.clip(config.default_lead_time_s if lead_time_s is None else lead_time_s,
                         *config.lead_times_s))


def grasp_lead_times(candidates: Candidates, config: ModelConfig,
                     lead_time_s: float | None) -> tuple[np.ndarray | None, int]:
    """
    Choose the lead times at which the default grasp and the candidates are scored.

    A candidate's own lead time wins over the stream's, and the stream's over the checkpoint's
    default. Lead times outside the range that the checkpoint was trained for are clamped to it.

    :param lead_time_s: the stream's, seconds; ``None`` if there is none.
    :returns: float64, shape ``(1 + K,)``, seconds, ``None`` for a checkpoint without time inputs;
        and how many were clamped.
    """
    if not config.time_inputs:
        return None, 0
    stream_s = config.default_lead_time_s if lead_time_s is None else lead_time_s
    own = candidates.lead_times
    asked = np.append(stream_s, np.full(len(candidates.positions), stream_s)
                      if own is None else own)
    used = np.clip(asked, *config.lead_times_s)
    # On their topic, lead times are float32.
    return used, int((np.abs(used - asked) > 1e-6).sum())


def lead_times_left(grasps: Candidates, decided_ns: np.ndarray | None, stamp_ns: int,
                    config: ModelConfig, lead_time_s: float | None) -> Candidates:
    """
    Give grasps that are under way the lead time that is left of theirs.

    A sample of training that is cut within an attempt has this lead time, too: see
    :meth:`moss_perception.data.schema.Sample.during`.

    :param decided_ns: int64, shape ``(K,)``: when each was decided on, nanoseconds; ``None`` if
        none is under way.
    :param stamp_ns: of the newest frame, nanoseconds.
    :param lead_time_s: the stream's, seconds; ``None`` if there is none.
    :returns: the same object if no lead time changes.
    """
    if decided_ns is None or not config.time_inputs or not (stamp_ns > decided_ns).any():
        return grasps
    stream_s = config.default_lead_time_s if lead_time_s is None else lead_time_s
    whole = grasps.lead_times
    if whole is None:
        whole = np.full(len(grasps.positions), stream_s)
    passed_s = np.maximum(stamp_ns - decided_ns, 0) / 1e9
    return replace(grasps, lead_times=np.maximum(whole - passed_s, 0.0))
