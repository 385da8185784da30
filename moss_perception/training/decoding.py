"""The images of samples, decoded once at the network's size."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from moss_perception.core.errors import ConfigError
from moss_perception.core.frames import Camera
from moss_perception.core.geometry import letterbox
from moss_perception.data.schema import Sample
from moss_perception.models.config import ModelConfig
import numpy as np

_MEMORY_LIMIT = 4 << 30


@dataclass(frozen=True)
class DecodedClips:
    """
    The last images of some samples at the network's size.

    :ivar images: uint8, RGB, shape ``(N, T, S, S, 3)``.
    :ivar cameras: ``N`` cameras that see these images.
    """

    images: np.ndarray
    cameras: list[Camera]


def decode_clips(samples: Sequence[Sample], config: ModelConfig, *, file: Path | None = None,
                 limit: int = _MEMORY_LIMIT) -> DecodedClips:
    """
    Decode the windows of all samples.

    :param samples: with at least the window's number of images each.
    :param config: sets the number of images and their size.
    :param file: a ``.npy`` file, written anew, that holds the images if they exceed the limit.
    :param limit: bytes of images that may be kept in memory.
    :raises ShapeError: if a sample is too short.
    :raises ConfigError: if the images exceed the limit and there is no file to keep them in.
    """
    span, side = config.window_frames, config.image_size
    images = _allocate((len(samples), span, side, side, 3), file, limit)
    cameras = []
    for sample, places in zip(samples, images, strict=True):
        fit = np.eye(3)
        for frame, place in zip(sample.clip(span, config.frame_rate_hz), places, strict=True):
            place[:], (scale, right, down) = letterbox(frame, side)
            fit = np.array([[scale, 0, right], [0, scale, down], [0, 0, 1]])
        camera = sample.camera
        cameras.append(replace(camera, width=side, height=side, matrix=fit @ camera.matrix))
    return DecodedClips(images, cameras)


def _allocate(shape: tuple[int, ...], file: Path | None, limit: int) -> np.ndarray:
    size = int(np.prod(shape))
    if size <= limit:
        return np.empty(shape, np.uint8)
    if file is None:
        raise ConfigError(f'the decoded images take {size} bytes: expected at most {limit}, or a '
                          'file to keep them in')
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return np.lib.format.open_memmap(file, 'w+', np.uint8, shape)
    except OSError as error:
        raise ConfigError(f"{file} can't be written: {error.strerror or error}") from error
