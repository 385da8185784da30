"""Pictures for reports: choose attempts and their frames, read and encode the frames."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
import logging
from pathlib import Path

import cv2
from moss_perception.core.errors import FrameError
from moss_perception.core.images import decode
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import stamp_of
from moss_perception.evaluation.records import AttemptRecord, BagRecord
import numpy as np

_LOG = logging.getLogger(__name__)
_FRAMES = 6
_WIDEST = 640


@dataclass(frozen=True)
class Choice:
    """
    A chosen attempt.

    :ivar kind: ``Best``, ``Worst`` or ``Most uncertain``.
    :ivar why: reason of the choice.
    :ivar index: index in the given attempts.
    """

    kind: str
    why: str
    index: int


def choose(attempts: Sequence[AttemptRecord]) -> list[Choice]:
    """
    Choose three attempts: the best, the worst and the most uncertain one.

    The best has the score nearest to its outcome, and the worst the score furthest from it. The
    most uncertain has the largest spread over the ensemble, or else the score nearest to 0.5.

    :param attempts: attempts without a score or without an executed grasp are ignored.
    """
    left = [n for n, one in enumerate(attempts) if one.executed and np.isfinite(one.score)]
    spread = any(np.isfinite(attempts[n].uncertainty) for n in left)
    doubt = ((lambda x: np.nan_to_num(x.uncertainty, nan=-1)) if spread else
             (lambda x: -abs(x.score - 0.5)))
    chosen = []
    for kind, key, why in (
            ('Best', lambda x: -abs(x.score - x.success), 'score nearest to the outcome'),
            ('Worst', lambda x: abs(x.score - x.success), 'score furthest from the outcome'),
            ('Most uncertain', doubt, 'widest spread over the ensemble' if spread
             else 'score nearest to 0.5')):
        if left:
            chosen.append(Choice(kind, why, max(left, key=lambda n: key(attempts[n]))))
            left.remove(chosen[-1].index)
    return chosen


def moments(attempt: AttemptRecord) -> list[int]:
    """
    Choose the samples to show: evenly spaced over the attempt, including the decision.

    Only samples with a score of the executed grasp are used if there are enough. If the
    candidates move, it is one of them only at the decision, and all samples are used.

    :returns: indices of ``attempt.times_s``, ascending, at most six.
    """
    lasting = attempt.times_s <= (attempt.end_ns - attempt.decision_ns) / 1e9
    there = np.flatnonzero(lasting & np.isfinite(attempt.scores))
    if len(there) < _FRAMES:
        there = np.flatnonzero(lasting)
    if not len(there):
        return []
    places = np.linspace(0, len(there) - 1, min(_FRAMES, len(there))).round().astype(int)
    chosen = there[places]
    decided = there[np.argmin(np.abs(stamps_of(attempt)[there] - (
        attempt.scored_ns or attempt.decision_ns)))]
    chosen[np.argmin(np.abs(chosen - decided))] = decided
    return sorted(set(chosen.tolist()))


def stamps_of(attempt: AttemptRecord) -> np.ndarray:
    """Return the header stamps of an attempt's samples: int64 nanoseconds, shape ``(T,)``."""
    return attempt.decision_ns + np.round(attempt.times_s * 1e9).astype(np.int64)


def stamps_shown(attempt: AttemptRecord) -> list[int]:
    """Return the header stamps of the frames to show, nanoseconds, ascending."""
    return stamps_of(attempt)[moments(attempt)].tolist()


def recorded_images(record: BagRecord, stamps: Collection[int]) -> dict[int, np.ndarray]:
    """
    Return images of an evaluated recording; none if it is gone or has no images.

    :param stamps: header stamps of the images, nanoseconds.
    :returns: uint8, RGB, shape ``(H, W, 3)``, by stamp.
    """
    if not (record.image_topic and Path(record.path).exists()):
        return {}
    return read_images(record.path, record.image_topic, stamps)


def read_images(path: Path | str, topic: str, stamps: Collection[int]) -> dict[int, np.ndarray]:
    """
    Read chosen images of a recording, except those that can't be decoded.

    :param topic: topic as recorded.
    :param stamps: header stamps of the images, nanoseconds.
    :returns: uint8, RGB, shape ``(H, W, 3)``, by stamp.
    """
    left, images = set(stamps), {}
    with Recording(path, salvage=True) as recording:
        for _, kind, _, raw in recording.messages([topic]) if left else ():
            stamp_ns = stamp_of(raw)
            if stamp_ns in left:
                left.remove(stamp_ns)
                try:
                    images[stamp_ns] = decode(recording.deserialize(raw, kind))
                except FrameError as error:
                    _LOG.warning('%s: the image stamped %d: %s', path, stamp_ns, error)
            if not left:
                break
    return images


def to_jpeg(image: np.ndarray) -> bytes:
    """
    Encode an image for the page, on which it is a thumbnail that a click enlarges.

    :param image: uint8, RGB, shape ``(H, W, 3)``; wider images are scaled to 640 pixels.
    :returns: a JPEG file of about 10 to 60 kB.
    """
    factor = _WIDEST / image.shape[1]
    if factor < 1:
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode('.jpg', np.ascontiguousarray(image[:, :, ::-1]),
                           [cv2.IMWRITE_JPEG_QUALITY, 85])
    return data.tobytes()
