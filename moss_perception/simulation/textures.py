"""Textures of the scenes' surfaces, drawn at random: blotches, photographic, and covers."""

from collections.abc import Callable

import cv2
from moss_perception.core.errors import SimulationError
from moss_perception.simulation.look import Cover, Look
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


class _Grid:
    """
    Coordinates of a square texture along and across its pattern, in wavelengths.

    :param bend: largest displacement of the coordinates, wavelengths; it varies slowly.
    """

    def __init__(self, cover: Cover, rng: np.random.Generator, size: int, bend: float = 0.0):
        self.rng, self.size = rng, size
        rows, columns = np.mgrid[:size, :size] / size / cover.wavelength
        cos, sin = np.cos(cover.angle), np.sin(cover.angle)
        phase = rng.uniform(0, 1, 2)
        self.along = cos * columns + sin * rows + phase[0] + bend * self.smooth()
        self.across = cos * rows - sin * columns + phase[1] + bend * self.smooth()

    def smooth(self, cells: int = 5) -> np.ndarray:
        """Draw slow variations between about -1 and 1, of ``cells`` across the texture."""
        coarse = self.rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
        return cv2.resize(coarse, (self.size, self.size), interpolation=cv2.INTER_CUBIC)


def _stripes(cover: Cover, rng: np.random.Generator, size: int) -> np.ndarray:
    """Bars with edges from soft to hard, one width for all of a texture."""
    wave = np.sin(2 * np.pi * _Grid(cover, rng, size).along)
    return np.tanh((wave - rng.uniform(-0.7, 0.7)) * np.exp(rng.uniform(0, 3)))


def _checks(cover: Cover, rng: np.random.Generator, size: int) -> np.ndarray:
    """Squares or rectangles, in two levels."""
    grid, stretch = _Grid(cover, rng, size), np.exp(rng.uniform(-0.7, 0.7))
    return (np.floor(2 * grid.along) + np.floor(2 * stretch * grid.across)) % 2


def _dots(cover: Cover, rng: np.random.Generator, size: int) -> np.ndarray:
    """Discs on a grid, such as holes."""
    grid = _Grid(cover, rng, size)
    shifted = grid.along + 0.5 * (np.floor(grid.across) % 2)
    apart = np.hypot(shifted % 1 - 0.5, grid.across % 1 - 0.5)
    return np.clip((rng.uniform(0.2, 0.42) - apart) * 12, 0, 1)


