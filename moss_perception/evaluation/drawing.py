"""Import matplotlib's Figure without an irrelevant warning, and draw grasps with it."""

from typing import TYPE_CHECKING
import warnings

from moss_perception.core.frames import Camera
from moss_perception.evaluation.attempts import Attempt
from moss_perception.evaluation.grasp_drawing import finger_points, gripper_lines

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
    fingers = finger_points(attempt, camera, _FINGER_M)
    if not fingers.size:
        return
    stroke = gripper_lines(fingers, camera.width, camera.height)
    for width, color in ((3.6, 'black'), (1.8, 'white')):
        axes.plot(*stroke.T, color=color, linewidth=width, zorder=2)
    axes.scatter(*stroke[2:4].mean(axis=0), s=130, facecolors='none', edgecolors='white',
                 linewidths=2, zorder=4)
