"""Scenes of a bright spot on noise, and what is trained on them: small enough for tests."""

from dataclasses import replace

import cv2
from moss_perception.data.schema import GRIP_S, Sample
from moss_perception.data.shards import write_shard
from moss_perception.models.moss_grasp import MossGraspConfig
import numpy as np

import study.models  # noqa: F401, registers the variants

MATRIX = np.array([[48.0, 0, 23.5], [0, 48, 15.5], [0, 0, 1]])
TINY = MossGraspConfig(image_size=32, channels=(4, 4, 8), moss_window=(3, 3, 3), moss_channels=4,
                   projection_channels=4, head_channels=8, ensemble=2)
VARIANT = """
name: {name}
model: {temporal}_grasp
network: {{image_size: 32, channels: [8, 8, 8], head_channels: 8, ensemble: 2{own}}}
training: {{epochs: 2, batch: 4}}
"""
MOSS = ', moss_window: [3, 3, 3], moss_channels: 4, projection_channels: 4'


def scene(seed, width=48):
    """Make a scene of a spot on noise; a grasp at it succeeds, and one away from it fails."""
    generator = np.random.default_rng(seed)
    jpegs = []
    for n in range(18):
        image = generator.integers(40, 80, (32, width, 3), np.uint8)
        image[10:16, 8 + n:14 + n] = 250
        jpegs.append(cv2.imencode('.jpg', image)[1].tobytes())
    places = np.array([[28.0, 13], [10, 25], [28, 13]]) - MATRIX[:2, 2]
    candidates = np.column_stack([places / 48 * 0.6, np.full(3, 0.6), np.zeros(3)])
    return Sample(seed=seed, jpegs=tuple(jpegs), candidates=candidates.astype(np.float32),
                 labels=np.array([True, False, seed % 2 == 0]), speed=0.1, motion='constant',
                 shape='box', track=candidates[[0, 0], :3].astype(np.float32), matrix=MATRIX)


def later_scene(seed, latencies=(0.0, 0.1, 0.2)):
    """Make a scene whose first candidate holds at first, and its second later."""
    one = scene(seed)
    own, *others = (GRIP_S + latency for latency in latencies)
    return replace(one, lead_time_s=own, other_lead_times_s=np.array(others, np.float32),
                   other_labels=np.tile(np.array([0, 1, 0], np.float32), (len(others), 1)),
                   other_places=np.tile(one.candidates[1, :3], (len(others), 1)))


def write_data(folder):
    """Write the sets of scenes ``train`` and ``test``, and return the folder."""
    for name, seeds in (('train', range(12)), ('test', range(100, 106))):
        write_shard(folder / name / f'scenes_{seeds[0]:08d}.npz', [scene(n) for n in seeds],
                    MATRIX)
    return folder


def variant_file(folder, name, temporal):
    """Write the settings of a variant, of model ``<temporal>_grasp``."""
    path = folder / f'{name}.yaml'
    own = MOSS if temporal.startswith('moss') else ''
    if temporal == 'moss_flow' or not own:
        own += ', temporal_channels: 8'
    path.write_text(VARIANT.format(name=name, temporal=temporal, own=own))
    return path
