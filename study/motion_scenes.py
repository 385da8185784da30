"""Synthetic motion with known truth: textured objects that move by fractions of pixels."""

from dataclasses import dataclass

import cv2
import numpy as np
from scipy import fft

# Images are rendered so many times as fine, then averaged.
_FINER = 4
# Of the patterns, pixels.
_PERIODS = 5, 11, 24


@dataclass(frozen=True)
class MovingScene:
    """
    Two images, and how what the second shows has moved since the first.

    :ivar before: uint8, shape ``(S, S)``.
    :ivar now: uint8, shape ``(S, S)``.
    :ivar motion: float32, shape ``(S, S, 2)``: right and down, pixels, of what ``now`` shows at
        that pixel.
    :ivar known: bool, shape ``(S, S)``: whether ``before`` shows it as well.
    :ivar objects: bool, shape ``(S, S)``: whether it is an object and not the background.
    """

    before: np.ndarray
    now: np.ndarray
    motion: np.ndarray
    known: np.ndarray
    objects: np.ndarray


def make_scene(seed: int, size: int = 128, largest: float = 6.0,
               shifted: bool = False) -> MovingScene:
    """
    Render one scene: two to five objects on a background, each with a motion of its own.

    :param seed: of the scene; with ``shifted`` the scene is the same and its look another.
    :param size: side ``S`` of the images, pixels.
    :param largest: largest motion along an axis, pixels.
    :param shifted: change light, contrast, focus and noise, partly from image to image.
    """
    generator = np.random.default_rng(seed)
    background = _texture(generator, size * _FINER)
    # Half of the backgrounds stand still, the others move as a belt does.
    drift = generator.uniform(-largest, largest, 2) / 2 * (generator.random() < 0.5)
    layers: list[tuple] = [(None, background, drift)]
    for _ in range(generator.integers(2, 6)):
        outline = _outline(generator, size)
        layers.append((outline, _texture(generator, size * _FINER),
                       generator.uniform(-largest, largest, 2)))
    # The first image shows every layer half its motion before, the second half after.
    before, first = _render(layers, size, -0.5)
    now, last = _render(layers, size, 0.5)
    motion = np.array([layer[2] for layer in layers], np.float32)[last]
    if shifted:
        before, now = _shift(np.random.default_rng((seed, 1)), before, now)
    quantised = [np.rint(image.clip(0, 1) * 255).astype(np.uint8) for image in (before, now)]
    return MovingScene(*quantised, motion, _seen_before(first, last, motion), last > 0)


def _texture(generator: np.random.Generator, side: int) -> np.ndarray:
    """Make a pattern of several scales, in [0, 1], that repeats at its borders."""
    radius = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None])
    octaves = np.log2(radius * _FINER + 1e-9)
    bands = sum(generator.uniform(0.1, 1) * np.exp(-((octaves + np.log2(period)) / 0.6) ** 2)
                / (radius + 1e-9) for period in _PERIODS)
    noise = generator.standard_normal((side, side), np.float32)
    pattern = fft.irfft2(fft.rfft2(noise) * bands.astype(np.float32), (side, side))
    contrast = generator.uniform(0.06, 0.2)
    return generator.uniform(0.25, 0.75) + contrast * pattern / pattern.std()


def _outline(generator: np.random.Generator, size: int) -> np.ndarray:
    """Draw a convex or star-like outline: points, float, shape ``(N, 2)``, pixels."""
    angles = np.sort(generator.uniform(0, 2 * np.pi, generator.integers(5, 12)))
    reach = generator.uniform(0.09, 0.2) * size * generator.uniform(0.7, 1.3, len(angles))
    centre = generator.uniform(0.18, 0.82, 2) * size
    return centre + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)


def _render(layers: list, size: int, time: float) -> tuple[np.ndarray, np.ndarray]:
    """Paint the layers: the image, float32, and which layer shows at each pixel, int."""
    fine = size * _FINER
    image, index = np.zeros((fine, fine), np.float32), np.zeros((fine, fine), np.uint8)
    for n, (outline, texture, motion) in enumerate(layers):
        x, y = motion * time * _FINER
        moved = cv2.warpAffine(texture, np.array([[1, 0, x], [0, 1, y]]), (fine, fine),
                               flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_WRAP)
        mask = np.full((fine, fine), outline is None, np.uint8)
        if outline is not None:
            points = (outline + motion * time) * _FINER
            cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], 1, shift=4)
        image[mask > 0], index[mask > 0] = moved[mask > 0], n
    middle = index[_FINER // 2::_FINER, _FINER // 2::_FINER].astype(int)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), middle


def _seen_before(first: np.ndarray, last: np.ndarray, motion: np.ndarray) -> np.ndarray:
    size = len(last)
    y, x = np.indices(last.shape)
    from_x, from_y = (np.rint(at - motion[..., n]).astype(int) for n, at in enumerate((x, y)))
    inside = (from_x >= 0) & (from_x < size) & (from_y >= 0) & (from_y < size)
    return inside & (first[from_y.clip(0, size - 1), from_x.clip(0, size - 1)] == last)


def _shift(generator: np.random.Generator, *images: np.ndarray) -> list[np.ndarray]:
    """Change what a camera and a lamp change: some of it alike in both images, some not."""
    size = len(images[0])
    gamma, blur = generator.uniform(0.6, 1.7), generator.uniform(0.3, 1.2)
    noise, contrast = generator.uniform(0.01, 0.05), generator.uniform(0.4, 1.0)
    slope = generator.uniform(-0.5, 0.5, 2)
    ramp = (np.indices((size, size)) / size - 0.5).transpose(1, 2, 0) @ slope
    changed = []
    for image in images:
        # Lamp and exposure flicker: these differ between the images.
        gain, offset = generator.uniform(0.8, 1.2), generator.uniform(-0.1, 0.1)
        light = 1 + ramp * generator.uniform(0.7, 1.3)
        image = image.clip(0, 1) ** gamma * light * gain * contrast + offset
        image = cv2.GaussianBlur(image, (0, 0), blur * generator.uniform(0.8, 1.25))
        changed.append(image + generator.normal(0, noise, image.shape))
    return changed
