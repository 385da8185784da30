"""The demo's short film: the debug images of the first attempts, with what became of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
import math
from pathlib import Path
from typing import Any

import cv2
from moss_perception.core.errors import MossError
from moss_perception.core.frames import stamp_to_ns
from moss_perception.core.images import decode
from moss_perception.evaluation.outputs import FrameScores
from moss_perception.evaluation.records import AttemptRecord
from moss_perception.ros.predictor.labels import text_size, WHITE, write
import numpy as np
from PIL import Image
import simplejpeg

FRAMES = 120
"""Most frames of the film; the predictor draws no more."""
_LINES, _WEBP_SIDE, _WEBP_STEP = (28, 22), 320, 2
_STRIP = sum(_LINES)
_QUALITY, _WEBP_QUALITY = 90, 45
_HELD, _FAILED, _DARK = (90, 210, 120), (245, 140, 80), (20, 26, 34)
# Smaller differences are not visible in two digits.
_BETTER = 0.01
_LONGEST_GAP_S = 0.5


@dataclass(frozen=True)
class Caption:
    """
    Two lines above a frame.

    :ivar colour: of the first line, RGB.
    :ivar note: the second line; empty for none.
    """

    text: str
    colour: tuple[int, int, int] = WHITE
    note: str = ''


class Film:
    """Keeps debug images until there are enough; see :func:`write_film`."""

    def __init__(self):
        self._frames: list[tuple[int, bytes]] = []

    def take(self, message: Any) -> bool:
        """
        Keep a debug image, a sensor_msgs/Image.

        :returns: whether more are wanted.
        """
        image = decode(message)
        self._frames.append((stamp_to_ns(message.header.stamp),
                             simplejpeg.encode_jpeg(image, _QUALITY, 'RGB', '420')))
        return len(self._frames) < FRAMES

    @property
    def stamps(self) -> list[int]:
        """Stamps of the frames, nanoseconds."""
        return [stamp for stamp, _ in self._frames]

    def images(self, captions: Sequence[Caption]) -> list[np.ndarray]:
        """Return the frames, uint8 RGB of one size, each under its caption."""
        images = [simplejpeg.decode_jpeg(jpeg, 'RGB') for _, jpeg in self._frames]
        # The codec wants even sizes.
        height, width = (side // 2 * 2 for side in images[0].shape[:2])
        made = []
        for image, caption in zip(images, captions, strict=True):
            frame = np.full((_STRIP + height, width, 3), _DARK, np.uint8)
            if image.shape[:2] != (height, width):
                image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
            frame[_STRIP:] = image
            _write(frame, caption.text, 0, _LINES[0], caption.colour)
            _write(frame, caption.note, _LINES[0], _LINES[1], WHITE)
            made.append(frame)
        return made


def _write(frame: np.ndarray, text: str, top: int, tall: int,
           colour: tuple[int, int, int]) -> None:
    """Write a line as large as fits."""
    size = tall - 4
    line = min(size, int(size * 0.98 * frame.shape[1] / max(1, text_size(text, size)[0])))
    write(frame, text, 0, top + (tall - line) // 2, line, colour, None)


def captions_of(stamps: Sequence[int], attempts: Sequence[AttemptRecord],
                scores: Mapping[int, FrameScores]) -> list[Caption]:
    """
    Say of each frame which attempt it is of, and from the decision on what became of it.

    :param stamps: of the frames, nanoseconds.
    :param scores: by stamp.
    """
    captions = []
    for stamp in stamps:
        one = next((x for x in attempts if x.start_ns <= stamp <= x.end_ns), None)
        if one is None:
            captions.append(Caption('between attempts' if attempts else 'scores over the images'))
            continue
        about = ', '.join(filter(None, (one.object, one.motion)))
        name = f'attempt {one.attempt}' + (f' ({about})' if about else '')
        captions.append(Caption(f'{name}: choosing') if stamp < one.decision_ns
                        else _became(name, one, scores.get(one.scored_ns or 0)))
    return captions


def _became(name: str, one: AttemptRecord, frame: FrameScores | None) -> Caption:
    if not one.executed:
        return Caption(f'{name}: no grasp executed')
    text, note = f'{name}: {"held" if one.success else "failed"}', ''
    if math.isfinite(one.score):
        text += f', score {one.score:.2f}'
        best = np.nanmax(frame.scores.candidates['score'], initial=0.0) if frame else 0.0
        if best - one.score > _BETTER:
            # The recorded planner had other scores, or none.
            note = f'the best was {best:.2f}, but this was recorded before these scores existed'
    return Caption(text, _HELD if one.success else _FAILED, note)


def write_film(film: Film, mp4: Path, webp: Path, attempts: Sequence[AttemptRecord],
               scores: Sequence[FrameScores]) -> None:
    """
    Write the film as MP4, and smaller as animated WebP, which browsers play like a picture.

    :param film: with at least one frame.
    :raises MossError: if OpenCV can't write the MP4.
    """
    stamps = film.stamps
    images = film.images(captions_of(stamps, attempts, {x.stamp_ns: x for x in scores}))
    rate_hz = _rate(stamps)
    height, width = images[0].shape[:2]
    writer = cv2.VideoWriter(str(mp4), cv2.VideoWriter.fourcc(*'mp4v'), rate_hz, (width, height))
    if not writer.isOpened():
        raise MossError(f'{mp4} cannot be written: expected an OpenCV with FFmpeg')
    for image in images:
        writer.write(image[:, :, ::-1])
    writer.release()
    factor = min(1.0, _WEBP_SIDE / width)
    small = [Image.fromarray(image).resize((round(width * factor), round(height * factor)))
             for image in images[::_WEBP_STEP]]
    small[0].save(webp, 'WEBP', save_all=True, append_images=small[1:], loop=0, minimize_size=True,
                  duration=round(1000 * _WEBP_STEP / rate_hz), quality=_WEBP_QUALITY, method=4)


def _rate(stamps: Sequence[int]) -> float:
    """Return frames per second as recorded, without the gaps between attempts."""
    steps = np.diff(stamps) / 1e9
    steps = steps[(steps > 0) & (steps < _LONGEST_GAP_S)]
    # The codec wants a rate of few digits.
    return round(min(60.0, float(1 / np.median(steps))), 2) if len(steps) else 10.0
