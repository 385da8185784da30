"""The image sensor: exposure over time, rows read one after another, noise, tone; its clock."""

from dataclasses import dataclass

import cv2
from moss_perception.core.errors import SimulationError
from moss_perception.simulation.camera import HEIGHT
from moss_perception.simulation.look import Look
import numpy as np

# Pictures that stand for the time over which one frame is exposed and read.
INSTANTS = 4


@dataclass(frozen=True)
class Sensor:
    """
    How the camera turns light into frames.

    :ivar gain: factor of the brightness; ``gamma``: exponent of the tone curve; ``saturation``:
        factor of the distance of a colour from grey.
    :ivar shot: variance of the shot noise, grey levels, per grey level of the signal.
    :ivar exposure_s: how long each row collects light, seconds.
    :ivar readout_s: how much later the last row ends than the first, seconds.
    :ivar jitter_s: standard deviation of the time at which a frame is taken, seconds.
    :ivar drop: probability that a frame is lost, 0 to 1.
    """

    gain: float = 1.0
    gamma: float = 1.0
    saturation: float = 1.0
    shot: float = 0.0
    exposure_s: float = 0.0
    readout_s: float = 0.0
    jitter_s: float = 0.0
    drop: float = 0.0

    @property
    def _exposed_s(self) -> float:
        # A row that is read later than others still needs a moment to collect light.
        return max(self.exposure_s, 1e-3 * self.readout_s)

    @property
    def instants(self) -> np.ndarray:
        """Return when pictures are to be taken, seconds before the frame's stamp, at most 0."""
        span = self._exposed_s + self.readout_s
        if not span:
            return np.zeros(1)
        return span * ((np.arange(INSTANTS) + 0.5) / INSTANTS - 1)

    @property
    def row_weights(self) -> np.ndarray:
        """
        Return how much of each picture each row collects.

        :returns: float32, shape ``(HEIGHT, len(instants))``; each row sums to 1.
        """
        count = len(self.instants)
        if count == 1:
            return np.ones((HEIGHT, 1), np.float32)
        span = self._exposed_s + self.readout_s
        edges = np.linspace(-span, 0, count + 1)
        end = self.readout_s * (np.arange(HEIGHT) / (HEIGHT - 1) - 1)[:, None]
        begin = end - self._exposed_s
        overlap = np.minimum(edges[1:], end) - np.maximum(edges[:-1], begin)
        overlap = np.maximum(overlap, 0)
        return (overlap / overlap.sum(axis=1, keepdims=True)).astype(np.float32)


def expose(pictures: list, sensor: Sensor) -> np.ndarray:
    """
    Collect the light of pictures taken at the sensor's instants.

    :param pictures: uint8, each of shape ``(HEIGHT, W, 3)``, in the order of the instants.
    :returns: float32, shape ``(HEIGHT, W, 3)``, grey levels.
    """
    if len(pictures) == 1:
        return pictures[0].astype(np.float32)
    return np.einsum('rn,nrwc->rwc', sensor.row_weights, np.stack(pictures), dtype=np.float32)


def develop(light: np.ndarray, look: Look, sensor: Sensor, rng: np.random.Generator) -> np.ndarray:
    """
    Turn collected light into the frame that the camera gives.

    :param light: float32, shape ``(H, W, 3)``, RGB, grey levels.
    :param look: holds the channels' gains, the lens's blur and the read noise.
    :param rng: of this frame's noise.
    :returns: uint8, shape ``(H, W, 3)``.
    """
    image = light * np.asarray(look.gains, np.float32)
    if sensor.gain != 1:
        image *= np.float32(sensor.gain)
    if look.blur > 0.1:
        image = cv2.GaussianBlur(image, (0, 0), look.blur)
    noise = rng.standard_normal(image.shape, np.float32)
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


@dataclass(frozen=True)
class Schedule:
    """
    When the frames of a scene are taken.

    :ivar times_s: multiples of ``tick_s``, rising, shape ``(count,)``, seconds.
    :ivar arrives: whether each frame arrives; the first and the last do.
    """

    times_s: np.ndarray
    arrives: np.ndarray


def schedule(seed: int, sensor: Sensor, count: int, rate_hz: float, tick_s: float) -> Schedule:
    """
    Draw when frames are taken; stamps tell the true times, so only their spacing is uneven.

    The first frame and the last, at which the grasp is decided, are on time.

    :param seed: the scene's.
    :param count: of frames, at least 1.
    :param tick_s: the simulation's step, seconds; no frame is off by half a period or more.
    """
    rng = np.random.default_rng([seed, 21])
    late = np.clip(rng.standard_normal(count) * sensor.jitter_s, -0.4 / rate_hz, 0.4 / rate_hz)
    arrives = rng.uniform(size=count) >= sensor.drop
    late[[0, -1]] = 0
    arrives[[0, -1]] = True
    times = np.arange(count) / rate_hz + late
    return Schedule(np.round(times / tick_s) * tick_s, arrives)


def encode(image: np.ndarray, quality: int) -> bytes:
    """
    Compress a picture as JPEG.

    :param image: uint8, RGB, shape ``(H, W, 3)``.
    :param quality: 1 to 100.
    :raises SimulationError: if OpenCV can't.
    """
    done, data = cv2.imencode('.jpg', image[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
    if not done:
        raise SimulationError(f'OpenCV could not encode an image of shape {image.shape} as JPEG')
    return data.tobytes()
