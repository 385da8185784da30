"""
Short codes of warnings and reasons, such as ``MOSS008``; docs/troubleshooting.md explains each.

A code never changes its meaning, and a number is never used twice: scripts and people search for
them. New ones take a free number of their group.
"""

from dataclasses import dataclass
import re
from typing import Any

from moss_perception.core.text import one_line

_CODE = re.compile(r'\[MOSS\d{3}\]$')


@dataclass(frozen=True)
class Code:
    """
    One row of the table.

    :ivar number: 1 to 999.
    :ivar meaning: what happened, in words.
    :ivar section: heading of docs/troubleshooting.md that says what to do.
    """

    number: int
    meaning: str
    section: str

    def __str__(self) -> str:
        return f'MOSS{self.number:03d}'


_STREAM, _REFUSED, _SKIPPED = 'No scores at all', 'Refused frames', 'Skipped frames'
_RESETS, _UNSCORED, _LOOKS = 'Resets', 'Candidates without a score', 'Doubtful pictures'
_TIMES, _GATE, _CELL = 'Lead times', 'The gate selects nothing', 'Grasps that the cell refuses'
_SCENES, _RECORDER, _PLAYER = 'Scenes left out', 'Recording attempts', 'Playing recordings'
_COMMANDS = 'Commands'

