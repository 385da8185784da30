"""Write tiny video clips for tests; each image tells its own number by its shade."""

from pathlib import Path

import cv2
import numpy as np

SIZE = (64, 48)


def shade_of(index: int) -> int:
    return 20 + 8 * (index % 28)


def write_clip(path: Path, images: int, hz: float = 10.0, size: tuple[int, int] = SIZE) -> Path:
    """Write grey images as Motion JPEG, which every build of OpenCV writes and reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), hz, size)
    for index in range(images):
        video.write(np.full((size[1], size[0], 3), shade_of(index), np.uint8))
    video.release()
    return path


def noisy_clip(path: Path, images: int, size: tuple[int, int] = SIZE, seed: int = 0) -> Path:
    """Write images that hardly compress."""
    rng = np.random.default_rng(seed)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 30.0, size)
    for _ in range(images):
        video.write(rng.integers(0, 256, (size[1], size[0], 3), np.uint8))
    video.release()
    return path


def cut(path: Path, share: float) -> Path:
    """Keep only the beginning of a file, as a copy that was broken off."""
    data = path.read_bytes()
    path.write_bytes(data[:round(share * len(data))])
    return path


def shades(jpegs: list[bytes]) -> list[int]:
    """Return which shade each JPEG has."""
    return [round(float(cv2.imdecode(np.frombuffer(x, np.uint8), cv2.IMREAD_GRAYSCALE).mean()))
            for x in jpegs]
