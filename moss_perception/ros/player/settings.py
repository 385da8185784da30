"""The parameters of bag_player: what they mean, their ranges, and their refusal."""

from dataclasses import dataclass

from moss_perception.core.errors import ConfigError
from moss_perception.ros.common.parameters import setting

RELIABILITIES = ('recorded', 'reliable', 'best_effort')


@dataclass(frozen=True)
class PlayerSettings:
    """What bag_player was asked to do; times in seconds."""

    bag: str = setting('', 'The recording: a rosbag2 folder, or an .mcap or .db3 file.')
    rate: float = setting(
        1.0, 'Playing speed; 1 is as recorded. Lock step is never faster than this.',
        low=0.001, high=100.0)
    loop: bool = setting(
        False, 'Begin again at the end, with the recorded stamps, until interrupted.')
    lock_step: bool = setting(
        False, 'After each image, wait until processed_topic says that it is dealt with.')
    topics: tuple[str, ...] = setting((), 'Topics to play; empty for all.')
    exclude_topics: tuple[str, ...] = setting((), 'Topics not to play.')
    publish_clock: bool = setting(False, 'Publish the time of recording on /clock.')
    start_delay: float = setting(
        10.0, 'How long to wait at the start for subscribers, seconds.', low=0.0, high=3600.0)
    wait_for_subscribers: tuple[str, ...] = setting(
        (), 'Topics that must have a subscriber before the start; empty for an image topic.')
    play_unheard: bool = setting(
        False, 'Without these subscribers, play after start_delay; lock step never does.')
    processed_topic: str = setting(
        '/grasp_predictor/processed', 'Where the predictor says which image it has dealt with.')
    lock_step_timeout: float = setting(
        10.0, 'How long lock step waits for an image, seconds.', low=0.1, high=3600.0)
    timing_log: str = setting(
        '', 'A CSV file to write: stamp and monotonic time of each image published.')
    qos_reliability: str = setting(
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