CODES = {
    'no_frames': Code(1, 'no image has come', _STREAM),
    'not_received': Code(2, "a publisher's type or QoS does not fit", _STREAM),
    'camera_stopped': Code(3, 'no image has come for a while', _STREAM),
    'nothing_scored': Code(4, 'the window is reset again and again', _STREAM),
    'several_sources': Code(5, 'several publishers where one is expected', _STREAM),
    'same_name': Code(6, 'several nodes have the same name', _STREAM),
    'clocks_apart': Code(7, 'candidates and images are stamped by different clocks', _STREAM),
    'overloaded': Code(8, 'samples were dropped: the machine is too slow', _STREAM),
    'repeated_samples': Code(9, 'the camera is slower than the model', _STREAM),
    'out_of_distribution': Code(10, 'the images are unlike the training images', _STREAM),
    'internal_error': Code(11, 'an unexpected exception', _STREAM),
    'transition_failed': Code(12, 'a node could not be configured or activated', _STREAM),
    'engine_busy': Code(13, 'the engine did not finish a sample in time', _STREAM),
    'message_unreadable': Code(14, 'a message that is not valid CDR', _STREAM),
    'camera_clock': Code(15, "images are stamped by another clock than the node's", _STREAM),
    'candidates_old': Code(16, 'the planner has proposed nothing for long', _STREAM),
    'zero_stamp': Code(20, 'an image without a stamp', _REFUSED),
    'encoding': Code(21, 'an encoding that cannot be decoded', _REFUSED),
    'step': Code(22, 'a row length that does not fit', _REFUSED),
    'size': Code(23, 'a size that does not fit', _REFUSED),
    'compressed': Code(24, 'a damaged or unknown compressed image', _REFUSED),
    'not_finite': Code(25, 'the network gave NaN or infinite numbers', _REFUSED),
    'between_samples': Code(30, 'the camera is faster than the model', _SKIPPED),
    'dropped': Code(31, 'newer samples were waiting', _SKIPPED),
    'stale': Code(32, 'the window was reset meanwhile', _SKIPPED),
    'paused': Code(33, 'the node is paused', _SKIPPED),
    'gap': Code(40, 'no image for longer than max_gap', _RESETS),
    'stamp_backwards': Code(41, 'a stamp is older than the one before', _RESETS),
    'frame_id': Code(42, 'the images come from another frame', _RESETS),
    'resolution': Code(43, 'the images have another size', _RESETS),
    'requested': Code(44, 'somebody called ~/reset', _RESETS),
    'enabled': Code(45, 'scoring was resumed', _RESETS),
    'activated': Code(46, 'the node was activated again', _RESETS),
    'outside_image': Code(50, 'the camera does not see the grasp', _UNSCORED),
    'no_calibration': Code(51, 'no camera_info fits the images', _UNSCORED),
    'behind_camera': Code(52, 'the grasp is behind the camera', _UNSCORED),
    'frame_unknown': Code(53, 'no transform of the frame of the candidates', _UNSCORED),
    'not_a_number': Code(54, 'a pose that is not finite or not a rotation', _UNSCORED),
    'beyond_lens_model': Code(55, 'the lens model is not valid so far off the axis', _UNSCORED),
    'candidates_refused': Code(56, 'a PoseArray that cannot be used', _UNSCORED),
    'dark': Code(60, 'a picture is almost black', _LOOKS),
    'constant': Code(61, 'a picture has one colour', _LOOKS),
    'depth': Code(62, 'a picture looks like depth', _LOOKS),
    'alternating': Code(63, 'pictures of two cameras on one topic', _LOOKS),
    'lead_times_refused': Code(70, 'lead times that fit no candidates', _TIMES),
    'lead_times_clamped': Code(71, 'lead times that were not trained for', _TIMES),
    'no_time_inputs': Code(72, 'the checkpoint knows no lead times', _TIMES),
    'scores_unreadable': Code(80, 'a cloud of scores that cannot be read', _GATE),
    'scores_old': Code(81, 'the scores are older than max_age', _GATE),
    'none_scored': Code(82, 'no candidate has a score', _GATE),
    'attempt_refused': Code(90, 'a command or an outcome does not fit the attempt', _RECORDER),
    'attempt_lost': Code(91, 'an attempt could not be written', _RECORDER),
    'not_recorded': Code(92, 'messages cannot be recorded or read', _RECORDER),
    'silent_input': Code(93, 'an input of the attempt is silent', _RECORDER),
    'short_run_up': Code(94, 'the time before the start is shorter than run_up', _RECORDER),
    'unfinished': Code(95, 'unfinished attempts were removed', _RECORDER),
    'no_outcome': Code(96, 'a status that is no outcome', _RECORDER),
    'frame': Code(100, 'the grasp is not in the frame of the camera', _CELL),
    'old': Code(101, 'the grasp is of a scene before', _CELL),
    'between_scenes': Code(102, 'no scene waits for a grasp', _CELL),
    'reach': Code(103, 'the gripper cannot reach the grasp', _CELL),
    'not_usable': Code(104, 'the pose of the grasp is not valid', _CELL),
    'behind_real_time': Code(105, 'the simulation is slower than real time', _CELL),
    'starts_anyway': Code(106, 'a node that was waited for is not there', _CELL),
    'unstable': Code(110, 'the physics diverged', _SCENES),
    'contact': Code(111, 'the object touches more than the belt', _SCENES),
    'out_of_view': Code(112, 'the camera does not see the object', _SCENES),
    'type_missing': Code(120, 'a message type is not installed', _PLAYER),
    'plays_anyway': Code(121, 'nobody subscribes to what is played', _PLAYER),
    'damaged_recording': Code(122, 'a recording is damaged', _PLAYER),
    'sent_again': Code(123, 'the first image was not reported', _PLAYER),
    'not_acknowledged': Code(124, 'messages were not acknowledged', _PLAYER),
    'own_dds_profile': Code(125, 'a DDS profile may make lock step slow', _PLAYER),
    'unsealed_graphs': Code(130, 'a checkpoint without the digests of its graphs', _COMMANDS),
    'cv_bridge': Code(131, 'cv_bridge is installed and does not work', _COMMANDS),
}
"""By the reason or the kind of the warning."""


def coded(key: str, text: Any) -> str:
    """
    Append the code of a warning to its text, in one line, unless the text ends with one.

    :param key: one of :data:`CODES`.
    :param text: what to say, which may contain texts of somebody else: see
        :func:`moss_perception.core.text.one_line`.
    :returns: such as ``overloaded: dropped 4 of 20 frames [MOSS008]``.
    """
    line = one_line(text)
    return line if not line or _CODE.search(line) else f'{line} [{CODES[key]}]'
