"""Read rosbag2 recordings, sqlite3 or MCAP: the only home of reading them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
import functools
import logging
from pathlib import Path
from typing import Any

from moss_perception.bags.files import storage_of, told_count, told_files
from moss_perception.bags.outcomes import Outcome, outcome_of
from moss_perception.bags.salvage import Salvage, salvage
from moss_perception.errors import BagError
import numpy as np
from rosbags.interfaces import MessageDefinitionFormat, Qos, QosDurability, QosReliability
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_types_from_msg, get_typestore, Stores

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
CAMERA_TYPE = 'sensor_msgs/msg/CameraInfo'


@dataclass(frozen=True)
class Topic:
    """
    A recorded topic.

    :ivar type: such as ``sensor_msgs/msg/Image``.
    :ivar reliable: what every recorded publisher offered; None if the recording doesn't say.
    :ivar transient_local: likewise.
    """

    name: str
    type: str
    count: int
    reliable: bool | None = None
    transient_local: bool | None = None


@dataclass(frozen=True)
class ExecutedGrasp:
    """
    A grasp that was executed.

    :ivar stamp_ns: header stamp, nanoseconds.
    :ivar frame_id: in which the pose is.
    :ivar position: float64, shape ``(3,)``, metres.
    :ivar quaternion: float64, shape ``(4,)``, x y z w.
    """

    stamp_ns: int
    frame_id: str
    position: np.ndarray
    quaternion: np.ndarray


class Recording:
    """
    A rosbag2, open while the context lasts; messages are read as they are asked for.

    :param path: folder of a rosbag2, or an ``.mcap`` or ``.db3`` file.
    :param salvage: of a damaged or cut off recording, give what is there; see ``damage``.
    :ivar damage: what is wrong with it, in a line; empty if nothing is known to be.
    :ivar lost_share: share of the messages that it no longer gives, in [0, 1], as far as is known.
    :raises BagError: if it is missing, no rosbag2, damaged or incomplete.
    """

    def __init__(self, path: Path | str, salvage: bool = False):
        self.path = Path(path)
        self.damage = ''
        self.lost_share = 0.0
        self._salvage = salvage
        self._reader: Reader | None = None
        self._pieces: Salvage | None = None
        self._stores: dict[str, Any] = {}

    def __enter__(self) -> 'Recording':
        target = self.path if self._salvage and self.path.is_dir() else storage_of(self.path)
        try:
            self._reader = Reader(target if target.is_file() else storage_of(target))
            self._reader.open()
        except Exception as error:  # damaged bytes make a parser raise anything
            self._reader = None
            if not self._salvage:
                raise BagError(_damaged(self.path, error)) from error
            self._save_what_is_there(error)
        return self

    def __exit__(self, *_: object) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    @property
    def start_ns(self) -> int:
        """When the first message was recorded."""
        return self._pieces.start_ns if self._pieces else self._reader.start_time

    @property
    def end_ns(self) -> int:
        """When the last message was recorded."""
        return self._pieces.end_ns if self._pieces else self._reader.end_time - 1

    @property
    def message_count(self) -> int:
        """How many messages the recording says it holds."""
        return self._pieces.count if self._pieces else self._reader.message_count

    @property
    def topics(self) -> dict[str, Topic]:
        """The recorded topics by name."""
        if self._pieces:
            return {name: Topic(name, channel.msgtype, self._pieces.counts[name])
                    for name, channel in sorted(self._pieces.channels.items())}
        topics: dict[str, list] = {}
        for connection in self._reader.connections:
            topics.setdefault(connection.topic, []).append(connection)
        return {name: _topic(name, connections) for name, connections in sorted(topics.items())}

    def image_topics(self) -> list[Topic]:
        """List the topics that carry images, raw or compressed, and have messages."""
        return [x for x in self.topics.values() if x.type in IMAGE_TYPES and x.count]

    def colour_topics(self) -> list[Topic]:
        """List the topics that carry images in colour; where all carry depth, these."""
        images = self.image_topics()
        # One alone is not looked into: it is meant, whatever it holds.
        return [x for x in images if not self._is_depth(x)] or images if images[1:] else images

    def image_topic(self, name: str | None = None) -> Topic:
        """
        Find the camera's topic.

        :param name: with or without ``/compressed``; None for the only one in colour.
        :raises BagError: if it isn't there, holds no images, or there are several.
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

    def camera_info_topic(self, images: str, name: str | None = None) -> str | None:
        """
        Find the camera's calibration.

        :param images: topic of the images.
        :param name: topic of the calibration; ``None`` for the one beside the images by ROS's
            convention, or else the only one.
        :returns: ``None`` if there is none.
        :raises BagError: if a topic that was named isn't there.
        """
        there = [x.name for x in self.topics.values() if x.type == CAMERA_TYPE and x.count]
        if name:
            name = '/' + name.strip('/')
            if name not in there:
                raise BagError(f'{self.path}: no calibration on {name}; expected one of '
                               f'{", ".join(there) or "no topic at all"}')
            return name
        beside = images.removesuffix('/compressed').rpartition('/')[0] + '/camera_info'
        return beside if beside in there else there[0] if len(there) == 1 else None

    def messages(
        self, topics: Iterable[str] | None = None,
    ) -> Iterator[tuple[str, str, int, bytes]]:
        """
        Iterate over the messages in the order of recording.

        :param topics: names; None for all.
        :returns: topic, type, time of recording in nanoseconds and CDR bytes of each.
        :raises BagError: if the recording is damaged or holds no such message.
        """
        wanted = None if topics is None else set(topics)
        if self._pieces:
            yield from self._pieces.messages(wanted)
            return
        connections = [x for x in self._reader.connections if wanted is None or x.topic in wanted]
        expected, found = sum(x.msgcount for x in connections), 0
        stream = self._reader.messages(connections) if connections else iter(())
        while True:
            try:
                connection, stamp_ns, raw = next(stream)
            except StopIteration:
                break
            except Exception as error:  # damaged bytes make a parser raise anything
                if not self._salvage:
                    raise BagError(_damaged(self.path, error)) from error
                yield from self._go_on(error, wanted, found, expected)
                return
            found += 1
            yield connection.topic, connection.msgtype, stamp_ns, bytes(raw)
        if not found:
            names = 'any topic' if wanted is None else ', '.join(sorted(wanted)) or 'no topic'
            raise BagError(f'{self.path}: expected messages on {names}, found none')
        if found != expected:
            logging.getLogger(__name__).warning(
                '%s: %d messages found, expected %d', self.path, found, expected)

    def deserialize(self, raw: bytes, msgtype: str) -> Any:
        """
        Turn CDR bytes into a message with the fields of the ROS type.

        :param msgtype: such as ``sensor_msgs/msg/Image``.
        :raises BagError: if the type is unknown or the bytes are not of it.
        """
        store = self._store_of(msgtype)
        try:
            return store.deserialize_cdr(raw, msgtype)
        except Exception as error:  # damaged bytes make a parser raise anything
            raise BagError(
                f'{self.path}: {len(raw)} bytes are no {msgtype}: {_line(error)}') from error

    def outcomes(self, topic: str = '/grasp_outcome') -> list[Outcome]:
        """
        Read the recorded attempts.

        :returns: in order of recording; empty without such a topic.
        :raises BagError: if a value is missing or of the wrong kind.
        """
        found = []
        for message in self._decoded(topic, 'diagnostic_msgs/msg/DiagnosticArray'):
            for status in message.status:
                try:
                    found.append(outcome_of(status))
                except ValueError as error:
                    raise BagError(f'{self.path}: {topic}, {status.name!r}: {error}') from error
        return found

    def executed(self, topic: str = '/selected_grasp') -> list[ExecutedGrasp]:
        """Read the grasps that were executed; none without such a topic."""
        grasps = []
        for message in self._decoded(topic, 'geometry_msgs/msg/PoseStamped'):
            stamp, place, turn = (
                message.header.stamp, message.pose.position, message.pose.orientation)
            grasps.append(ExecutedGrasp(
                stamp.sec * 10**9 + stamp.nanosec, message.header.frame_id,
                np.array([place.x, place.y, place.z]),
                np.array([turn.x, turn.y, turn.z, turn.w])))
        return grasps

    def _decoded(self, topic: str, msgtype: str) -> Iterator[Any]:
        found = self.topics.get(topic)
        if found is None or not found.count:
            return
        if found.type != msgtype:
            raise BagError(f'{self.path}: {topic} is a {found.type}, expected {msgtype}')
        for _, _, _, raw in self.messages([topic]):
            yield self.deserialize(raw, msgtype)

    def _store_of(self, msgtype: str) -> Any:
        """Return a store that knows the type, by the recording's own definition if it has one."""
        if msgtype not in self._stores:
            self._stores[msgtype] = self._make_store(msgtype)
        return self._stores[msgtype]

    def _make_store(self, msgtype: str) -> Any:
        # One store a type: a definition that can't be parsed then spoils no other type.
        if definition := self._definition(msgtype):
            try:
                return _store_by(definition, msgtype)
            except Exception as error:  # the definition is the recording's
                raise BagError(
                    f'{self.path}: bad definition of {msgtype}: {_line(error)}') from error
        store = _jazzy()
        if msgtype not in store.fielddefs:
            raise BagError(f'{self.path}: no definition of {msgtype}, which Jazzy lacks as well')
        return store

    def _definition(self, msgtype: str) -> str:
        """Return the recording's own definition of a type; empty if it has none."""
        if self._pieces:
            known = (x.definition for x in self._pieces.channels.values() if x.msgtype == msgtype)
            return next((text for form, text in known if form == 'ros2msg'), '')
        known = (x.msgdef for x in self._reader.connections if x.msgtype == msgtype)
        return next((x.data for x in known if x.format == MessageDefinitionFormat.MSG), '')

    def _save_what_is_there(self, error: Exception) -> None:
        """Read by the files' own records from now on, and say how much is missing."""
        files = told_files(self.path) if self.path.is_dir() else [self.path]
        if not files:
            raise error
        try:
            self._pieces = salvage(files)
        except BagError as nothing:
            raise BagError(f'{_damaged(self.path, error)}; nothing of it can be read: '
                           f'{nothing}') from error
        there, told = self._pieces.count, told_count(
            self.path if self.path.is_dir() else self.path.parent)
        self._lose(there, told, '; '.join(self._pieces.damage) or _line(error))

    def _go_on(self, error: Exception, wanted: set[str] | None, found: int,
               expected: int) -> Iterator[tuple[str, str, int, bytes]]:
        """Give the rest of a recording whose damage shows only now, as far as that goes."""
        if found:
            self._lose(found, expected, _line(error))
            return
        self._save_what_is_there(error)
        yield from self._pieces.messages(wanted)

    def _lose(self, there: int, told: int | None, why: str) -> None:
        count = 'how many are missing is not known, since metadata.yaml does not say'
        if told is not None:
            self.lost_share = max(self.lost_share, 1 - min(there / max(told, 1), 1.0))
            count = f'of {told} messages {there} are there, {self.lost_share:.1%} are missing'
        self.damage = f'the recording is damaged or cut off ({why}): {count}'

    def _is_depth(self, topic: Topic) -> bool:
        """Tell by the first message's encoding; drivers name their topics as they like."""
        stream = self.messages([topic.name])
        _, msgtype, _, raw = next(stream)
        message = self.deserialize(raw, msgtype)
        name = getattr(message, 'encoding', None) or getattr(message, 'format', '')
        return 'compressedDepth' in name or name.startswith(('16UC', '16SC', '32FC', '64FC'))

    def _offer(self, images: dict[str, Topic]) -> str:
        if images:
            return 'one of ' + ', '.join(images)
        there = ', '.join(f'{x.name} ({x.type}, {x.count})' for x in self.topics.values())
        return f'a topic of type {" or ".join(IMAGE_TYPES)}, found {there or "no topics"}'


@functools.lru_cache(maxsize=64)
def _store_by(definition: str, msgtype: str) -> Any:
    """Make a store of one type; parsing takes as long as reading seconds of a recording."""
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(definition, msgtype))
    return store


@functools.cache
def _jazzy() -> Any:
    return get_typestore(Stores.ROS2_JAZZY)


def _topic(name: str, connections: list) -> Topic:
    offers: list[Qos] = [x for c in connections for x in c.ext.offered_qos_profiles]
    return Topic(
        name, connections[0].msgtype, sum(x.msgcount for x in connections),
        all(x.reliability == QosReliability.RELIABLE for x in offers) if offers else None,
        all(x.durability == QosDurability.TRANSIENT_LOCAL for x in offers) if offers else None)


def _damaged(path: Path, error: Exception) -> str:
    return f'{path}: expected a complete rosbag2, this one is damaged or cut off: {_line(error)}'


def _line(error: Exception) -> str:
    return ' '.join(str(error).split()) or type(error).__name__
