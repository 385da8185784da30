"""Write tiny recordings for tests, by rosbags and not by the code under test."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rosbags.interfaces import (
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import get_typestore, Stores

STORE = get_typestore(Stores.ROS2_JAZZY)
START_NS = 1_700_000_000_000_000_000
FOREVER = QosTime(9223372036, 854775807)


@dataclass(frozen=True)
class Entry:
    """One message to be written: CDR bytes on a topic, at a time of recording."""

    topic: str
    type: str
    stamp_ns: int
    raw: bytes


def kind(name: str) -> type:
    """Return rosbags' class of a type such as std_msgs/msg/Header."""
    return STORE.types[name]


def entry(topic: str, msgtype: str, stamp_ns: int, message: object) -> Entry:
    return Entry(topic, msgtype, stamp_ns, bytes(STORE.serialize_cdr(message, msgtype)))


def header(stamp_ns: int, frame_id: str = 'camera_optical_frame') -> object:
    sec, nanosec = divmod(stamp_ns, 10**9)
    return kind('std_msgs/msg/Header')(
        kind('builtin_interfaces/msg/Time')(sec, nanosec), frame_id)


def image(stamp_ns: int, topic: str = '/image', *, encoding: str = 'rgb8', side: int = 4,
          fill: int = 0, frame_id: str = 'camera_optical_frame') -> Entry:
    step = side * (3 if encoding == 'rgb8' else 2)
    message = kind('sensor_msgs/msg/Image')(
        header(stamp_ns, frame_id), side, side, encoding, 0, step,
        np.full(step * side, fill % 256, np.uint8))
    return entry(topic, 'sensor_msgs/msg/Image', stamp_ns, message)


def compressed(stamp_ns: int, data: bytes, topic: str = '/image/compressed',
               declared: str = 'jpeg') -> Entry:
    message = kind('sensor_msgs/msg/CompressedImage')(
        header(stamp_ns), declared, np.frombuffer(data, np.uint8))
    return entry(topic, 'sensor_msgs/msg/CompressedImage', stamp_ns, message)


def text(stamp_ns: int, value: str, topic: str = '/notes') -> Entry:
    return entry(topic, 'std_msgs/msg/String', stamp_ns, kind('std_msgs/msg/String')(value))


def outcome(stamp_ns: int, **values: str) -> Entry:
    pairs = [kind('diagnostic_msgs/msg/KeyValue')(key, value) for key, value in values.items()]
    status = kind('diagnostic_msgs/msg/DiagnosticStatus')(
        0, f'attempt/{values.get("attempt", "")}', 'held', '', pairs)
    message = kind('diagnostic_msgs/msg/DiagnosticArray')(header(stamp_ns), [status])
    return entry('/grasp_outcome', 'diagnostic_msgs/msg/DiagnosticArray', stamp_ns, message)


def camera_info(stamp_ns: int, topic: str, side: int = 40) -> Entry:
    region = kind('sensor_msgs/msg/RegionOfInterest')(0, 0, 0, 0, False)
    matrix = np.array([40.0, 0, side / 2, 0, 40.0, side / 2, 0, 0, 1])
    message = kind('sensor_msgs/msg/CameraInfo')(
        header(stamp_ns), side, side, 'plumb_bob', np.zeros(5), matrix, np.eye(3).ravel(),
        np.zeros(12), 0, 0, region)
    return entry(topic, 'sensor_msgs/msg/CameraInfo', stamp_ns, message)


def candidates(stamp_ns: int, topic: str, frame_id: str = 'camera_optical_frame') -> Entry:
    pose = kind('geometry_msgs/msg/Pose')(
        kind('geometry_msgs/msg/Point')(0.0, 0.0, 0.5),
        kind('geometry_msgs/msg/Quaternion')(0.0, 0.0, 0.0, 1.0))
    message = kind('geometry_msgs/msg/PoseArray')(header(stamp_ns, frame_id), [pose])
    return entry(topic, 'geometry_msgs/msg/PoseArray', stamp_ns, message)


def selected(stamp_ns: int, position: tuple, quaternion: tuple, topic: str = '/selected_grasp',
             frame_id: str = 'camera_optical_frame') -> Entry:
    pose = kind('geometry_msgs/msg/Pose')(
        kind('geometry_msgs/msg/Point')(*position),
        kind('geometry_msgs/msg/Quaternion')(*quaternion))
    message = kind('geometry_msgs/msg/PoseStamped')(header(stamp_ns, frame_id), pose)
    return entry(topic, 'geometry_msgs/msg/PoseStamped', stamp_ns, message)


def camera_run(frames: int, *, period_ns: int = 20_000_000, topic: str = '/image') -> list[Entry]:
    """Return images, each but the first preceded by a note of the same index."""
    entries = []
    for index in range(frames):
        stamp_ns = START_NS + index * period_ns
        if index:
            entries.append(text(stamp_ns - 1000, f'note {index}'))
        entries.append(image(stamp_ns, topic, fill=index))
    return entries


def attempt_run(fill: int = 9, pose: bool = False, success: str = 'true') -> list[Entry]:
    """Return three seconds of images and one attempt, without candidates, perhaps with a pose."""
    entries = [image(START_NS + n * 10**8, side=40, fill=fill * n % 256) for n in range(30)]
    if pose:
        entries.append(selected(START_NS + 26 * 10**8, (0.0, 0.0, 0.5), (0.0, 0.0, 0.0, 1.0)))
    second = START_NS // 10**9
    return [*entries, outcome(
        START_NS + 28 * 10**8, attempt='1', success=success, start=f'{second}.2',
        decision=f'{second + 2}.6', end=f'{second + 2}.8')]


def qos(reliability: str = 'RELIABLE', durability: str = 'VOLATILE', depth: int = 10) -> Qos:
    return Qos(
        QosHistory.KEEP_LAST, depth, QosReliability[reliability], QosDurability[durability],
        FOREVER, FOREVER, QosLiveliness.AUTOMATIC, FOREVER, False)


def write_bag(path: Path, entries: list[Entry], *, storage: str = 'mcap',
              offers: dict[str, Qos] | None = None, empty_topics: tuple = ()) -> Path:
    """Write a rosbag2 folder; ``offers`` holds the recorded QoS of topics."""
    types = dict(empty_topics) | {x.topic: x.type for x in entries}
    with Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()]) as writer:
        connections = {
            topic: writer.add_connection(
                topic, msgtype, typestore=STORE,
                offered_qos_profiles=[offers[topic]] if offers and topic in offers else [])
            for topic, msgtype in types.items()}
        for item in entries:
            writer.write(connections[item.topic], item.stamp_ns, item.raw)
    return path


def foreign_bag(path: Path) -> Path:
    """Write a bag with a topic of a type that no machine has installed."""
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        strange = writer.add_connection(
            '/strange', 'nowhere_msgs/msg/Strange', msgdef='int32 value\n', rihs01='RIHS01_00')
        known = writer.add_connection('/notes', 'std_msgs/msg/String', typestore=STORE)
        writer.write(strange, START_NS, b'\0\1\0\0\1\0\0\0')
        writer.write(known, START_NS + 1000, text(0, 'known').raw)
    return path
