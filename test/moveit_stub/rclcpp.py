"""A stub of the Python bindings of rclcpp, as MoveIt Task Constructor needs them."""

_started = []


def init() -> None:
    """Start."""
    _started.append(True)


class Node:
    """A node of C++ that only has a name."""

    def __init__(self, name: str):
        assert _started, 'rclcpp.init() has not been called'
        self.name = name
