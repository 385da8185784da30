"""Streams of frames for the predictor, as its tests push them."""

from moss_perception.core.frames import Camera, Candidates, Frame
from moss_perception.core.image_messages import RawImage
import numpy as np

PERIOD_NS = 100_000_000
START_NS = 10_000_000_000
WINDOW = 16
CAMERA = Camera(32, 32, np.array([[40.0, 0, 15.5], [0, 40, 15.5], [0, 0, 1]]))


def picture(seed, size=32):
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


def frame(k, seed=None, **changes):
    values = {'stamp_ns': START_NS + k * PERIOD_NS, 'frame_id': 'camera',
              'image': picture(k if seed is None else seed), **changes}
    return Frame(**values)


def raw_image(image):
    """Wrap an RGB array as an uncompressed image."""
    height, width, _ = image.shape
    return RawImage('rgb8', height, width, 3 * width, np.ascontiguousarray(image))


def candidates(k, positions, yaws=None, frame_id='camera'):
    positions = np.array(positions, float).reshape(-1, 3)
    yaws = np.zeros(len(positions)) if yaws is None else np.array(yaws, float)
    return Candidates.from_yaws(START_NS + k * PERIOD_NS, frame_id, positions, yaws)


def push_all(predictor, frames):
    return [predictor.push(f) for f in frames]
