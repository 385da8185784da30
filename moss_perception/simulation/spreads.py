"""What the domain ``randomised`` draws: a triangular distribution for each quantity."""

from dataclasses import dataclass
import math

import numpy as np


@dataclass(frozen=True)
class Spread:
    """
    Triangular distribution of a quantity.

    :ivar low: smallest value; ``mode`` the most frequent one, ``high`` the largest.
    :ivar about: what the quantity is, with its unit.
    :ivar share: probability that it is drawn at all; else it is 0.
    :ivar scale: ``log`` to draw the logarithm.
    """

    low: float
    mode: float
    high: float
    about: str
    share: float = 1.0
    scale: str = 'linear'

    def draw(self, rng: np.random.Generator) -> float:
        """Draw a value; always the same number of draws."""
        ends = (self.low, self.mode, self.high)
        if self.scale == 'log':
            value = math.exp(rng.triangular(*np.log(ends)))
        else:
            value = rng.triangular(*ends)
        return float(value) if rng.uniform() < self.share else 0.0


# Each quantity has its own random stream, by its place here: add new ones at the end.
SPREADS = {
    'height': Spread(0.42, 0.6, 0.85, 'height of the camera above the belt, m'),
    'magnification': Spread(0.72, 1.0, 1.25, 'size of the belt in the image, times that in sim; '
                            'with the height it gives the field of view'),
    'turn': Spread(-0.6, 0.0, 0.6, 'rotation of the camera about the vertical, rad'),
    'tilt': Spread(0.0, 0.05, 0.3, 'tilt of the camera, in any direction, rad'),
    'aim': Spread(-0.03, 0.0, 0.03, 'displacement of the place the camera looks at, along and '
                  'across the belt, m'),
    'centre': Spread(-6.0, 0.0, 6.0, 'displacement of the principal point, each way, pixels'),
    'belt_brightness': Spread(0.08, 0.4, 0.9, 'brightness of the belt'),
    'belt_saturation': Spread(0.0, 0.05, 0.7, 'colour saturation of the belt'),
    'belt_contrast': Spread(0.02, 0.12, 0.5, "contrast of the belt's texture", scale='log'),
    'object_brightness': Spread(0.12, 0.75, 1.0, 'brightness of the object'),
    'object_saturation': Spread(0.0, 0.6, 1.0, 'colour saturation of the object'),
    'object_contrast': Spread(0.03, 0.15, 0.45, "contrast of the object's texture", share=0.6,
                              scale='log'),
    'floor_brightness': Spread(0.05, 0.4, 0.95, 'brightness of the table below'),
    'floor_saturation': Spread(0.0, 0.2, 0.9, 'colour saturation of the table'),
    'floor_contrast': Spread(0.03, 0.2, 0.6, "contrast of the table's texture", share=0.8,
                             scale='log'),
    'gripper_brightness': Spread(0.05, 0.4, 0.95, 'brightness of fingers and palm'),
    'gripper_saturation': Spread(0.0, 0.1, 0.9, 'colour saturation of fingers and palm'),
    'specular': Spread(0.0, 0.1, 0.8, 'specular reflection of belt, table and object'),
    'shininess': Spread(0.05, 0.4, 0.95, 'sharpness of that reflection'),
    'lamps': Spread(0.5, 1.6, 5.49, 'number of lamps, rounded'),
    'elevation': Spread(0.4, 1.1, 1.57, 'elevation of a lamp above the belt, rad'),
    'temperature': Spread(2400.0, 5000.0, 11000.0, 'colour temperature of a lamp, K',
                          scale='log'),
    'light': Spread(0.35, 0.7, 1.1, 'strength of all lamps together'),
    'ambient': Spread(0.1, 0.25, 0.5, 'strength of the ambient light'),
    'gain': Spread(0.65, 1.0, 1.5, "the camera's gain, times that of its automatic exposure",
                   scale='log'),
    'gamma': Spread(0.65, 1.0, 1.5, "exponent of the camera's tone curve", scale='log'),
    'saturation': Spread(0.2, 1.0, 1.7, "the camera's colour saturation"),
    'white_balance': Spread(0.3, 1.0, 1.1, "share of the lamps' tint that the camera removes"),
    'cast': Spread(-0.12, 0.0, 0.12, 'change of each colour channel, relative'),
    'vignette': Spread(0.05, 0.15, 0.5, 'loss of light in the corners', share=0.6),
    'noise': Spread(0.3, 2.0, 12.0, 'read noise, grey levels', scale='log'),
    'shot': Spread(0.01, 0.06, 0.7, 'shot noise: variance per grey level', scale='log'),
    'blur': Spread(0.0, 0.2, 1.2, 'blur of the lens, pixels'),
    'exposure_s': Spread(0.004, 0.015, 0.06, 'exposure time, s', share=0.3, scale='log'),
    'readout_s': Spread(0.005, 0.015, 0.05, 'rolling shutter: from the first row to the last, s',
                        share=0.2, scale='log'),
    'jpeg_quality': Spread(30.0, 85.0, 97.0, 'JPEG quality'),
    'flicker': Spread(0.01, 0.02, 0.08, 'change of brightness from frame to frame, relative',
                      share=0.5),
    'jitter_s': Spread(0.001, 0.005, 0.025, 'unevenness of the frames, s', share=0.6),
    'drop': Spread(0.01, 0.03, 0.2, 'probability that a frame is lost', share=0.5),
    'mass': Spread(0.5, 1.0, 2.0, "the object's mass, times that in sim", scale='log'),
    'friction': Spread(0.6, 1.0, 1.4, "the object's friction, times that in sim", scale='log'),
    'latency_s': Spread(0.0, 0.03, 0.25, "time from a frame's stamp until the gripper starts, s"),
    'speed': Spread(0.65, 1.0, 1.35, "the belt's velocity, times that in sim", scale='log'),
    'clutter': Spread(0.0, 1.0, 6.49, 'number of objects beside the belt, rounded; half as many '
                      'lie on it, out of reach'),
    'marks': Spread(0.0, 1.0, 7.49, 'number of flat marks on the belt, such as tape, rounded'),
}
_STREAMS = {name: index for index, name in enumerate(SPREADS)}


class Draws:
    """
    Values of a scene, one random stream for each; ``draws[name]`` draws one of ``SPREADS``.

    :param seed: of the scene.

    :ivar stream: random generators of parts that need many draws, by their names.
    """

    def __init__(self, seed: int):
        self._seed = seed
        self.stream = {name: np.random.default_rng([seed, 41, index]) for index, name in enumerate(
            ('camera', 'surfaces', 'colours', 'lamps', 'clutter'))}

    def __getitem__(self, name: str) -> float:
        return SPREADS[name].draw(np.random.default_rng([self._seed, 40, _STREAMS[name]]))
