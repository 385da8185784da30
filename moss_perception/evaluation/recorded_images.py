"""Images of recordings by their stamps, for reports."""

from collections.abc import Collection
import logging
from pathlib import Path

from moss_perception.core.errors import FrameError
from moss_perception.core.image_messages import CompressedImage
from moss_perception.core.images import decode
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import stamp_of
from moss_perception.evaluation.records import BagRecord, LIVE
import numpy as np

_LOG = logging.getLogger(__name__)


def recorded_images(record: BagRecord, stamps: Collection[int]) -> dict[int, np.ndarray]:
    """
    Return images of an evaluated recording, from its record or else from the recording.

    :param stamps: header stamps of the images, nanoseconds.
    :returns: uint8, RGB, shape ``(H, W, 3)``, by stamp; empty if the recording is gone or has no
        images.
    """
    kept = {stamp: decode(CompressedImage(record.pictures[stamp]))
            for stamp in stamps if stamp in record.pictures}
    # Older records of live runs have no path.
    if kept or record.path == LIVE or not (record.image_topic and Path(record.path).exists()):
        return kept
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
