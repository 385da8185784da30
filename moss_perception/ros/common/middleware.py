"""Which middleware ROS uses."""

from rclpy.utilities import get_rmw_implementation_identifier


def middleware() -> str:
    """Return the name of the middleware that rclpy loads, such as ``rmw_fastrtps_cpp``."""
    return get_rmw_implementation_identifier()
