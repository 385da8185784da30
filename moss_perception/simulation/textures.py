"""Textures, drawn from a seed: blotches and seams, or the statistics of photographs."""

import cv2
from moss_perception.core.errors import SimulationError
from moss_perception.simulation.look import Look
import numpy as np

# Principal axes of the colours in photographs: luminance, blue against yellow, red against green.
_OPPONENTS = np.array([[1.0, 1.0, 1.0], [0.5, 0.5, -1.0], [1.0, -1.0, 0.0]]) / 3 ** 0.5
_CHROMA = np.array([1.0, 0.25, 0.15])
_LEAVES = 500


def photographic(rng: np.random.Generator, height: int, width: int, slope: float) -> np.ndarray:
    """
    Draw a texture with edges whose amplitude falls with frequency as in photographs.

    Overlapping discs of all sizes give the phases, and so the edges (dead leaves model); the
    amplitude is set to ``frequency ** -slope``. Luminance varies most, so the colour channels are
    correlated.

    :param slope: about 1 for photographs.
    :returns: shape ``(height, width, 3)``, RGB, of mean 0; its luminance of variance 1.
    """
    leaves = np.zeros((height, width, 3))
    radii = np.sort(2 * (1 - rng.uniform(0, 0.97, _LEAVES)) ** -0.8)[::-1]
    for radius in radii:
        centre = (int(rng.integers(width)), int(rng.integers(height)))
        axes = (int(radius) + 1, int(radius * rng.uniform(0.4, 1)) + 1)
        cv2.ellipse(leaves, centre, axes, rng.uniform(0, 180), 0, 360,
                    rng.normal(0, 1, 3).tolist(), -1)
    spectrum = np.fft.rfft2(leaves, axes=(0, 1))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = np.inf
    amplitude = frequency[..., None] ** -slope
    spectrum *= amplitude / np.maximum(np.abs(spectrum), 1e-12)
    axes = np.fft.irfft2(spectrum, (height, width), axes=(0, 1))
    axes /= axes.std(axis=(0, 1))
    return (axes * _CHROMA) @ _OPPONENTS * 3 ** 0.5


def belt(look: Look) -> bytes:
    """Draw the texture of the belt as PNG; its width covers 0.4 m of the belt."""
    rng = np.random.default_rng(look.texture_seed)
    if look.texture == 'photographic':
        drawn = photographic(rng, 256, 256, look.slope)
        return _png(look.belt * (1 + look.belt_contrast * drawn) * look.belt_tint)
    blotches = cv2.resize(rng.normal(0, 0.5, (8, 20)), (256, 128), interpolation=cv2.INTER_CUBIC)
    grain = cv2.resize(rng.normal(0, 0.4, (64, 128)), (256, 128))
    seams = np.zeros((128, 256))
    for column in rng.integers(0, 250, rng.integers(0, 4)):
        seams[:, column:column + 5] += rng.choice((-1.0, 1.0))
    level = look.belt * (1 + look.belt_contrast * (blotches + grain + seams))
    tint = (1 + rng.uniform(-0.12, 0.12, 3))[::-1]  # drawn in the order blue, green, red
    return _png(level[..., None] * tint * look.belt_tint)


def cover(look: Look, contrast: float, part: int) -> bytes:
    """
    Draw a texture that modulates a colour, as PNG of 128 x 128 pixels.

    :param contrast: standard deviation relative to the mean.
    :param part: number of the textured part of a scene.
    """
    rng = np.random.default_rng([look.texture_seed, part])
    return _png(0.8 * (1 + contrast * photographic(rng, 128, 128, look.slope)))


def _png(color: np.ndarray) -> bytes:
    done, data = cv2.imencode('.png', np.round(np.clip(color, 0, 1) * 255).astype(
        np.uint8)[..., ::-1])
    if not done:
        raise SimulationError(f'OpenCV could not encode a texture of shape {color.shape} as PNG')
    return data.tobytes()
