"""The parameters of bag_player: what they mean, their ranges, and their refusal."""

from dataclasses import dataclass, field, fields
from typing import Any

from moss_perception.errors import ConfigError
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node

RELIABILITIES = ('recorded', 'reliable', 'best_effort')


def _setting(default: Any, description: str, *, low: float | None = None,
             high: float | None = None) -> Any:
    bounds = None if low is None else (low, high)
    return field(default=default, metadata={'description': description, 'bounds': bounds})


@dataclass(frozen=True)
class PlayerSettings:
    """What bag_player was asked to do; times in seconds."""

    bag: str = _setting('', 'The recording: a rosbag2 folder, or an .mcap or .db3 file.')
    rate: float = _setting(
        1.0, 'Playing speed; 1 is as recorded. Lock step is never faster than this.',
        low=0.001, high=100.0)
    loop: bool = _setting(
        False, 'Begin again at the end, with the recorded stamps, until interrupted.')
    lock_step: bool = _setting(
        False, 'After each image, wait until processed_topic says that it is dealt with.')
    topics: tuple[str, ...] = _setting((), 'Topics to play; empty for all.')
    exclude_topics: tuple[str, ...] = _setting((), 'Topics not to play.')
    publish_clock: bool = _setting(False, 'Publish the time of recording on /clock.')
    start_delay: float = _setting(
        10.0, 'How long to wait at the start for subscribers, seconds.', low=0.0, high=3600.0)
    wait_for_subscribers: tuple[str, ...] = _setting(
        (), 'Topics that must have a subscriber before the start; empty for an image topic.')
    play_unheard: bool = _setting(
        False, 'Without these subscribers, play after start_delay; lock step never does.')
    processed_topic: str = _setting(
        '/grasp_predictor/processed', 'Where the predictor says which image it has dealt with.')
    lock_step_timeout: float = _setting(
        10.0, 'How long lock step waits for an image, seconds.', low=0.1, high=3600.0)
    timing_log: str = _setting(
        '', 'A CSV file to write: stamp and monotonic time of each image published.')
    qos_reliability: str = _setting(
        'recorded', f'How images are offered: {", ".join(RELIABILITIES)}.')

    def __post_init__(self):
        if not self.bag:
            raise ConfigError('parameter bag is empty: expected the path of a recording')
        if self.qos_reliability not in RELIABILITIES:
            raise ConfigError(
                f'parameter qos_reliability is {self.qos_reliability!r}: '
                f'expected one of {", ".join(RELIABILITIES)}')
        if self.lock_step and self.qos_reliability == 'best_effort':
            raise ConfigError(
                'parameter lock_step needs every image to arrive: '
                'expected qos_reliability recorded or reliable, not best_effort')


def read_settings(node: Node) -> PlayerSettings:
    """
    Declare the parameters on a node and read them.

    :raises ConfigError: if one has the wrong type or is out of range.
    """
    values = {}
    for item in fields(PlayerSettings):
        try:
            values[item.name] = _declare(node, item.name, item.default, **item.metadata)
        except (InvalidParameterTypeException, InvalidParameterValueException) as error:
            reason = ' '.join(str(error).split())
            raise ConfigError(f'parameter {item.name}: {reason}') from error
    return PlayerSettings(**values)


def _declare(node: Node, name: str, default: Any, *, description: str,
             bounds: tuple[float, float] | None) -> Any:
    # They are read once; a change that did nothing would mislead.
    descriptor = ParameterDescriptor(description=description, read_only=True)
    if bounds is not None:
        descriptor.floating_point_range = [
            FloatingPointRange(from_value=bounds[0], to_value=bounds[1])]
    if not isinstance(default, tuple):
        return node.declare_parameter(name, default, descriptor).value
    # An empty list has no type in rclpy: a list of one empty name stands for it, and [] on the
    # command line arrives as no value at all.
    names = node.declare_parameter(name, [''], descriptor).value or ()
    return tuple('/' + x.strip('/') for x in names if x.strip('/'))
