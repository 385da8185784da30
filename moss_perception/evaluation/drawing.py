"""Import matplotlib's Figure without an irrelevant warning, and draw grasps with it."""

import math
from typing import TYPE_CHECKING
import warnings

from moss_perception.core.frames import Camera
from moss_perception.core.geometry import project
from moss_perception.evaluation.attempts import Attempt
import numpy as np

with warnings.catch_warnings():
    # If both are installed, pip's matplotlib finds apt's mpl_toolkits. We do not need 3D plots.
    warnings.filterwarnings('ignore', 'Unable to import Axes3D')
    from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ['draw_gripper', 'Figure']

# Half of the gripper's opening in the drawing.
_FINGER_M = 0.04


def draw_gripper(axes: 'Axes', attempt: Attempt, camera: Camera) -> None:
    """
    Draw the executed grasp, if it is in the image: a line between its fingers.

    :param axes: shows the image, in its pixels.
    :param attempt: with a position, in the camera's optical frame.
    :param camera: calibration of images of this size.
    """
    assert attempt.position is not None  # the caller has checked
    pixel = project(attempt.position[None], camera)[0][0]
    if not np.isfinite(pixel).all():
        return
    reach = _FINGER_M * camera.matrix[0, 0] / attempt.position[2]
    along = reach * np.array([math.cos(attempt.yaw), math.sin(attempt.yaw)])
    across = 0.35 * np.array([-along[1], along[0]])
    stroke = [pixel - along + across, pixel - along - across, pixel - along, pixel + along,
              pixel + along + across, pixel + along - across]
    for width, color in ((3.6, 'black'), (1.8, 'white')):
        axes.plot(*np.array(stroke).T, color=color, linewidth=width, zorder=2)
    axes.scatter(*pixel, s=130, facecolors='none', edgecolors='white', linewidths=2, zorder=4)
