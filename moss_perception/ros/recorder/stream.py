"""What the topics say about an attempt: images, the executed grasp, when the fingers closed."""

from collections import deque
from dataclasses import dataclass
from typing import Any

from moss_perception.core.errors import CandidateError
from moss_perception.core.frames import (
    Candidates,
    stamp_to_ns,
    to_candidates,
    yaws_from_orientations,
)
from moss_perception.core.grasp_match import nearest_grasp
from moss_perception.core.stamps import StampCheck
from moss_perception.core.transform_buffer import FrameTree
from moss_perception.data.closings import Closings
from moss_perception.runtime.candidate_book import CandidateBook
from moss_perception.runtime.frame_status import Counters
import numpy as np

_KEPT, _IMAGES = 300, 3000
_LAGS = 100
# Longer than a camera's exposure and its driver can explain: two clocks.
_CLOCKS_DIFFER_NS = 1_000_000_000


@dataclass(frozen=True)
class Decision:
    """
    The grasp that the robot executes.

    :ivar stamp_ns: of the image by which it was selected, nanoseconds.
    :ivar received_ns: time of reception, nanoseconds.
    :ivar candidate: index in the PoseArray that was scored with that image: the newest one that
        had come before it; ``None`` if it is none of these candidates.
    """

    stamp_ns: int
    received_ns: int
    candidate: int | None


class Stream:
    """
    Follows the topics of a robot.

    :param closings: of the gripper.
    :ivar image_ns: header stamp of the newest image, nanoseconds; 0 before the first.
    :ivar frame_id: its frame.
    :ivar measures: whether anything says when the fingers close.
    :ivar stamps: compares the stamps of images and candidates.
    :ivar frames: which frames tf connects.
    """

    def __init__(self, closings: Closings):
        self.image_ns, self.frame_id = 0, ''
        self.closings, self.measures = closings, False
        self.stamps = StampCheck()
        self.frames = FrameTree()
        # Of the newest candidates and executed grasp.
        self._grasp_frames: dict[str, str] = {}
        self._lags: deque[int] = deque(maxlen=_LAGS)
        self._candidates = CandidateBook(Counters(), _KEPT)
        # The sets that were there when images came, by their stamps.
        self._scored: dict[int, Candidates | None] = {}
        self._decisions: deque[Decision] = deque(maxlen=_KEPT)

    def image(self, stamp_ns: int, frame_id: str, now_ns: int) -> None:
        """
        Take the stamp of an image.

        :param now_ns: time of the node's clock, nanoseconds.
        """
        self.image_ns, self.frame_id = stamp_ns, frame_id
        self.stamps.image(stamp_ns)
        self._lags.append(now_ns - stamp_ns)
        self._scored[stamp_ns] = self._candidates.holding(stamp_ns)
        if len(self._scored) > _IMAGES:
            del self._scored[next(iter(self._scored))]

    def candidates(self, message: Any) -> None:
        """Take a geometry_msgs/PoseArray; one without a stamp retires those before."""
        self.stamps.candidates(stamp_to_ns(message.header.stamp))
        self._grasp_frames['candidates'] = message.header.frame_id
        try:
            self._candidates.add(to_candidates(message))
        except CandidateError:
            self._candidates.clear()

    def executed(self, message: Any, received_ns: int) -> None:
        """Take the grasp that is executed, a geometry_msgs/PoseStamped."""
        stamp_ns = stamp_to_ns(message.header.stamp)
        self._grasp_frames['executed grasps'] = message.header.frame_id
        place, turn = message.pose.position, message.pose.orientation
        position = np.array([place.x, place.y, place.z])
        yaw, = yaws_from_orientations(np.array([[turn.x, turn.y, turn.z, turn.w]]))
        # A set that came after the image was not scored with it, whatever its stamp.
        listed = (self._scored[stamp_ns] if stamp_ns in self._scored
                  else self._candidates.holding(stamp_ns))
        index = None
        if listed is not None and listed.frame_id == message.header.frame_id:
            index = nearest_grasp(listed.positions, listed.yaws, position, float(yaw))
        self._decisions.append(Decision(stamp_ns, received_ns, index))

    def unplaced(self) -> list[str]:
        """Describe grasps in a frame that tf does not connect with that of the images."""
        return [f'the {what} are in the frame {frame!r}, and no tf has come that connects it with '
                f'{self.frame_id!r}, the frame of the images: publish it on /tf or /tf_static, or '
                'give --candidates-transform to the commands that read the recording'
                for what, frame in self._grasp_frames.items()
                if self.frame_id and not self.frames.connects(frame, self.frame_id)]

    def decision(self, since_received_ns: int) -> Decision | None:
        """Return the first executed grasp that came at or after a time; ``None`` if none did."""
        return next((x for x in self._decisions if x.received_ns >= since_received_ns), None)

    def clock_lag_ns(self) -> int:
        """
        Return how far the images' stamps are behind the node's clock, if these are two clocks.

        :returns: nanoseconds; 0 if it can be one clock.
        """
        lag_ns = min(self._lags, key=abs, default=0)
        return lag_ns if abs(lag_ns) > _CLOCKS_DIFFER_NS else 0

    def lead_time_s(self, decision_ns: int, end_ns: int) -> float | None:
        """
        Return the time from a decision until the fingers closed, seconds.

        :param end_ns: end of the attempt, nanoseconds.
        :returns: ``None`` if they did not close before the end, or two clocks are in use.
        """
        closed_ns = self.closings.first(decision_ns, end_ns + _CLOCKS_DIFFER_NS)
        return None if closed_ns is None or self.clock_lag_ns() else (
            (closed_ns - decision_ns) / 1e9)
