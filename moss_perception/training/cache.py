"""Scenes whose images are decoded once, fitted to the network's input, and kept."""

from collections.abc import Iterable
from pathlib import Path

from moss_perception.core.errors import ConfigError
from moss_perception.core.geometry import letterbox
from moss_perception.data.scenes import Scene
from moss_perception.models.config import GraspConfig
import numpy as np

MEMORY_LIMIT = 4 << 30


class DecodedScene:
    """
    A scene with its last images at the network's size, in all else the scene that it was.

    :param scene: the recorded scene.
    :param images: uint8, RGB, shape ``(T, S, S, 3)``.
    :param matrix: of a camera that sees these images, shape ``(3, 3)``.
    """

    def __init__(self, scene: Scene, images: np.ndarray, matrix: np.ndarray):
        self.scene = scene
        self.images = images
        self.matrix = matrix

    def __getattr__(self, name: str):
        # Copying and pickling ask for names before there is a scene.
        if name.startswith('__') or name == 'scene':
            raise AttributeError(name)
        return getattr(self.scene, name)

    @property
    def image_size(self) -> tuple[int, int]:
        """Width and height of the images, pixels."""
        return self.images.shape[2], self.images.shape[1]

    @property
    def frames(self) -> np.ndarray:
        """Return the images that were kept."""
        return self.images

    @property
    def jpegs(self):
        """Refuse: decoded anew, the images would be of another size."""
        raise ConfigError(f'scene {self.scene.seed} is decoded: expected newest() or frames')

    def newest(self, count: int) -> np.ndarray:
        """Return the last ``count`` images: uint8, RGB, shape ``(count, S, S, 3)``."""
        if count > len(self.images):
            raise ConfigError(f'the last {count} images of scene {self.scene.seed} are wanted: '
                              f'expected at most the {len(self.images)} that were decoded')
        return self.images[len(self.images) - count:]


def decode_scenes(scenes: Iterable[Scene], config: GraspConfig, *, file: Path | None = None,
                  limit: int = MEMORY_LIMIT) -> list[DecodedScene]:
    """
    Decode the windows of all scenes.

    :param scenes: with at least the window's number of images each.
    :param config: says how many images, and how large.
    :param file: a ``.npy`` file, made anew, that holds the images where they exceed the limit.
    :param limit: bytes of images that may be kept in memory.
    :raises ShapeError: if a scene is too short.
    :raises ConfigError: if the images exceed the limit and there is no file to keep them in.
    """
    scenes = list(scenes)
    span, side = config.window_frames, config.image_size
    shape = (len(scenes), span, side, side, 3)
    images = _make(shape, file, limit)
    decoded = []
    for scene, kept in zip(scenes, images, strict=True):
        for frame, place in zip(scene.clip(span, config.frame_rate_hz), kept, strict=True):
            place[:], (scale, right, down) = letterbox(frame, side)
        moved = np.array([[scale, 0, right], [0, scale, down], [0, 0, 1]]) @ scene.matrix
        decoded.append(DecodedScene(scene, kept, moved))
    return decoded


def _make(shape: tuple[int, ...], file: Path | None, limit: int) -> np.ndarray:
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
