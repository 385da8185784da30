"""The image sensor: exposure, rolling shutter, noise, tone curve, and timing of frames."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import cv2
from moss_perception.core.errors import SimulationError
from moss_perception.simulation.cells import Domain, TICK_S
from moss_perception.simulation.look import Look
import numpy as np

# Rendered images that sample the exposure and readout of one frame.
INSTANTS = 4


@dataclass(frozen=True)
class Sensor:
    """
    Properties of the image sensor.

    :ivar gain: factor of the brightness; ``gamma``: exponent of the tone curve; ``saturation``:
        factor of the distance of a colour from grey.
    :ivar shot: variance of the shot noise, grey levels, per grey level of the signal.
    :ivar exposure_s: exposure time of each row, seconds.
    :ivar readout_s: delay of the last row after the first, seconds.
    :ivar jitter_s: standard deviation of the time at which a frame is taken, seconds.
    :ivar drop: probability that a frame is lost, 0 to 1.
    :ivar vignette: loss of light in the corners of the image, 0 to 1.
    :ivar flicker: standard deviation of the brightness from frame to frame, relative.
    :ivar jpeg_quality: of the compressed images, 1 to 100.
    """

    gain: float = 1.0
    gamma: float = 1.0
    saturation: float = 1.0
    shot: float = 0.0
    exposure_s: float = 0.0
    readout_s: float = 0.0
    jitter_s: float = 0.0
    drop: float = 0.0
    vignette: float = 0.0
    flicker: float = 0.0
    jpeg_quality: int = 90

    @property
    def _exposed_s(self) -> float:
        # With a rolling shutter, the exposure time of a row must not be 0.
        return max(self.exposure_s, 1e-3 * self.readout_s)

    @property
    def instants(self) -> np.ndarray:
        """Return the times to render, relative to the stamp of the frame, seconds, at most 0."""
        span = self._exposed_s + self.readout_s
        if not span:
            return np.zeros(1)
        return span * ((np.arange(INSTANTS) + 0.5) / INSTANTS - 1)

    def row_weights(self, rows: int) -> np.ndarray:
        """
        Return the weight of each rendered image in each row.

        :param rows: height of the image, pixels.
        :returns: float32, shape ``(rows, len(instants))``; each row sums to 1.
        """
        count = len(self.instants)
        if count == 1:
            return np.ones((rows, 1), np.float32)
        span = self._exposed_s + self.readout_s
        edges = np.linspace(-span, 0, count + 1)
        end = self.readout_s * (np.arange(rows) / (rows - 1) - 1)[:, None]
        begin = end - self._exposed_s
        overlap = np.minimum(edges[1:], end) - np.maximum(edges[:-1], begin)
        overlap = np.maximum(overlap, 0)
        return (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)


def sample_sensor(domain: Domain, draw: Mapping[str, np.random.Generator]) -> Sensor:
    """
    Draw a sensor of the cell ``full``.

    :param draw: random generator of each factor of the shift.
    """
    exposure, timing = draw['exposure'], draw['timing']
    return Sensor(
        gain=exposure.uniform(*domain.gain), gamma=exposure.uniform(*domain.gamma),
        saturation=exposure.uniform(*domain.saturation), shot=draw['noise'].uniform(*domain.shot),
        exposure_s=draw['motion_blur'].uniform(*domain.exposure_s),
        readout_s=draw['rolling_shutter'].uniform(*domain.readout_s),
        jitter_s=timing.uniform(*domain.jitter_s), drop=timing.uniform(*domain.drop),
        jpeg_quality=domain.jpeg_quality)


def expose(pictures: list, sensor: Sensor) -> np.ndarray:
    """
    Sum the light of images rendered at the sensor's instants.

    :param pictures: uint8, each of shape ``(H, W, 3)``, in the order of the instants.
    :returns: float32, shape ``(H, W, 3)``, grey levels.
    """
    if len(pictures) == 1:
        return pictures[0].astype(np.float32)
    weights = sensor.row_weights(len(pictures[0]))
    return np.einsum('rn,nrwc->rwc', weights, np.stack(pictures), dtype=np.float32)


def develop(light: np.ndarray, look: Look, sensor: Sensor, rng: np.random.Generator) -> np.ndarray:
    """
    Convert light to a frame of the camera.

    :param light: float32, shape ``(H, W, 3)``, RGB, grey levels.
    :param look: gains of the channels, blur of the lens, and read noise.
    :param rng: random generator of this frame's noise.
    :returns: uint8, shape ``(H, W, 3)``.
    """
    image = light * np.asarray(look.gains, np.float32)
    if sensor.gain != 1:
        image *= np.float32(sensor.gain)
    if look.blur > 0.1:
        image = cv2.GaussianBlur(image, (0, 0), look.blur)
    if sensor.vignette:
        image *= 1 - np.float32(sensor.vignette) * _corners(*image.shape[:2])
    noise = rng.standard_normal(image.shape, np.float32)
    if sensor.flicker:
        image *= np.float32(np.exp(sensor.flicker * rng.standard_normal()))
    if sensor.shot:
        image += noise * np.sqrt(look.noise ** 2 + sensor.shot * np.maximum(image, 0))
    else:
        image += noise * look.noise
    if sensor.saturation != 1:
        grey = image.mean(axis=2, keepdims=True)
        image = grey + np.float32(sensor.saturation) * (image - grey)
    if sensor.gamma != 1:
        image = 255 * (np.clip(image, 0, 255) / 255) ** np.float32(sensor.gamma)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


@cache
def _corners(height: int, width: int) -> np.ndarray:
    """Return the squared distance from the middle, 1 in the corners, ``(height, width, 1)``."""
    rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    return ((rows ** 2 + columns ** 2) / 2).astype(np.float32)[..., None]


def frame_times(seed: int, sensor: Sensor, count: int, rate_hz: float) -> np.ndarray:
    """
    Draw the times of frames; their stamps are the true times, so only the spacing is uneven.

    The first frame and the last, which shows the decision, arrive and are on time. No frame is off
    by half a period or more.

    :param seed: seed of the scene.
    :param count: number of frames, at least 1, including those that are lost.
    :returns: ascending multiples of ``TICK_S`` for the frames that arrive, seconds.
    """
    rng = np.random.default_rng([seed, 21])
    late = np.clip(rng.standard_normal(count) * sensor.jitter_s, -0.4 / rate_hz, 0.4 / rate_hz)
    arrives = rng.uniform(size=count) >= sensor.drop
    late[[0, -1]] = 0
    arrives[[0, -1]] = True
    times = np.arange(count) / rate_hz + late
    return (np.round(times / TICK_S) * TICK_S)[arrives]


def encode(image: np.ndarray, quality: int) -> bytes:
    """
    Compress an image as JPEG.

    :param image: uint8, RGB, shape ``(H, W, 3)``.
    :param quality: 1 to 100.
    :raises SimulationError: if OpenCV fails.
    """
    done, data = cv2.imencode('.jpg', image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not done:
        raise SimulationError(f'OpenCV could not encode an image of shape {image.shape} as JPEG')
    return data.tobytes()