def _stones(cover: Cover, rng: np.random.Generator, size: int) -> np.ndarray:
    """Cells about random points, each of one level, as in terrazzo; some with dark joints."""
    count = int(np.clip(1 / cover.wavelength ** 2, 8, 1500))
    points = np.ones((size, size), np.uint8)
    points[tuple(rng.integers(0, size, (2, count)))] = 0
    apart, labels = cv2.distanceTransformWithLabels(
        points, cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    levels = rng.normal(0, 1, int(labels.max()) + 1)[labels.astype(int)]
    return levels - rng.choice((0.0, 2.5)) * (apart > 0.4 * size * cover.wavelength)


def _wood(cover: Cover, rng: np.random.Generator, size: int) -> np.ndarray:
    """Bent growth rings of uneven width, and fibres along them."""
    grid = _Grid(cover, rng, size, bend=0.8)
    rings = np.sin(2 * np.pi * (grid.across + 0.15 * grid.along + 0.5 * np.sin(grid.across)))
    fibres = np.sin(2 * np.pi * (11 * grid.across + grid.smooth(9)))
    return rings - 0.3 * np.abs(rings) + 0.25 * fibres


def _marble(cover: Cover, rng: np.random.Generator, size: int) -> np.ndarray:
    """Thin veins that wander."""
    grid = _Grid(cover, rng, size, bend=1.2)
    veins = 1 - np.abs(np.sin(np.pi * (grid.along + 0.4 * grid.smooth(14))))
    return veins ** rng.uniform(2, 6) + 0.2 * grid.smooth(4)


def _weave(cover: Cover, rng: np.random.Generator, size: int) -> np.ndarray:
    """Threads that pass over and under each other."""
    grid = _Grid(cover, rng, size)
    over = (np.floor(2 * grid.along) + np.floor(2 * grid.across)) % 2
    threads = np.abs(np.sin(2 * np.pi * grid.along)), np.abs(np.sin(2 * np.pi * grid.across))
    return np.where(over > 0, threads[0] + rng.uniform(-0.5, 0.5), threads[1])


def _scratches(cover: Cover, rng: np.random.Generator, size: int) -> np.ndarray:
    """Straight scratches and stains on a plain surface."""
    drawn = np.zeros((size, size), np.float32)
    for _ in range(int(rng.integers(4, 60))):
        begin, turn = rng.integers(0, size, 2), rng.normal(cover.angle, 0.6)
        end = begin + 3 * cover.wavelength * size * rng.uniform(0.3, 2) * np.array(
            [np.cos(turn), np.sin(turn)])
        cv2.line(drawn, begin.tolist(), end.astype(int).tolist(), rng.normal(),
                 int(rng.integers(1, 4)), cv2.LINE_AA)
    return drawn + 0.3 * _Grid(cover, rng, size).smooth()


def _patches(cover: Cover, rng: np.random.Generator, size: int) -> np.ndarray:
    """Large areas of three levels with wavy borders."""
    cells = int(np.clip(1 / cover.wavelength, 3, 24))
    height = _Grid(cover, rng, size).smooth(cells)
    return rng.permutation(3)[np.digitize(height, rng.choice((0.15, 0.3)) * np.array([-1, 1]))]


def _gradient(cover: Cover, rng: np.random.Generator, size: int) -> np.ndarray:
    """One slow change of brightness."""
    return cover.wavelength * _Grid(cover, rng, size).along


KINDS: dict[str, Callable[[Cover, np.random.Generator, int], np.ndarray]] = {
    'stripes': _stripes, 'checks': _checks, 'dots': _dots, 'stones': _stones, 'wood': _wood,
    'marble': _marble, 'weave': _weave, 'scratches': _scratches, 'patches': _patches,
    'gradient': _gradient}


def draw_cover(cover: Cover, rng: np.random.Generator, size: int) -> np.ndarray:
    """
    Draw the pattern of a cover.

    :param size: width and height, pixels.
    :returns: shape ``(size, size, 3)``, RGB, of mean 0; its luminance of variance 1.
    """
    pattern = np.asarray(KINDS[cover.kind](cover, rng, size), np.float64)
    pattern = (pattern - pattern.mean()) / max(float(pattern.std()), 1e-6)
    pattern += cover.grain * rng.standard_normal((size, size))
    tint = np.asarray(cover.tint) / np.mean(cover.tint)
    return (pattern / (1 + cover.grain ** 2) ** 0.5)[..., None] * tint


def belt_texture(look: Look) -> bytes:
    """Draw the texture of the belt as PNG; its width covers 0.4 m of the belt."""
    rng = np.random.default_rng(look.texture_seed)
    if look.covers or look.texture == 'photographic':
        drawn = _pattern(look, 0, rng, 256)
        return _png(look.belt * (1 + look.belt_contrast * drawn) * look.belt_tint)
    blotches = cv2.resize(rng.normal(0, 0.5, (8, 20)), (256, 128), interpolation=cv2.INTER_CUBIC)
    grain = cv2.resize(rng.normal(0, 0.4, (64, 128)), (256, 128))
    seams = np.zeros((128, 256))
    for column in rng.integers(0, 250, rng.integers(0, 4)):
        seams[:, column:column + 5] += rng.choice((-1.0, 1.0))
    level = look.belt * (1 + look.belt_contrast * (blotches + grain + seams))
    tint = (1 + rng.uniform(-0.12, 0.12, 3))[::-1]  # drawn in the order blue, green, red
    return _png(level[..., None] * tint * look.belt_tint)


def cover_texture(look: Look, contrast: float, part: int) -> bytes:
    """
    Draw a texture that modulates a colour, as PNG of 128 x 128 pixels.

    :param contrast: standard deviation relative to the mean.
    :param part: number of the textured part of a scene: 1 for the floor, 2 for the object.
    """
    rng = np.random.default_rng([look.texture_seed, part])
    return _png(0.8 * (1 + contrast * _pattern(look, part, rng, 128)))


def _pattern(look: Look, part: int, rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw a square pattern of mean 0 whose luminance has variance 1, ``(size, size, 3)``."""
    if look.covers:
        return draw_cover(look.covers[part], rng, size)
    return photographic(rng, size, size, look.slope)


def _png(color: np.ndarray) -> bytes:
    done, data = cv2.imencode('.png', np.round(np.clip(color, 0, 1) * 255).astype(
        np.uint8)[..., ::-1])
    if not done:
        raise SimulationError(f'OpenCV could not encode a texture of shape {color.shape} as PNG')
    return data.tobytes()
