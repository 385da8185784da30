"""What ``moss label`` shows of a recording: its stamps and its attempts."""

from dataclasses import dataclass
import logging
from typing import TYPE_CHECKING

from moss_perception.core.errors import BagError, ConfigError
from moss_perception.core.tables import lay_out
from moss_perception.core.text import one_line

if TYPE_CHECKING:
    from moss_perception.core.cameras import CameraSetup
    from moss_perception.core.frames import Camera
    from moss_perception.data.bags.reader import Recording
    from moss_perception.data.labels.attempts import Found, Search
    from moss_perception.data.labels.clock import Clock
    from moss_perception.evaluation.contact_sheet import Images

_SHOWN = 40
log = logging.getLogger('label')


@dataclass(frozen=True)
class LookedAt:
    """
    What the command needs of a recording.

    :ivar found: its attempts; ``None`` if there are none, for the reason in ``lacking``.
    """

    images: 'Images'
    clock: 'Clock'
    found: 'Found | None'
    lacking: str


def look_at(recording: 'Recording', topics: dict[str, str], search: 'Search',
            setup: 'CameraSetup') -> LookedAt:
    """
    Read the stamps of the images, and find the attempts.

    :param topics: chosen topics; ``image_topic`` is one of them.
    :param setup: whether the images are rectified, and perhaps their calibration.
    :raises BagError: if the images have no stamps, or there are no attempts of a kind that the
        user asked for.
    """
    from moss_perception.data.bags.topics import header_of
    from moss_perception.data.labels.attempts import find_attempts
    from moss_perception.data.labels.clock import clock_of
    from moss_perception.evaluation.contact_sheet import Images
    import numpy as np
    topic = topics['image_topic']
    headers = sorted(one for *_, raw in recording.messages([topic])
                     if (one := header_of(raw))[0] > 0)
    if recording.damage:
        log.warning('%s: %s', recording.path, recording.damage)
    clock = clock_of(recording, topic)
    found, lacking = None, ''
    try:
        found = find_attempts(recording, clock, search)
    except BagError as error:
        # A table with times of its own needs no attempts.
        if search.source:
            raise
        lacking = str(error)
    images = Images(recording.path, topic, np.array([x for x, _ in headers], np.int64),
                    [x for _, x in headers], _cameras(recording, topics, setup), clock.zero_ns)
    return LookedAt(images, clock, found, lacking)


def _cameras(recording: 'Recording', topics: dict[str, str],
             setup: 'CameraSetup') -> 'list[tuple[int, Camera | None]]':
    """Return the calibrations by the stamps from which on they hold, nanoseconds, ascending."""
    from moss_perception.core.cameras import to_camera
    from moss_perception.data.bags.topics import STAMP_END, stamp_of
    topic = topics['image_topic']
    if setup.calibration is not None:
        return [(0, setup.camera(topic))]
    name = recording.camera_info_topic(topic, topics.get('camera_info_topic'))
    if name is None:
        return []
    found, newest, refused = [], b'', set()
    for _, kind, _, raw in recording.messages([name]):
        # Most calibrations of a stream differ only in their stamps.
        if raw[STAMP_END:] == newest:
            continue
        newest, camera = raw[STAMP_END:], None
        try:
            camera = to_camera(recording.deserialize(raw, kind), topic, setup.rectified)
        except ConfigError as error:
            refused.add(str(error))
        found.append((stamp_of(raw), camera))
    for why in sorted(refused):
        log.warning('%s: %s: %s', recording.path, name, why)
    return sorted(found, key=lambda one: one[0])


def describe(bag: LookedAt, shown: str) -> list[str]:
    """Return lines on the clock and the attempts of a recording."""
    from moss_perception.data.labels.clock import in_words
    stamps, topic = bag.images.stamps_ns, one_line(bag.images.topic)
    first, last = int(stamps[0]), int(stamps[-1])
    said = [f'{one_line(shown)}: {len(stamps)} images on {topic}',
            f'  first stamp  {in_words(first)}',
            f'  last stamp   {in_words(last)}, {(last - first) / 1e9:.3f} s later']
    if bag.clock.lag_ns:
        way = 'behind' if bag.clock.lag_ns > 0 else 'ahead of'
        said.append(f"  the stamps are {abs(bag.clock.lag_ns) / 1e9:.3f} s {way} the recorder's "
                    'clock')
    if bag.found is None:
        return said
    rows = [[n, *(f'{(x - bag.clock.zero_ns) / 1e9:.3f}' for x in (
        span.start_ns, span.decision_ns, span.end_ns))]
        for n, span in enumerate(bag.found.spans[:_SHOWN], start=1)]
    more = len(bag.found.spans) - _SHOWN
    return [*said, f'{len(bag.found.spans)} attempts found {one_line(bag.found.how)}; '
            'seconds from the start of the recording:',
            lay_out(rows, ['attempt', 'start', 'decision', 'end']),
            *[f'and {more} more'] * (more > 0)]
