"""Scenes of the cell with the true motion of their seeds, and images that tell their number."""

from dataclasses import replace

import cv2
from moss_perception.data.schema import Attempt, Sample
from moss_perception.data.shards import write_shard
from moss_perception.simulation.scene import Source
import numpy as np

PHASES = ('approach',) * 3 + ('descend',) * 2 + ('close',) * 3 + ('lift',) * 4 + ('shake',) * 5
MATRIX = np.array([[100.0, 0, 31.5], [0, 100, 31.5], [0, 0, 1]])


def scene(seed, split='', **changes):
    """Make a scene; the grey of each image is six times its number."""
    spec = Source('full', 'sim', split).sample(seed)
    offsets = np.array([[0, 0, 0, 0], [0.01, 0, 0, 0], [0, 0.01, 0, 0], [0, 0, 0.01, 0]])
    velocity = spec.motion.velocity(1.9) + spec.rolling
    success = seed % 2 == 0
    lost = np.where(np.arange(17) < 10, 0.1, -0.1)
    jpegs = tuple(cv2.imencode('.jpg', np.full((64, 64, 3), 6 * n, np.uint8))[1].tobytes()
                  for n in range(37))
    one = Sample(
        seed=seed, jpegs=jpegs[:20], labels=np.array([success] * 4), motion=spec.motion.name,
        candidates=(offsets + [0, 0, 0.6, 0]).astype(np.float32), offsets=offsets, matrix=MATRIX,
        track=np.array([[0, 0, 0.6]] * 2, np.float32), speed=spec.motion.velocity(1.9),
        velocity=velocity, acceleration=0.0, cell='full', domain='sim', split=split,
        family=spec.object.shape, shape=spec.object.shape,
        attempt=Attempt(0, success, jpegs[20:], np.arange(20, 37) * 10**8, PHASES,
                        np.where(success, np.nan, lost).astype(np.float32),
                        np.zeros((17, 3), np.float32)))
    return replace(one, **changes)


def write_sets(folder):
    """Write scenes of training, of a test, and of held-out families, and return the folder."""
    for name, seeds, split in (('train', range(40), ''), ('test', range(100, 140), ''),
                               ('held_out', range(200, 240), 'held_out')):
        write_shard(folder / name / f'scenes_{seeds[0]:08d}.npz',
                    [scene(seed, split) for seed in seeds], MATRIX)
    return folder
