"""The samples of a recording that lead to a moment, read for a look inside MOSS."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
import logging
import math
from pathlib import Path

import cv2
from moss_perception.core.errors import BagError, ConfigError, FrameError
from moss_perception.core.images import decode_for
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import stamp_of
import numpy as np

# The picture shows frames at about this size.
LONGEST_SIDE = 320
# Without a moment, the beginning is searched for the one at which most moves.
SEARCHED_S = 20.0
_LOG = logging.getLogger('look')
# As in the predictor's window: an image may be a little early for its sample.
_EARLY = 0.25
# A change so many times the usual one is another scene, and hardly chosen.
_CUT, _CUT_COUNTS = 4.0, 0.01


@dataclass(frozen=True)
class Samples:
    """
    Samples of a recording, oldest first.

    :ivar images: uint8, RGB, shape ``(T, H, W, 3)``, scaled down to :data:`LONGEST_SIDE`.
    :ivar times_s: since the recording's first image, seconds, shape ``(T,)``.
    :ivar scale: pixels of these images in one pixel of the recording.
    """

    images: np.ndarray
    times_s: np.ndarray
    scale: float


def read_samples(path: Path, count: int, topic: str | None = None, at_s: float | None = None,
                 rate_hz: float = 10.0) -> Samples:
    """
    Read the samples that lead to a moment.

    :param path: a rosbag2 folder, or an ``.mcap`` or ``.db3`` file.
    :param count: number of samples.
    :param topic: of the images; ``None`` for the only one with colour images.
    :param at_s: the moment, seconds since the first image; ``None`` for the one in the first
        :data:`SEARCHED_S` at which most moves.
    :param rate_hz: samples per second, at most.
    :raises BagError: if the recording has no such images, or too few up to this moment.
    :raises ConfigError: if moment or rate are not allowed.
    """
    if not (math.isfinite(rate_hz) and rate_hz > 0):
        raise ConfigError(f'--rate {rate_hz:g} is not allowed: expected more than 0 Hz')
    if at_s is not None and not (math.isfinite(at_s) and at_s >= 0):
        raise ConfigError(f'--at {at_s:g} is not allowed: expected 0 or more seconds')
    window: deque = deque(maxlen=count)
    best, most, read = None, -1.0, 0
    for time_s, image, scale in _sampled(path, topic, rate_hz):
        if time_s > (SEARCHED_S if at_s is None else at_s + _EARLY / rate_hz):
            break
        read += 1
        if window and window[-1][1].shape != image.shape:
            raise BagError(f'{path}: the images change their size at {time_s:.2f} s: expected one '
                           'camera on the topic')
        window.append((time_s, image, scale))
        if len(window) == count and (at_s is not None or _moves(window) > most):
            best, most = list(window), -1.0 if at_s is not None else _moves(window)
    if best is None:
        until = f'until {at_s:g} s' if at_s is not None else f'in its first {SEARCHED_S:g} s'
        raise BagError(f'{path} has {read} samples at {rate_hz:g} Hz {until}: expected {count} or '
                       'more, since the third order looks back so far')
    if at_s is not None and at_s - best[-1][0] > 1.0:
        raise ConfigError(f'--at {at_s:g} is after the end of {path}: expected at most '
                          f'{best[-1][0]:.1f} s')
    times, images, scales = zip(*best, strict=True)
    return Samples(np.stack(images), np.array(times), scales[0])


def _sampled(path: Path, topic: str | None,
             rate_hz: float) -> Iterator[tuple[float, np.ndarray, float]]:
    """Yield times, scaled images and scales at no more than a rate."""
    with Recording(path, salvage=True) as recording:
        name, first_ns, due_s, skipped = recording.image_topic(topic).name, None, 0.0, 0
        try:
            for _, kind, _, raw in recording.messages([name]):
                stamp_ns = stamp_of(raw)
                first_ns = stamp_ns if first_ns is None else first_ns
                time_s = (stamp_ns - first_ns) / 1e9
                if time_s < due_s - _EARLY / rate_hz:
                    continue
                try:
                    image, reduction = decode_for(recording.deserialize(raw, kind), LONGEST_SIDE)
                except FrameError as error:
                    skipped += 1
                    _LOG.debug('the image at %.2f s: %s', time_s, error)
                    continue
                # Do not catch up after a gap.
                due_s = (int(time_s * rate_hz + _EARLY) + 1) / rate_hz
                yield time_s, *_scaled(image, reduction)
        finally:
            if skipped:
                _LOG.warning('%s: %d images of %s were skipped, because they do not decode', path,
                             skipped, name)


def _scaled(image: np.ndarray, reduction: int) -> tuple[np.ndarray, float]:
    """Scale an image down further; return it, and its pixels in one of the recording."""
    shrink = min(1.0, LONGEST_SIDE / max(image.shape[:2]))
    small = image if shrink == 1 else cv2.resize(image, None, fx=shrink, fy=shrink,
                                                 interpolation=cv2.INTER_AREA)
    return small, small.shape[1] / (image.shape[1] * reduction)


def _moves(window: deque) -> float:
    """Measure how much moves at least between two samples; nearly nothing if there is a cut."""
    images = [image[::4, ::4].astype(np.int16) for _, image, _ in window]
    changes = [np.abs(now - before).mean() for before, now in pairwise(images)]
    cut = max(changes) > _CUT * np.median(changes)
    return float(min(changes)) * (_CUT_COUNTS if cut else 1.0)
