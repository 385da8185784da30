"""Images of any image_transport plugin, through image_transport_py where it imports."""

from collections import deque
from collections.abc import Callable
import importlib
from importlib.util import find_spec
import re
import threading
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.ros.common.guard import guarded
from moss_perception.ros.common.parameters import Allowed
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

OWN = ('raw', 'compressed')
"""Transports that need no plugin."""

_PACKAGE = 'image_transport_py'
_NAME = re.compile(r'[A-Za-z]\w*')
TRANSPORTS = Allowed(
    f'one of {", ".join(OWN)}, or with {_PACKAGE} (apt install '
    'ros-$ROS_DISTRO-image-transport-py) the name of a plugin that is installed, such as theora',
    lambda value: value in OWN or (
        _NAME.fullmatch(value) is not None and find_spec(_PACKAGE) is not None))
"""Values of the parameter ``image_transport``."""


class PluginSubscription:
    """
    A subscription to images by a plugin, with the interface of a MatchedSubscription.

    image_transport_py has a node of its own and calls from its own thread. The images wait until
    the executor of ``node`` serves them, after the subscriptions that are ready.

    :param node: an rclpy node.
    :param topic: resolved name of the images, without the plugin's.
    :param transport: name of the plugin.
    :param callback: called with each sensor_msgs/Image, by the executor.
    :param depth: images that wait; an older one is dropped.
    :raises ConfigError: if image_transport_py can't be imported, or lacks the plugin.
    """

    message_type = Image
    # The plugin chooses.
    reliability = 'as the plugin'
    # It is never made anew.
    silences = 0

    def __init__(self, node: Node, topic: str, transport: str, callback: Callable[[Any], None],
                 depth: int):
        self._node, self._callback = node, guarded(node, callback)
        self.topic, self.qos = f'{topic}/{transport}', QoSProfile(depth=depth)
        self._lock = threading.Lock()
        self._waiting: deque[Any] = deque(maxlen=depth)
        self._guard = node.create_guard_condition(self._serve)
        try:
            self._subscriber = _subscribe(node, topic, transport, depth, self._receive)
        except Exception as error:  # import errors, and those of a plugin that can't be loaded
            node.destroy_guard_condition(self._guard)
            raise ConfigError(
                f"image_transport {transport!r} can't be used: {error}: expected one of "
                f'{", ".join(OWN)}, or a plugin that ros2 run image_transport list_transports '
                'names') from error

    def publishers(self) -> list[Any]:
        """Return what the graph knows of the publishers of the plugin's topic."""
        return list(self._node.get_publishers_info_by_topic(self.topic))

    def check(self) -> bool:
        """Return False: the plugin follows the graph itself."""
        return False

    def renew(self) -> None:
        """Do nothing: waiting images are served after all subscriptions anyway."""

    def problem(self) -> str:
        """Return nothing: the plugin reports what it can't receive."""
        return ''

    def destroy(self) -> None:
        """Unsubscribe."""
        self._subscriber.shutdown()
        self._node.destroy_guard_condition(self._guard)
        with self._lock:
            self._waiting.clear()

    def _receive(self, image: Any) -> None:
        with self._lock:
            self._waiting.append(image)
        self._guard.trigger()

    def _serve(self) -> None:
        with self._lock:
            images = list(self._waiting)
            self._waiting.clear()
        for image in images:
            self._callback(image)


def _subscribe(node: Node, topic: str, transport: str, depth: int,
               receive: Callable[[Any], None]) -> Any:
    package = importlib.import_module(_PACKAGE)
    name = f'{node.get_name()}_images'
    try:
        # Since 2025 the node comes first, for its namespace.
        return package.ImageTransport(node, name, transport).subscribe(
            node, topic, depth, receive)
    except TypeError:
        return package.ImageTransport(name, transport).subscribe(topic, depth, receive)
