"""The topics and services of a grasp system that views show, as the contract names them."""

from dataclasses import dataclass

TOPICS = {
    'image': 'sensor_msgs/msg/Image',
    'image/compressed': 'sensor_msgs/msg/CompressedImage',
    'camera_info': 'sensor_msgs/msg/CameraInfo',
    'grasp_candidates': 'geometry_msgs/msg/PoseArray',
    'grasp_predictor/grasp_scores': 'sensor_msgs/msg/PointCloud2',
    'grasp_predictor/grasp_score': 'std_msgs/msg/Float32',
    'grasp_predictor/grasp_markers': 'visualization_msgs/msg/MarkerArray',
    'grasp_predictor/debug_image': 'sensor_msgs/msg/Image',
    'selected_grasp': 'geometry_msgs/msg/PoseStamped',
    'grasp_gate/state': 'std_msgs/msg/String',
    'grasp_outcome': 'diagnostic_msgs/msg/DiagnosticArray',
    'attempt_recorder/state': 'std_msgs/msg/String',
    'attempt_recorder/events': 'std_msgs/msg/String',
    '/diagnostics': 'diagnostic_msgs/msg/DiagnosticArray',
    '/tf': 'tf2_msgs/msg/TFMessage',
    '/tf_static': 'tf2_msgs/msg/TFMessage',
}
"""Types by name; relative names are in the namespace of the system."""

LATCHED = ('grasp_gate/state', 'attempt_recorder/state', '/tf_static')
"""Topics whose last message a late subscriber receives."""

TRIGGER, SET_BOOL = 'std_srvs/srv/Trigger', 'std_srvs/srv/SetBool'
SERVICES = {
    'grasp_predictor/reset': TRIGGER, 'grasp_predictor/score': TRIGGER,
    'grasp_predictor/enable': SET_BOOL,
    **{f'attempt_recorder/{name}': TRIGGER for name in ('start', 'succeed', 'fail', 'discard')}}
"""Types by name."""


@dataclass(frozen=True)
class Part:
    """
    The text definition of one half of a service.

    :ivar name: of its type, such as ``std_srvs/srv/Trigger_Request``.
    :ivar text: as in a ``.msg`` file.
    """

    name: str
    text: str


def parts_of(kind: str) -> tuple[Part, Part]:
    """Return request and response of a service's type."""
    request = 'bool data' if kind == SET_BOOL else ''
    return (Part(f'{kind}_Request', request),
            Part(f'{kind}_Response', 'bool success\nstring message'))


def absolute(name: str, space: str) -> str:
    """
    Resolve a name.

    :param space: namespace of the system, empty or with a leading slash.
    """
    return name if name.startswith('/') else f'{space}/{name}'
