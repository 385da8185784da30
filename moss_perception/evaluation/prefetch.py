"""Prefetch a recording in a thread: read its messages and decode the samples."""

from collections.abc import Container, Generator, Iterable, Iterator
from dataclasses import dataclass
import queue
import threading
import time
from typing import Any

from moss_perception.core.errors import FrameError
from moss_perception.core.frames import Frame, to_frame
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import CAMERA_TYPE, STAMP_END
from moss_perception.evaluation.parts import Part
from moss_perception.models.config import ModelConfig
from moss_perception.runtime.fitting import check, Checked, fit, Fitted
from moss_perception.runtime.window import Sampler

_DEPTH = 8
_POLL_S = 0.1
# Passing a single message between threads costs more than reading it.
_BATCH = 32


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
             part: Part | None = None) -> Generator[Received, None, None]:
    """
    Read messages in another thread, a few samples ahead, in the order of recording.

    The headers alone decide which frames become samples, so this is known in advance.

    :param recording: an open recording that nothing else reads meanwhile.
    :param topics: topics to read, including the image topic.
    :param config: configuration of the model, for its rate and input size.
    :param received: header stamps of the images to return; ``None`` for all.
    :param part: the part with the images to decode; ``None`` for all.
    :raises BagError: if the recording is damaged.
    """
    waiting: queue.Queue = queue.Queue(_DEPTH)
    over = threading.Event()

    def put(item: Any) -> None:
        while not over.is_set():
            try:
                waiting.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
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
              received: Container[int] | None, part: Part | None) -> Iterator[Received]:
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
            side = config.image_size if part is None or part.steps(images) else None
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
