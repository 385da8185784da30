"""The topics of a recording."""

from dataclasses import dataclass
from typing import Any

import yaml

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
CAMERA_TYPE = 'sensor_msgs/msg/CameraInfo'
CANDIDATES_TYPE = 'geometry_msgs/msg/PoseArray'
OUTCOME_TYPE = 'diagnostic_msgs/msg/DiagnosticArray'
EXECUTED_TYPE = 'geometry_msgs/msg/PoseStamped'
# The topics of the interface.
CANDIDATES_TOPIC, OUTCOME_TOPIC = '/grasp_candidates', '/grasp_outcome'
EXECUTED_TOPIC = '/selected_grasp'


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


def offered(text: str) -> tuple[bool | None, bool | None]:
    """
    Parse the QoS of a topic's recorded publishers.

    :param text: YAML from a rosbag2.
    :returns: whether all were reliable, and whether all were transient local; each ``None`` if
        unknown.
    """
    try:
        profiles: list[dict[str, Any]] = yaml.safe_load(text) or []
        reliable = [x['reliability'] in ('reliable', 1) for x in profiles]
        latched = [x['durability'] in ('transient_local', 1) for x in profiles]
    except (yaml.YAMLError, TypeError, KeyError):
        return None, None
    return (all(reliable), all(latched)) if profiles else (None, None)
