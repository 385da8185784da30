"""The topics of a recording."""

from dataclasses import dataclass
from typing import Any

import yaml

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')
CAMERA_TYPE = 'sensor_msgs/msg/CameraInfo'
CANDIDATES_TYPE = 'geometry_msgs/msg/PoseArray'
OUTCOME_TYPE = 'diagnostic_msgs/msg/DiagnosticArray'
EXECUTED_TYPE = 'geometry_msgs/msg/PoseStamped'
# As the interface has them.
CANDIDATES_TOPIC, OUTCOME_TOPIC = '/grasp_candidates', '/grasp_outcome'
EXECUTED_TOPIC = '/selected_grasp'


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


def offered(text: str) -> tuple[bool | None, bool | None]:
    """
    Read what the recorded publishers of a topic offered.

    :param text: YAML, as the files of a rosbag2 have it.
    :returns: whether all were reliable, and whether all were transient local; ``None`` each where
        the text does not say.
    """
    try:
        profiles: list[dict[str, Any]] = yaml.safe_load(text) or []
        reliable = [x['reliability'] in ('reliable', 1) for x in profiles]
        latched = [x['durability'] in ('transient_local', 1) for x in profiles]
    except (yaml.YAMLError, TypeError, KeyError):
        return None, None
    return (all(reliable), all(latched)) if profiles else (None, None)
