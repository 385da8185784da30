"""What a training makes of its samples before any is a clip: parts, lead times, measurements."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from moss_perception.core.geometry import project
from moss_perception.data.schema import Sample
import numpy as np

# Fewer seeds in a row than this may be scenes that a recording left out.
_SEED_GAP = 1000


def split(samples: list[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Split samples into those to train on and every tenth, which is held out."""
    return [s for n, s in enumerate(samples) if n % 10], samples[::10]


def measure(samples: list[Sample], count: int = 64) -> dict[str, Any]:
    """
    Measure the values of a model's configuration that training samples set.

    :returns: the default grasp, which is the mean candidate, and the mean and standard deviation
        of RGB in [0, 1] over the last images of about ``count`` samples.
    """
    camera = samples[0].camera
    candidates = np.concatenate([s.candidates for s in samples]).astype(np.float64)
    pixels = np.nanmean(project(candidates[:, :3], camera)[0], axis=0)
    step = max(1, len(samples) // count)
    colours = np.stack([s.newest(1)[0] for s in samples[::step]]) / 255
    return {'default_point': tuple(float(x) for x in (pixels + 0.5)
                                   / (camera.width, camera.height)),
            'default_depth_m': float(candidates[:, 2].mean()),
            'default_focal': float(camera.matrix[0, 0] / camera.width),
            'mean': tuple(float(x) for x in colours.mean(axis=(0, 1, 2))),
            'std': tuple(float(x) for x in colours.std(axis=(0, 1, 2)))}


def with_lead_time(samples: Sequence[Sample], lead_time: float) -> list[Sample]:
    """Give a lead time, seconds, to the samples that do not know theirs; 0 for none."""
    return [replace(sample, lead_time_s=lead_time)
            if lead_time and not np.isfinite(sample.lead_time_s) else sample for sample in samples]


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
    low = 0.0 if watched else float(known.min())
    return {'lead_times_s': (low, float(known.max())), 'default_lead_time_s': float(own.mean())}


def seed_ranges(seeds: Sequence[int]) -> list[list[int]]:
    """
    Return the first and last seed of each range of training scenes, ascending.

    Seeds that a recording left out are counted in; data sets lie further apart.

    :param seeds: at least one, in any order.
    """
    ranges: list[list[int]] = []
    for seed in sorted(seeds):
        if not ranges or seed - ranges[-1][1] > _SEED_GAP:
            ranges.append([seed, seed])
        ranges[-1][1] = seed
    return ranges


def executed_later(sample: Sample, number: int) -> Sample:
    """Return a sample at another of its lead times."""
    times, labels, places = (sample.other_lead_times_s, sample.other_labels, sample.other_places)
    assert times is not None and labels is not None and places is not None  # all or none are there
    track = None if sample.track is None else np.stack([sample.track[0], places[number]])
    return replace(sample, labels=labels[number], track=track, lead_time_s=float(times[number]),
                   other_lead_times_s=None, other_labels=None, other_places=None)
