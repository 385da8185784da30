"""Which topics bag_player plays, and how it offers them."""

import importlib
from typing import Any

from moss_perception.core.errors import BagError, ConfigError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import IMAGE_TYPES, stamp_of, Topic
from moss_perception.ros.player.settings import PlayerSettings
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

__all__ = ['choose_stepped', 'choose_topics', 'message_class', 'profile_of', 'stamp_of']

IMAGE_DEPTH, OTHER_DEPTH = 10, 100


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


def choose_stepped(
        recording: Recording, settings: PlayerSettings, images: set[str]) -> set[str]:
    """
    Choose the images that lock step waits for.

    :param images: the image topics that are played.
    :raises BagError: if there is no image topic, or none is named of several.
    :raises ConfigError: if the recording's only image topic in colour is not played.
    """
    named = images & set(settings.wait_for_subscribers)
    if named:
        return named
    if len(images) == 1:
        return set(images)
    stepped = recording.image_topic().name
    if stepped not in images:
        raise ConfigError(
            f'lock step waits for the images on {stepped}, which is not played: '
            'expected it in topics, or another in wait_for_subscribers')
    return {stepped}


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


def message_class(msgtype: str) -> Any | None:
    """Import the class of a type such as std_msgs/msg/Header; None if it is not installed."""
    package, _, name = msgtype.partition('/msg/')
    try:
        return getattr(importlib.import_module(f'{package}.msg'), name)
    except (ImportError, AttributeError):
        return None
