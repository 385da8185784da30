"""Read a recording ahead of whoever steps through it, and decode what will become a sample."""

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, replace
import queue
import threading
import time
from typing import Any

from moss_perception import imaging
from moss_perception.bags.reader import Recording
from moss_perception.errors import FrameError
from moss_perception.evaluation.shares import Share
from moss_perception.grasp.frame import Frame
from moss_perception.grasp.messages import to_frame
from moss_perception.grasp.window import Sampler

_DEPTH = 8
_POLL_S = 0.1


@dataclass(frozen=True)
class Arrival:
    """
    A message of a recording, in the order of recording.

    :ivar stamp_ns: when it was recorded, nanoseconds.
    :ivar message: with the fields of the ROS type; ``None`` for images.
    :ivar frame: only of images: decoded if it will become a sample, else as recorded; ``None`` if
        it is not wanted.
    :ivar decode_s: seconds that decoding took.
    """

    topic: str
    stamp_ns: int
    message: Any = None
    frame: Frame | None = None
    decode_s: float = 0.0


def read_ahead(recording: Recording, topics: Iterable[str], image_topic: str, rate_hz: float,
               arrived: Container[int] | None = None,
               share: Share | None = None) -> Iterator[Arrival]:
    """
    Read messages in a thread of its own, a few ahead.

    Which frames become samples depends on their headers alone, and so is known beforehand.

    :param recording: open; nobody else reads it meanwhile.
    :param topics: to read, with that of the images.
    :param rate_hz: samples a second of the model.
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
            for arrival in _arrivals(recording, topics, image_topic, rate_hz, arrived, share):
                put(arrival)
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
            yield item
    finally:
        over.set()
        thread.join()


def _arrivals(recording: Recording, topics: Iterable[str], image_topic: str, rate_hz: float,
              arrived: Container[int] | None, share: Share | None) -> Iterator[Arrival]:
    sampler, images = Sampler(rate_hz), 0
    for topic, kind, stamp_ns, raw in recording.messages(topics):
        message = recording.deserialize(raw, kind)
        if topic == image_topic:
            mine = share is None or share.steps(images)
            yield _image(topic, stamp_ns, message, sampler, arrived, mine)
            images += 1
        else:
            yield Arrival(topic, stamp_ns, message)


def _image(topic: str, stamp_ns: int, message: Any, sampler: Sampler,
           arrived: Container[int] | None, mine: bool) -> Arrival:
    frame = to_frame(message)
    if arrived is not None and frame.stamp_ns not in arrived:
        return Arrival(topic, stamp_ns)
    started = time.perf_counter()
    try:
        imaging.check(frame.image)
        if sampler.admit(frame.stamp_ns, frame.frame_id).index is not None and mine:
            frame = replace(frame, image=imaging.decode(frame.image))
    except FrameError:
        # The predictor finds the same, and counts it.
        return Arrival(topic, stamp_ns, frame=frame)
    return Arrival(topic, stamp_ns, frame=frame, decode_s=time.perf_counter() - started)
