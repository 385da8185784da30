"""Samples that use each field, as a recording or the simulator fills them, and how to compare."""

from dataclasses import fields, replace

import cv2
from moss_perception.data.schema import Attempt, Sample
import numpy as np


def jpeg(seed: int, size: tuple[int, int]) -> bytes:
    image = np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), np.uint8)
    return cv2.imencode('.jpg', image)[1].tobytes()


def sample(seed: int, count: int, size: tuple[int, int] = (64, 48), **changes) -> Sample:
    """Return a recorded sample with some candidates, of which the second is labelled."""
    rng = np.random.default_rng(seed)
    stamps = np.arange(3) * 100_000_000 + 1_700_000_000_000_000_123
    labels = np.full(count, np.nan, np.float32)
    labels[1] = seed % 2
    return replace(Sample(
        tuple(jpeg(seed + n, size) for n in range(3)),
        rng.normal(size=(count, 4)).astype(np.float32), labels,
        mask=np.arange(count) == 1, matrix=np.array([[615.1, 0, 320.2], [0, 614.9, 240],
                                                     [0, 0, 1]]),
        distortion=rng.normal(size=5), size=size, stamps_ns=stamps,
        attempt=Attempt(1, bool(seed % 2), (jpeg(seed + 9, size),), stamps[-1:] + 50_000_000),
        name=f'monday, attempt {seed}', domain='real', lead_time_s=0.7, gripper_opening_m=0.09,
        groups={'bag': 'monday', 'day': '2023-11-14', 'object': 'cup'}), **changes)


def simulated(seed: int) -> Sample:
    rng = np.random.default_rng(seed)
    return replace(
        sample(seed, 4), mask=None, labels=np.array([0, 1, 1, 0], np.float32), seed=seed,
        split='held_out', motion='constant', shape='box', family='box', cell='full', speed=0.1,
        velocity=0.1, acceleration=0.0, track=rng.normal(size=(2, 3)).astype(np.float32),
        offsets=rng.normal(size=(4, 4)).astype(np.float32),
        other_lead_times_s=np.array([0.7, 0.8], np.float32),
        other_labels=rng.integers(0, 2, (2, 4)).astype(np.float32),
        other_places=rng.normal(size=(2, 3)).astype(np.float32),
        object_mask=rng.uniform(size=(48, 61)) < 0.5,
        attempt=Attempt(0, False, (jpeg(1, (61, 48)),), np.array([7]), ('lift',),
                        np.array([0.1], np.float32), np.zeros((1, 3), np.float32)))


def assert_same(got, written) -> None:
    for one in fields(written):
        mine, theirs = getattr(got, one.name), getattr(written, one.name)
        if isinstance(theirs, Attempt):
            assert_same(mine, theirs)
        elif isinstance(theirs, np.ndarray):
            assert mine.dtype == theirs.dtype, one.name
            np.testing.assert_array_equal(mine, theirs, one.name)
        else:
            assert mine == theirs or (mine != mine and theirs != theirs), one.name
