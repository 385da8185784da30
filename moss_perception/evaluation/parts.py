"""
Parts of a recording that several processes evaluate: split, read ahead and merge.

:func:`prefetch` reads a part in a thread: its messages, and the decoded images of its samples.
"""

from collections import Counter
from collections.abc import Container, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
import queue
import threading
import time
from typing import Any

from moss_perception.core.errors import FrameError
from moss_perception.core.frames import Frame, to_frame
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import CAMERA_TYPE, STAMP_END, stamp_of
from moss_perception.evaluation import findings
from moss_perception.evaluation.records import AttemptRecord, BagRecord
from moss_perception.models.config import ModelConfig
from moss_perception.runtime.sampling import check, Checked, fit, Fitted, Sampler
import numpy as np

# Windows to step before the first image that counts. One would do, but a change of the camera's
# frame, which only shows in the messages, may shift the samples by one.
_WARM_UP = 2
_DEPTH = 8
_POLL_S = 0.1
# Passing a single message between threads costs more than reading it.
_BATCH = 32


@dataclass(frozen=True)
class Part:
    """
    The images that one process scores, by their number in the recording.

    A score depends on the last window only, so a part starts a little before its first image.

    :ivar warm_up: the first image to decode and step; its scores belong to another part.
    :ivar first: the first image of this part.
    :ivar end: the first image after this part.
    """

    warm_up: int
    first: int
    end: int

    def steps(self, image: int) -> bool:
        """Return whether an image is decoded and stepped."""
        return self.warm_up <= image < self.end

    def owns(self, image: int) -> bool:
        """Return whether an image belongs to this part."""
        return self.first <= image < self.end


WHOLE = Part(0, 0, 2**62)


