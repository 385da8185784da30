"""The parameters of bag_player."""

from dataclasses import dataclass

from moss_perception.core.errors import ConfigError
from moss_perception.ros.common.parameters import one_of, setting

RELIABILITIES = ('recorded', 'reliable', 'best_effort')


@dataclass(frozen=True)
class PlayerSettings:
    """
    All parameters of bag_player; durations in seconds.

    :raises ConfigError: if ``bag`` is empty, or lock step is to be best effort.
    """

    bag: str = setting('', 'Recording: a rosbag2 folder, or an .mcap or .db3 file.')
    rate: float = setting(
        1.0, 'Playback speed; 1 is as recorded. Lock step is never faster than this.',
        low=0.001, high=100.0)
    loop: bool = setting(
        False, 'Start again at the end, with the recorded stamps, until interrupted.')
    lock_step: bool = setting(
        False, 'After each image, wait until processed_topic reports it as processed.')
    topics: tuple[str, ...] = setting((), 'Topics to play; empty: all.')
    exclude_topics: tuple[str, ...] = setting((), 'Topics not to play.')
    publish_clock: bool = setting(False, 'Publish the recorded time on /clock.')
    start_delay: float = setting(
        10.0, 'Longest wait for subscribers at the start, in seconds.', low=0.0, high=3600.0)
    wait_for_subscribers: tuple[str, ...] = setting(
        (), 'Topics that need a subscriber before the start; empty: one image topic.')
    play_without_subscribers: bool = setting(
        False, 'Play after start_delay even if one has no subscriber; not with lock_step.')
    processed_topic: str = setting(
        '/grasp_predictor/processed', 'Topic on which the predictor reports each image.')
    lock_step_timeout: float = setting(
        10.0, 'Longest wait for the report of an image in lock step, in seconds.',
        low=0.1, high=3600.0)
    timing_log: str = setting(
        '', 'CSV file to write: stamp and monotonic time of each published image.')
    qos_reliability: str = setting(
        'recorded', 'Reliability of the image publishers.', allowed=one_of(*RELIABILITIES))

    def __post_init__(self):
        """Refuse an empty path and a lock step that may lose images."""
        if not self.bag:
            raise ConfigError('parameter bag is empty: expected the path of a recording')
        if self.lock_step and self.qos_reliability == 'best_effort':
            raise ConfigError(
                'parameter lock_step needs every image to arrive: '
                'expected qos_reliability recorded or reliable, not best_effort')
