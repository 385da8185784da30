"""Candidates in the camera's frame, whichever frame the planner gave them in."""

from dataclasses import replace

from moss_perception.core.cameras import CameraSetup
from moss_perception.core.errors import FrameUnknownError
from moss_perception.core.frames import Candidates
from moss_perception.core.transforms import IDENTITY, Transform, Transforms


class CandidateFrames:
    """
    Brings candidates into the camera's frame: by the transform that a user gave, or by tf.

    :param setup: its transform wins over tf for the frame that it maps from.
    :param transforms: tf, live or recorded; ``None`` if there is none.
    :ivar problem: why the newest candidates could not be placed, in words; empty if they could.
    """

    def __init__(self, setup: CameraSetup | None = None, transforms: Transforms | None = None):
        self.setup = setup or CameraSetup()
        self.transforms = transforms
        self.problem = ''
        self._placed: tuple[Candidates, str, Candidates] | None = None

    def is_given(self, frame_id: str, camera_frame: str) -> bool:
        """Tell whether a frame is the camera's, or the user gave its transform."""
        mapped = self.setup.candidates_frame
        return frame_id == camera_frame or self.setup.candidates_transform is not None and (
            not mapped or mapped.lstrip('/') == frame_id.lstrip('/'))

    def pose(self, frame_id: str, camera_frame: str, stamp_ns: int) -> Transform:
        """
        Return the pose of a frame in the camera's frame.

        :param stamp_ns: of the candidates, nanoseconds.
        :raises FrameUnknownError: if it is not known.
        """
        if frame_id == camera_frame:
            return IDENTITY
        given = self.setup.candidates_transform
        if given is not None and self.is_given(frame_id, camera_frame):
            return given
        if self.transforms is None:
            raise FrameUnknownError('expected one frame, or candidates_transform')
        return self.transforms.lookup(camera_frame, frame_id, stamp_ns)

    def place(self, candidates: Candidates, camera_frame: str) -> Candidates:
        """
        Return candidates in the camera's frame.

        :param camera_frame: of the images.
        :returns: the same object if they are in this frame, or it is not known where they are:
            then :attr:`problem` says why.
        """
        self.problem = ''
        if candidates.frame_id == camera_frame:
            return candidates
        # A set is scored in several frames, and its description is kept as long as it is the same.
        if self._placed is not None:
            given, frame, placed = self._placed
            if given is candidates and frame == camera_frame:
                return placed
        try:
            pose = self.pose(candidates.frame_id, camera_frame, candidates.stamp_ns)
        except FrameUnknownError as error:
            self.problem = (f'candidates in frame {candidates.frame_id!r} get no score: expected '
                            f"the images' frame {camera_frame!r}, or a transform to it; {error}")
            return candidates
        placed = replace(
            candidates, frame_id=camera_frame, positions=pose.points(candidates.positions),
            orientations=pose.orientations(candidates.orientations))
        self._placed = candidates, camera_frame, placed
        return placed
