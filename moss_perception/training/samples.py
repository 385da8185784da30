"""What a training makes of its samples before any is a clip: lead times, measurements, bytes."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from moss_perception.core.geometry import project
from moss_perception.data.schema import Sample
import numpy as np


def measure(samples: list[Sample], count: int = 64) -> dict[str, Any]:
    """
    Measure the values of a model's configuration that training samples set.

    :returns: the default grasp, which is the mean candidate, and the mean and standard deviation
        of RGB in [0, 1] over the last images of about ``count`` samples.
    """
    points, depths = [], []
    for sample in samples:
        camera, candidates = sample.camera, sample.candidates.astype(np.float64)
        pixels = project(candidates[:, :3], camera)[0]
        points.append((pixels + 0.5) / (camera.width, camera.height))
        depths.append(candidates[:, 2])
    step, first = max(1, len(samples) // count), samples[0].camera
    # Images of different cameras may differ in size: each counts alike.
    moments = np.mean([[colours.mean(axis=(0, 1)), np.square(colours).mean(axis=(0, 1))]
                       for colours in (s.newest(1)[0] / 255 for s in samples[::step])], axis=0)
    std = np.sqrt(moments[1] - np.square(moments[0]))
    return {'default_point': tuple(map(float, np.nanmean(np.concatenate(points), axis=0))),
            'default_depth_m': float(np.concatenate(depths).mean()),
            'default_focal': float(first.matrix[0, 0] / first.width),
            'mean': tuple(map(float, moments[0])), 'std': tuple(map(float, std))}


def with_lead_time(samples: Sequence[Sample], lead_time: float | None) -> list[Sample]:
    """Give a lead time, seconds, to the samples that do not know theirs; ``None`` for none."""
    return [replace(sample, lead_time_s=lead_time)
            if lead_time is not None and not np.isfinite(sample.lead_time_s) else sample
            for sample in samples]


def without_lead_time(count: int, of: str, default: str, option: str) -> str:
    """
    Say that a default was taken for lead times that are not known.

    :param count: how many are not known.
    :param of: of how many of what, in words.
    :param default: whose default it is, and how long, in words.
    :param option: the option that gives another one.
    """
    return (f'{count} of {of} have no lead time: they get the default of the {default}; if your '
            'robot needs another time from the decision until the fingers close, use '
            f'{option}')


def measure_lead_times(samples: Sequence[Sample], watched: bool = False) -> dict[str, Any]:
    """
    Measure the values of a configuration with time inputs that training samples set.

    :param samples: that all know their lead times.
    :param watched: whether grasps under way are trained on, of which no time is left at the end.
    :returns: the range of all lead times, and the mean of the samples' own.
    """
    own = np.array([sample.lead_time_s for sample in samples])
    others = [sample.other_lead_times_s for sample in samples
              if sample.other_lead_times_s is not None]
    known = np.concatenate([own, *others]).astype(float)
    low, high = 0.0 if watched else float(known.min()), float(known.max())
    # Rounding may take the mean of equal times past them.
    return {'lead_times_s': (low, high),
            'default_lead_time_s': float(np.clip(own.mean(), low, high))}


class Executions(NamedTuple):
    """
    At which lead times a sample's candidates have labels; of these there are ``N``, at least one.

    :ivar lead_times: the sample's own, then the others, seconds: float64, shape ``(N,)``.
    :ivar labels: shape ``(N, K)``; without meaning where the sample has no label.
    :ivar track: of the object's centre at the decision, then at each lead time, optical frame,
        metres: float64, shape ``(N + 1, 3)``; ``(0, 3)`` if it is not known.
    """

    lead_times: np.ndarray
    labels: np.ndarray
    track: np.ndarray


def executions(sample: Sample, every: bool) -> Executions:
    """Return how a sample's candidates ended, at every lead time or only at the sample's own."""
    times, labels = np.array([sample.lead_time_s], float), sample.labels[None]
    track = np.zeros((0, 3)) if sample.track is None else sample.track.astype(float)
    others = sample.other_lead_times_s, sample.other_labels, sample.other_places
    if every and others[0] is not None:
        assert others[1] is not None and others[2] is not None  # all or none are there
        times, labels = np.append(times, others[0]), np.concatenate([labels, others[1]])
        track = np.concatenate([track, others[2]]) if len(track) else track
    return Executions(times, labels, track)


def content_of(sample: Sample, timed: bool = True, covering: bool = True) -> Iterator[bytes]:
    """
    Return all of a sample that its clips depend on, to hash it. Caches on disk rely on its order.

    :param timed: whether lead times and what belongs to other ones count.
    :param covering: whether the object's mask counts.
    """
    parts = [sample.candidates, np.where(sample.labelled, sample.labels, 0), sample.labelled,
             sample.times_ns, sample.matrix, sample.distortion, sample.track]
    if timed:
        parts += [sample.lead_time_s, sample.other_lead_times_s, sample.other_labels,
                  sample.other_places]
    if covering:
        parts += [sample.object_mask]
    jpegs, attempt = sample.jpegs, sample.attempt
    if attempt is not None:
        parts += [attempt.candidate, attempt.success, attempt.stamps_ns, attempt.positions]
        jpegs += attempt.jpegs
    for values in parts:
        values = np.ascontiguousarray(np.nan if values is None else values)
        yield repr((values.dtype.str, values.shape)).encode() + values.tobytes()
    yield repr((sample.distortion_model, [len(data) for data in jpegs])).encode()
    yield from jpegs
