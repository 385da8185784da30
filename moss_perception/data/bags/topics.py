"""The topics of a recording, and the headers of its serialised messages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
import functools
import re
import struct

from moss_perception.core.errors import BagError

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
CAMERA_TYPE = 'sensor_msgs/msg/CameraInfo'
CANDIDATES_TYPE = 'geometry_msgs/msg/PoseArray'
OUTCOME_TYPE = 'diagnostic_msgs/msg/DiagnosticArray'
EXECUTED_TYPE = 'geometry_msgs/msg/PoseStamped'
TRANSFORMS_TYPE = 'tf2_msgs/msg/TFMessage'
# The topics of the interface.
CANDIDATES_TOPIC, OUTCOME_TOPIC = '/grasp_candidates', '/grasp_outcome'
EXECUTED_TOPIC = '/selected_grasp'
LEAD_TIMES_TOPIC, LEAD_TIMES_TYPE = '/grasp_lead_times', 'sensor_msgs/msg/PointCloud2'
# Values in a recorded list of QoS profiles.
_RELIABILITY, _DURABILITY = (re.compile(rf'\b{x}[\'"]?\s*:\s*[\'"]?(\w+)') for x in (
    'reliability', 'durability'))
# End of the stamp at the beginning of a std_msgs/Header, in bytes.
STAMP_END = 12


Row = tuple[str, str, int, bytes]
"""Topic, type, time of recording in nanoseconds and CDR bytes of a message."""


@dataclass(frozen=True)
class Channel:
    """
    A topic of one file, as its publishers of one kind offered it.

    :ivar definition: text of the message definition; empty if unknown.
    :ivar reliable: whether the recorded publishers were reliable; ``None`` if unknown.
    :ivar transient_local: whether they were transient local; ``None`` if unknown.
    :ivar encoding: of the messages: ``cdr`` in ROS 2.
    """

    topic: str
    msgtype: str
    definition: str = ''
    reliable: bool | None = None
    transient_local: bool | None = None
    encoding: str = 'cdr'


@dataclass(frozen=True)
class Topic:
    """
    A recorded topic.

    :ivar type: such as ``sensor_msgs/msg/Image``.
    :ivar reliable: whether all recorded publishers were reliable; ``None`` if unknown.
    :ivar transient_local: whether all were transient local; ``None`` if unknown.
    """

    name: str
    type: str
    count: int
    reliable: bool | None = None
    transient_local: bool | None = None


def topics_of(channels: Iterable[Channel], counts: Mapping[str, int]) -> dict[str, Topic]:
    """
    Join the channels of each topic.

    :param channels: of all files.
    :param counts: number of messages by topic.
    :returns: by name, sorted.
    """
    found: dict[str, list[Channel]] = {}
    for one in channels:
        found.setdefault(one.topic, []).append(one)
    return {name: Topic(name, same[0].msgtype, counts.get(name, 0),
                        _all(x.reliable for x in same), _all(x.transient_local for x in same))
            for name, same in sorted(found.items())}


def _all(values: Iterable[bool | None]) -> bool | None:
    known = [x for x in values if x is not None]
    return all(known) if known else None


@functools.lru_cache(maxsize=256)
def offered(text: str) -> tuple[bool | None, bool | None]:
    """
    Parse the QoS of a topic's recorded publishers.

    :param text: YAML from a rosbag2.
    :returns: whether all were reliable, and whether all were transient local; each ``None`` if
        unknown.
    """
    # Not by a parser of YAML: a recording may come from a stranger, and have many topics.
    reliable = [x in ('reliable', '1') for x in _RELIABILITY.findall(text)]
    latched = [x in ('transient_local', '1') for x in _DURABILITY.findall(text)]
    return (all(reliable), all(latched)) if reliable and latched else (None, None)


def stamp_of(raw: bytes) -> int:
    """
    Read the header stamp of a message that begins with a std_msgs/Header, without decoding it.

    :param raw: CDR bytes.
    :returns: nanoseconds.
    :raises BagError: if there are too few bytes.
    """
    if len(raw) < STAMP_END:
        raise BagError(
            f'message of {len(raw)} bytes: expected a header of at least {STAMP_END}')
    sec, nanosec = struct.unpack_from('<iI' if raw[1] & 1 else '>iI', raw, 4)
    return sec * 10**9 + nanosec


def header_of(raw: bytes) -> tuple[int, str]:
    """
    Read the std_msgs/Header that a message begins with, without decoding the rest.

    :param raw: CDR bytes.
    :returns: stamp in nanoseconds, and the frame.
    :raises BagError: if there are too few bytes.
    """
    stamp_ns, begin = stamp_of(raw), STAMP_END + 4
    if len(raw) >= begin:
        (length,) = struct.unpack_from('<I' if raw[1] & 1 else '>I', raw, STAMP_END)
        if len(raw) >= begin + length:
            return stamp_ns, raw[begin:begin + length].rstrip(b'\0').decode(errors='replace')
    raise BagError(f'message of {len(raw)} bytes: expected a header with the name of a frame')
