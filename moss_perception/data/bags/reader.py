"""The contents of a recording: images, calibration, candidates, attempts and grasps."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from moss_perception.core.errors import BagError
from moss_perception.core.frames import stamp_to_ns
from moss_perception.data.bags.storage import Storage
from moss_perception.data.bags.topics import (
    CAMERA_TYPE,
    CANDIDATES_TOPIC,
    CANDIDATES_TYPE,
    EXECUTED_TOPIC,
    EXECUTED_TYPE,
    header_of,
    IMAGE_TYPES,
    LEAD_TIMES_TOPIC,
    LEAD_TIMES_TYPE,
    OUTCOME_TOPIC,
    OUTCOME_TYPE,
    Topic,
)
from moss_perception.data.outcomes import Outcome, outcome_of
import numpy as np

_EXECUTED_WORDS = ('grasp', 'execut', 'select', 'chosen')


@dataclass(frozen=True)
class ExecutedGrasp:
    """
    A grasp that was executed.

    :ivar stamp_ns: header stamp, nanoseconds; 0 for none.
    :ivar recorded_ns: time of recording, of the recorder's clock, nanoseconds.
    :ivar frame_id: frame of the pose.
    :ivar position: float64, shape ``(3,)``, metres.
    :ivar quaternion: float64, shape ``(4,)``, x y z w.
    """

    stamp_ns: int
    recorded_ns: int
    frame_id: str
    position: np.ndarray
    quaternion: np.ndarray

    def time_ns(self, lag_ns: int) -> int:
        """
        Return the header stamp, or without one the time of recording in the clock of the stamps.

        :param lag_ns: how far the recorder's clock is ahead of the stamps, nanoseconds.
        """
        return self.stamp_ns or self.recorded_ns - lag_ns


def recording_name(path: Path | str) -> str:
    """Return the name of a recording: of its folder, or of its file without the ending."""
    # '.' must not make an empty name.
    full = Path(path).resolve()
    return full.stem if full.is_file() else full.name


class Recording(Storage):
    """A rosbag2 by what it holds: images, calibration, candidates, attempts and grasps."""

    def image_topics(self) -> list[Topic]:
        """List the topics with images, raw or compressed."""
        return [x for x in self.topics.values() if x.type in IMAGE_TYPES and x.count]

    def colour_topics(self) -> list[Topic]:
        """List the topics with colour images; if all have depth images, list these."""
        images = self.image_topics()
        # A single topic is used without checking its encoding.
        return [x for x in images if not self._is_depth(x)] or images if images[1:] else images

    def image_topic(self, name: str | None = None) -> Topic:
        """
        Find the camera's topic.

        :param name: with or without ``/compressed``; ``None`` for the only colour images.
        :raises BagError: if the topic is missing, has no images, or several fit.
        """
        images = {topic.name: topic for topic in self.image_topics()}
        if name:
            name = '/' + name.strip('/')
            for wanted in (name, f'{name}/compressed', name.removesuffix('/compressed')):
                if wanted in images:
                    return images[wanted]
            raise BagError(f'{self.path}: no images on {name}; expected {self._offer(images)}')
        images = {topic.name: topic for topic in self.colour_topics()}
        if len(images) > 1:
            raise BagError(
                f'{self.path}: several image topics: name one, expected {self._offer(images)}')
        if not images:
            raise BagError(f'{self.path}: no images, expected {self._offer(images)}')
        return next(iter(images.values()))

    def camera_info_topics(self, images: str) -> list[str]:
        """List the possible calibration topics: the one in the images' namespace, or all."""
        there = self._of_type(CAMERA_TYPE)
        beside = images.removesuffix('/compressed').rpartition('/')[0] + '/camera_info'
        return [beside] if beside in there else there

    def camera_info_topic(self, images: str, name: str | None = None) -> str | None:
        """
        Find the camera's calibration.

        :param images: topic of the images.
        :param name: topic of the calibration; ``None`` for the one beside the images by ROS's
            convention, or else the only one.
        :returns: ``None`` if there is none, or several fit.
        :raises BagError: if a given topic is missing.
        """
        if name:
            there = self._of_type(CAMERA_TYPE)
            name = '/' + name.strip('/')
            if name not in there:
                raise BagError(f'{self.path}: no calibration on {name}; expected one of '
                               f'{", ".join(there) or "no topic at all"}')
            return name
        found = self.camera_info_topics(images)
        return found[0] if len(found) == 1 else None

    def frame_of(self, images: str) -> str:
        """Return the frame of the first image on a topic; empty if it can't be read."""
        try:
            _, _, _, raw = next(self.messages([images]))
            return header_of(raw)[1]
        except (BagError, StopIteration):
            return ''

    def candidates_topics(self) -> list[str]:
        """List the possible topics of grasp candidates: the default one, or all of the type."""
        if CANDIDATES_TOPIC in self.topics:
            return [CANDIDATES_TOPIC]
        return self._of_type(CANDIDATES_TYPE)

    def candidates_topic(self, name: str | None = None) -> str | None:
        """
        Find the grasp candidates.

        :param name: topic; ``None`` for the default topic, or else the only one of its type; empty
            to use none.
        :returns: ``None`` if there are none.
        :raises BagError: if a given topic is missing or has a different type, or there
            are several.
        """
        return self._chosen(name, self.candidates_topics, CANDIDATES_TYPE, 'grasp candidates')

    def lead_times_topic(self, name: str | None = None) -> str | None:
        """
        Find the lead times of the grasp candidates.

        :param name: topic; ``None`` for that of the interface, if recorded; empty to use none.
        :returns: ``None`` if there are none.
        :raises BagError: if a given topic is missing or has a different type.
        """
        if name or (name is None and LEAD_TIMES_TOPIC in self.topics):
            return self._named(name or LEAD_TIMES_TOPIC, LEAD_TIMES_TYPE, 'lead times')
        return None

    def pose_topics(self) -> list[str]:
        """List the topics with single poses, of which one may have the executed grasps."""
        return self._of_type(EXECUTED_TYPE)

    def executed_topics(self) -> list[str]:
        """List the possible topics of executed grasps: the default one, or all named so."""
        there = self.pose_topics()
        if EXECUTED_TOPIC in there:
            return [EXECUTED_TOPIC]
        # Robots publish many poses, such as that of the tool, so the type alone decides nothing.
        return [x for x in there if any(word in x.lower() for word in _EXECUTED_WORDS)]

    def executed_topic(self, name: str | None = None) -> str | None:
        """
        Find the grasps that were executed.

        :param name: topic; ``None`` for the default topic, or else the only one with poses whose
            name has one of the words in it that mean them, such as "grasp"; empty for none.
        :returns: ``None`` if there are none.
        :raises BagError: if a given topic is missing or has a different type, or there
            are several.
        """
        return self._chosen(name, self.executed_topics, EXECUTED_TYPE, 'executed grasps')

    def outcomes(self, name: str | None = None) -> list[Outcome]:
        """
        Read the recorded attempts.

        :param name: of their topic; ``None`` for that of the interface.
        :returns: in order of recording; empty without such a topic, unless it was named.
        :raises BagError: if a topic that was named isn't there, or a value is missing or of the
            wrong kind.
        """
        found = []
        for topic, recorded_ns, message in self._decoded(name, OUTCOME_TOPIC, OUTCOME_TYPE,
                                                         'outcomes'):
            for status in message.status:
                try:
                    found.append(replace(outcome_of(status), recorded_ns=recorded_ns))
                except ValueError as error:
                    raise BagError(f'{self.path}: {topic}, {status.name!r}: {error}') from error
        return found

    def executed(self, name: str | None = None) -> list[ExecutedGrasp]:
        """
        Read the grasps that were executed.

        :param name: of their topic; ``None`` for that of the interface.
        :returns: in order of recording; empty without such a topic, unless it was named.
        :raises BagError: if a topic that was named isn't there, or one can't be read.
        """
        grasps = []
        for _, recorded_ns, message in self._decoded(name, EXECUTED_TOPIC, EXECUTED_TYPE,
                                                     'executed grasps'):
            place, turn = message.pose.position, message.pose.orientation
            grasps.append(ExecutedGrasp(
                stamp_to_ns(message.header.stamp), recorded_ns, message.header.frame_id,
                np.array([place.x, place.y, place.z]),
                np.array([turn.x, turn.y, turn.z, turn.w])))
        return grasps

    def _of_type(self, msgtype: str) -> list[str]:
        return [x.name for x in self.topics.values() if x.type == msgtype and x.count]

    def _chosen(self, name: str | None, possible: Callable[[], list[str]], msgtype: str,
                what: str) -> str | None:
        """Return a given topic, or the only possible one; ``None`` for an empty name or none."""
        if name:
            return self._named(name, msgtype, what)
        found = [] if name == '' else possible()
        if len(found) > 1:
            raise BagError(f'{self.path}: several topics of {what}: name one, expected one of '
                           f'{", ".join(found)}')
        return self._named(found[0], msgtype, what) if found else None

    def _named(self, name: str, msgtype: str, what: str) -> str:
        """Return a given topic as recorded, after checking its type."""
        name = '/' + name.strip('/')
        found = self.topics.get(name)
        if found is None:
            of_it = [x.name for x in self.topics.values() if x.type == msgtype]
            raise BagError(f'{self.path}: no {what} on {name}; expected '
                           + (f'one of {", ".join(of_it)}' if of_it else self._lack([msgtype])))
        if found.type != msgtype:
            raise BagError(f'{self.path}: {name} is a {found.type}, expected {msgtype}')
        return name

    def _decoded(self, name: str | None, default: str, msgtype: str,
                 what: str) -> Iterator[tuple[str, int, Any]]:
        """Yield topic, recording time and message; none unless named or of the interface."""
        there = [x.name for x in self.topics.values() if x.count]
        if not name and default not in there:
            return
        topic = self._named(name or default, msgtype, what)
        for _, _, recorded_ns, raw in self.messages([topic]) if topic in there else ():
            yield topic, recorded_ns, self.deserialize(raw, msgtype)

    def _is_depth(self, topic: Topic) -> bool:
        """Decide by the first message's encoding, since topic names of drivers vary."""
        stream = self.messages([topic.name])
        _, msgtype, _, raw = next(stream)
        message = self.deserialize(raw, msgtype)
        name = getattr(message, 'encoding', None) or getattr(message, 'format', '')
        return 'compressedDepth' in name or name.startswith(('16UC', '16SC', '32FC', '64FC'))

    def _offer(self, images: dict[str, Topic]) -> str:
        return f'one of {", ".join(images)}' if images else self._lack(IMAGE_TYPES)

    def _lack(self, types: Iterable[str]) -> str:
        there = ', '.join(f'{x.name} ({x.type}, {x.count})' for x in self.topics.values())
        return f'a topic of type {" or ".join(types)}, found {there or "no topics"}'