def split(path: Path | str, image_topic: str, config: ModelConfig, count: int) -> list[Part]:
    """
    Split a recording's images into parts of about equal length.

    :param config: configuration of the checkpoint, for its rate and window.
    :param count: number of parts; a short recording gets fewer.
    :raises BagError: if the recording can't be read.
    """
    sampler, samples = Sampler(config.frame_rate_hz), []
    with Recording(path, salvage=True) as recording:
        for image, (_, _, _, raw) in enumerate(recording.messages([image_topic])):
            # A frame with a refused stamp is not a sample.
            with suppress(FrameError):
                if sampler.admit(stamp_of(raw), '').index is not None:
                    samples.append(image)
    window = _WARM_UP * config.window_frames
    count = min(count, len(samples) // (2 * window))
    if count < 2:
        return [WHOLE]
    cuts = [len(samples) * n // count for n in range(1, count)]
    firsts = [0, *(samples[cut] for cut in cuts)]
    warm_ups = [0, *(samples[max(cut - window, 0)] for cut in cuts)]
    # The last part is open-ended: a damaged recording may yield more images the next time.
    return [Part(*part) for part in zip(warm_ups, firsts, [*firsts[1:], WHOLE.end], strict=True)]


def merge(parts: Sequence[BagRecord]) -> BagRecord:
    """
    Merge the records of the parts of a recording.

    :param parts: records in order.
    """
    first = parts[0]
    if len(parts) == 1:
        return first
    attempts = tuple(_merge(same) for same in zip(*(part.attempts for part in parts), strict=True))
    counts = {name: dict(sum((Counter(getattr(part, name)) for part in parts), Counter()))
              for name in ('refused', 'resets', 'doubtful')}
    # A part may report scores as too old although the next part has newer ones.
    early = findings.of_attempts(first.attempts)
    return replace(
        first, **counts, attempts=attempts,
        **{name: sum(getattr(part, name) for part in parts)
           for name in ('frames', 'missing', 'not_arrived')},
        notes=(*(x for x in first.notes if x not in early), *findings.of_attempts(attempts)),
        by_status={status: sum(part.by_status[status] for part in parts)
                   for status in first.by_status},
        elapsed_s=max(part.elapsed_s for part in parts),
        decode_ms=np.concatenate([part.decode_ms for part in parts]),
        inference_ms=np.concatenate([part.inference_ms for part in parts]))


def _merge(same: Sequence[AttemptRecord]) -> AttemptRecord:
    # The newest scores at or before the decision count, in whichever part they are.
    newest = max(same, key=lambda one: -1 if one.scored_ns is None else one.scored_ns)
    return replace(newest, times_s=np.concatenate([one.times_s for one in same]),
                   scores=np.concatenate([one.scores for one in same]))


@dataclass(frozen=True)
class Received:
    """
    A message of a recording.

    :ivar stamp_ns: time of recording, nanoseconds.
    :ivar message: object with the fields of the ROS type; ``None`` for images. Calibrations that
        differ only in their stamps are the same object.
    :ivar frame: only for images: decoded and fitted if it is a sample, else checked; as recorded
        if it can't be used; ``None`` if it is not in ``received``.
    :ivar decode_s: duration of decoding and fitting, seconds.
    """

    topic: str
    stamp_ns: int
    message: Any = None
    frame: Frame | None = None
    decode_s: float = 0.0


def prefetch(recording: Recording, topics: Iterable[str], image_topic: str, config: ModelConfig,
             received: Container[int] | None = None,
             part: Part = WHOLE) -> Generator[Received, None, None]:
    """
    Read messages in another thread, a few samples ahead, in the order of recording.

    The headers alone decide which frames become samples, so this is known in advance.

    :param recording: an open recording that nothing else reads meanwhile.
    :param topics: topics to read, including the image topic.
    :param config: configuration of the model, for its rate and input size.
    :param received: header stamps of the images to return; ``None`` for all.
    :param part: the part with the images to decode.
    :raises BagError: if the recording is damaged.
    """
    waiting: queue.Queue = queue.Queue(_DEPTH)
    over = threading.Event()

    def put(item: Any) -> None:
        while not over.is_set():
            with suppress(queue.Full):
                waiting.put(item, timeout=_POLL_S)
                return

    def read() -> None:
        try:
            for batch in _batches(
                    _messages(recording, topics, image_topic, config, received, part)):
                put(batch)
                if over.is_set():
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001, the consumer raises it
            put(error)

    thread = threading.Thread(target=read, name='prefetch', daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield from item
    finally:
        over.set()
        thread.join()


def _batches(messages: Iterator[Received]) -> Iterator[list[Received]]:
    """Combine each sample with the messages before it."""
    waiting: list[Received] = []
    for one in messages:
        waiting.append(one)
        sample = one.frame is not None and isinstance(one.frame.image, Fitted)
        if sample or len(waiting) == _BATCH:
            yield waiting
            waiting = []
    yield waiting


def _messages(recording: Recording, topics: Iterable[str], image_topic: str, config: ModelConfig,
              received: Container[int] | None, part: Part) -> Iterator[Received]:
    sampler, images, camera = Sampler(config.frame_rate_hz), 0, (b'', None)
    for topic, kind, stamp_ns, raw in recording.messages(topics):
        if kind == CAMERA_TYPE:
            # Each image has a calibration message, and usually only the stamps differ.
            if raw[STAMP_END:] != camera[0]:
                camera = raw[STAMP_END:], recording.deserialize(raw, kind)
            yield Received(topic, stamp_ns, camera[1])
            continue
        message = recording.deserialize(raw, kind)
        if topic == image_topic:
            side = config.image_size if part.steps(images) else None
            yield _image(topic, stamp_ns, message, sampler, received, side)
            images += 1
        else:
            yield Received(topic, stamp_ns, message)


def _image(topic: str, stamp_ns: int, message: Any, sampler: Sampler,
           received: Container[int] | None, side: int | None) -> Received:
    frame = to_frame(message)
    if received is not None and frame.stamp_ns not in received:
        return Received(topic, stamp_ns)
    started = time.perf_counter()
    try:
        checked = check(frame.image)
        is_sample = sampler.admit(frame.stamp_ns, frame.frame_id).index is not None
        # Do not keep an image in memory that will not be decoded.
        image = fit(checked, side) if is_sample and side is not None else Checked()
    except FrameError:
        # The predictor also refuses and counts it.
        return Received(topic, stamp_ns, frame=frame)
    return Received(topic, stamp_ns, frame=Frame(frame.stamp_ns, frame.frame_id, image),
                   decode_s=time.perf_counter() - started)
