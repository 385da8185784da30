"""Scenes of an object that a camera sees from straight above, told in pixels."""

from moss_perception.data.schema import Sample
import numpy as np

FOCAL, DISTANCE_M = 96, 0.6


class SquareView:
    """
    A camera that looks straight down.

    :param side: of its square images, pixels.
    """

    def __init__(self, side):
        centre = side / 2 - 0.5
        self.matrix = np.array([[FOCAL, 0, centre], [0, FOCAL, centre], [0, 0, 1]])

    def in_metres(self, pixels):
        """Return the place in the optical frame, ``(3,)``."""
        flat = (np.asarray(pixels) - self.matrix[:2, 2]) / FOCAL * DISTANCE_M
        return np.append(flat, DISTANCE_M)

    def scene(self, seed, jpegs, here, there, grasp):
        """Make a scene with two grasps at one place; the object is here, and there at the grip."""
        candidates = np.append(self.in_metres(grasp), 0.0)[None].repeat(2, axis=0)
        track = np.stack([self.in_metres(here), self.in_metres(there)])
        return Sample(seed=seed, jpegs=tuple(jpegs), candidates=candidates.astype(np.float32),
                     labels=np.array([True, False]), speed=0.1, motion='constant', shape='box',
                     track=track.astype(np.float32), matrix=self.matrix)
