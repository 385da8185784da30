"""Read a recording ahead of whoever steps through it, and decode what will become a sample."""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
import queue
import threading
import time
from typing import Any

from moss_perception.core.errors import FrameError
from moss_perception.core.frames import Frame
from moss_perception.core.messages import to_frame
from moss_perception.data.bags.headers import STAMP_END
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import CAMERA_TYPE
from moss_perception.evaluation.shares import Share
from moss_perception.models.config import ModelConfig
from moss_perception.runtime.fitting import check, Checked, fit, Fitted
from moss_perception.runtime.window import Sampler

_DEPTH = 8
_POLL_S = 0.1
# Handing a message from thread to thread costs more than reading it: they go together.
_TOGETHER = 32


@dataclass(frozen=True)
class Arrival:
    """
    A message of a recording, in the order of recording.

    :ivar stamp_ns: when it was recorded, nanoseconds.
    :ivar message: with the fields of the ROS type; ``None`` for images. Calibrations that differ
        by nothing but their stamps are one and the same.
    :ivar frame: only of images: decoded and fitted if it will become a sample, else checked; as
        recorded if it can't be used; ``None`` if it is not wanted.
    :ivar decode_s: seconds that decoding and fitting took.
    """

    topic: str
    stamp_ns: int
    message: Any = None
    frame: Frame | None = None
    decode_s: float = 0.0


def read_ahead(recording: Recording, topics: Iterable[str], image_topic: str, config: ModelConfig,
               arrived: Container[int] | None = None,
               share: Share | None = None) -> Iterator[Arrival]:
    """
    Read messages in a thread of its own, a few samples ahead.

    Which frames become samples depends on their headers alone, and so is known beforehand.

    :param recording: open; nobody else reads it meanwhile.
    :param topics: to read, with that of the images.
    :param config: of the model: its rate and the size of its input.
    :param arrived: header stamps of the images that are wanted; ``None`` for all.
    :param share: only its images are decoded; ``None`` for all.
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
            for together in _together(
                    _arrivals(recording, topics, image_topic, config, arrived, share)):
                put(together)
                if over.is_set():
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001, it is raised where the items are taken
            put(error)

    thread = threading.Thread(target=read, name='read ahead', daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield from item
    finally:
        over.set()
        thread.join()


def _together(arrivals: Iterator[Arrival]) -> Iterator[list[Arrival]]:
    """Put a sample and what comes before it into one list."""
    waiting: list[Arrival] = []
    for arrival in arrivals:
        waiting.append(arrival)
        sample = arrival.frame is not None and isinstance(arrival.frame.image, Fitted)
        if sample or len(waiting) == _TOGETHER:
            yield waiting
            waiting = []
    yield waiting


def _arrivals(recording: Recording, topics: Iterable[str], image_topic: str, config: ModelConfig,
              arrived: Container[int] | None, share: Share | None) -> Iterator[Arrival]:
    sampler, images, camera = Sampler(config.frame_rate_hz), 0, (b'', None)
    for topic, kind, stamp_ns, raw in recording.messages(topics):
        if kind == CAMERA_TYPE:
            # Calibrations come with each image, and but for their stamps they are the same.
            if raw[STAMP_END:] != camera[0]:
                camera = raw[STAMP_END:], recording.deserialize(raw, kind)
            yield Arrival(topic, stamp_ns, camera[1])
            continue
        message = recording.deserialize(raw, kind)
        if topic == image_topic:
            side = config.image_size if share is None or share.steps(images) else None
            yield _image(topic, stamp_ns, message, sampler, arrived, side)
            images += 1
        else:
            yield Arrival(topic, stamp_ns, message)


def _image(topic: str, stamp_ns: int, message: Any, sampler: Sampler,
           arrived: Container[int] | None, side: int | None) -> Arrival:
    frame = to_frame(message)
    if arrived is not None and frame.stamp_ns not in arrived:
        return Arrival(topic, stamp_ns)
    started = time.perf_counter()
    try:
        checked = check(frame.image)
        is_sample = sampler.admit(frame.stamp_ns, frame.frame_id).index is not None
        # An image that nobody decodes is not kept while it waits.
        image = fit(checked, side) if is_sample and side is not None else Checked()
    except FrameError:
        # The predictor finds the same, and counts it.
        return Arrival(topic, stamp_ns, frame=frame)
    return Arrival(topic, stamp_ns, frame=Frame(frame.stamp_ns, frame.frame_id, image),
                   decode_s=time.perf_counter() - started)
