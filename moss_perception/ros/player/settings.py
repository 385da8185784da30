"""The parameters of bag_player, the topics that it plays, and their QoS."""

from dataclasses import dataclass

from moss_perception.core.errors import BagError, ConfigError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import IMAGE_TYPES, Topic
from moss_perception.ros.common.parameters import one_of, setting, SUBSCRIBERS
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

IMAGE_DEPTH, OTHER_DEPTH = 10, 100
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
    calibration: str = setting(
        '', 'File with the calibration of the camera, as camera_calibration writes it: published '
        'on camera_info with each image, in place of what was recorded there; empty: none.')
    publish_clock: bool = setting(False, 'Publish the recorded time on /clock.')
    start_delay: float = setting(
        10.0, 'Longest wait for subscribers at the start, in seconds.', low=0.0, high=3600.0)
    wait_for_subscribers: tuple[str, ...] = setting(
        (), 'Topics that need a subscriber before the start; empty: one image topic.')
    wait_for_nodes: tuple[str, ...] = setting(
        (), 'Nodes that must have subscribed before the start, as NODE=TOPIC, absolute names; of '
        'a node that subscribes to several topics, the last one.', allowed=SUBSCRIBERS)
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


def choose_topics(recording: Recording, settings: PlayerSettings) -> list[Topic]:
    """
    Apply ``topics`` and ``exclude_topics``; a recorded /clock gives way to the player's.

    :raises BagError: if a topic named to be played or waited for is not in the recording.
    """
    there = recording.topics
    unknown = [x for x in (*settings.topics, *settings.wait_for_subscribers) if x not in there]
    if unknown:
        raise BagError(
            f'{settings.bag}: no topic {", ".join(unknown)}; expected one of '
            f'{", ".join(there) or "no topic at all"}')
    excluded = set(settings.exclude_topics)
    if settings.publish_clock:
        excluded.add('/clock')
    return [
        topic for name, topic in there.items()
        if name not in excluded and (not settings.topics or name in settings.topics)]


def choose_camera(
        recording: Recording, settings: PlayerSettings, images: set[str]) -> set[str]:
    """
    Choose the images that lock step waits for, and that a calibration in a file is of.

    :param images: the image topics that are played.
    :raises BagError: if there is no image topic, or none is named of several.
    :raises ConfigError: if the recording's only image topic in colour is not played.
    """
    named = images & set(settings.wait_for_subscribers)
    if named:
        return named
    if len(images) == 1:
        return set(images)
    camera = recording.image_topic().name
    if camera not in images:
        raise ConfigError(
            f'lock_step and calibration are about the images on {camera}, which is not played: '
            'expected it in topics, or another in wait_for_subscribers')
    return {camera}


def profile_of(topic: Topic, settings: PlayerSettings) -> QoSProfile:
    """Return the QoS to offer: as recorded, but in lock step nothing may be lost."""
    is_image = topic.type in IMAGE_TYPES
    choice = settings.qos_reliability if is_image else 'recorded'
    if choice == 'recorded':
        reliable = settings.lock_step or topic.reliable is not False
    else:
        reliable = choice == 'reliable'
    return QoSProfile(
        depth=IMAGE_DEPTH if is_image else OTHER_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if topic.transient_local
        else DurabilityPolicy.VOLATILE)
