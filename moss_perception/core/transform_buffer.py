"""The tree of frames over time, from recorded messages of tf."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
import math
import sys
from typing import Any

from moss_perception.core.errors import ConfigError, FrameUnknownError
from moss_perception.core.frames import stamp_to_ns
from moss_perception.core.recent import Recent
from moss_perception.core.transforms import checked_transform, IDENTITY, interpolate, Transform
import numpy as np

# More than robots have; a stranger may choose the names.
_MOST_FRAMES = 10_000


@dataclass
class _Edge:
    """The recorded poses of a frame in its parents; a long recording may have a million."""

    stamps_ns: array = field(default_factory=lambda: array('q'))
    parents: list[str] = field(default_factory=list)
    numbers: array = field(default_factory=lambda: array('d'))
    is_sorted: bool = True

    def add(self, stamp_ns: int, parent: str, numbers: Sequence[float]) -> None:
        self.is_sorted &= not self.stamps_ns or stamp_ns >= self.stamps_ns[-1]
        self.stamps_ns.append(stamp_ns)
        self.parents.append(parent)
        self.numbers.extend(numbers)

    def at(self, child: str, stamp_ns: int) -> tuple[str, Transform]:
        """Return the parent and the pose in it at a stamp, between two known ones."""
        if not self.is_sorted:
            self._sort()
        first, last = self.stamps_ns[0], self.stamps_ns[-1]
        if not first <= stamp_ns <= last:
            raise FrameUnknownError(
                f'tf has {child!r} from {_seconds(first)} to {_seconds(last)}, not at '
                f'{_seconds(stamp_ns)}')
        index = bisect_right(self.stamps_ns, stamp_ns) - 1
        parent, before = self.parents[index], self._transform(index)
        # A frame that moves to another parent stays where it was until then.
        if self.stamps_ns[index] == stamp_ns or self.parents[index + 1] != parent:
            return parent, before
        whole = self.stamps_ns[index + 1] - self.stamps_ns[index]
        return parent, interpolate(before, self._transform(index + 1),
                                   (stamp_ns - self.stamps_ns[index]) / whole)

    def _transform(self, index: int) -> Transform:
        return checked_transform(self.numbers[7 * index:7 * index + 7], 'transform')

    def _sort(self) -> None:
        order = sorted(range(len(self.stamps_ns)), key=self.stamps_ns.__getitem__)
        numbers = np.frombuffer(self.numbers).reshape(-1, 7)[order].ravel()
        self.stamps_ns = array('q', (self.stamps_ns[n] for n in order))
        self.parents = [self.parents[n] for n in order]
        self.numbers = array('d', numbers.tobytes())
        self.is_sorted = True


class TransformBuffer:
    """
    Keeps all transforms of a recording, and finds those between any two frames at any stamp.

    Static transforms hold at every stamp. Others are interpolated between two messages, and hold
    neither before the first nor after the last.
    """

    def __init__(self) -> None:
        self._static: dict[str, tuple[str, Transform]] = {}
        self._moving: dict[str, _Edge] = {}

    def add(self, message: Any, static: bool) -> list[str]:
        """
        Take a message of tf.

        :param message: with the fields of tf2_msgs/TFMessage.
        :param static: whether it is of ``/tf_static``.
        :returns: a line for each transform that can't be used.
        """
        problems = []
        for one in message.transforms:
            parent, child = (x.lstrip('/') for x in (one.header.frame_id, one.child_frame_id))
            place, turn = one.transform.translation, one.transform.rotation
            numbers = place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w
            if problem := _problem(parent, child, numbers):
                problems.append(problem)
            elif static:
                self._static[child] = parent, checked_transform(numbers, 'transform')
            else:
                self._moving.setdefault(child, _Edge()).add(
                    stamp_to_ns(one.header.stamp), sys.intern(parent), numbers)
        return problems

    def lookup(self, target: str, source: str, stamp_ns: int) -> Transform:
        """
        Return the pose of the source frame in the target frame.

        :raises FrameUnknownError: if the frames are not connected at the stamp.
        """
        above, cut = {}, ''
        for frame, transform, why in self._up(target, stamp_ns):
            above[frame], cut = transform, why
        for frame, transform, why in self._up(source, stamp_ns):
            if frame in above:
                return above[frame].inverse() @ transform
            cut = why or cut
        raise FrameUnknownError(f'tf does not connect {source!r} with {target!r} at '
                                f'{_seconds(stamp_ns)}{f": {cut}" if cut else ""}')

    def _up(self, frame: str, stamp_ns: int) -> Iterator[tuple[str, Transform, str]]:
        """Yield a frame and those above it, its pose in each, and why the last has no parent."""
        frame, pose, seen = frame.lstrip('/'), IDENTITY, set()
        while frame not in seen:
            seen.add(frame)
            step, why = self._static.get(frame), ''
            if step is None and frame in self._moving:
                try:
                    step = self._moving[frame].at(frame, stamp_ns)
                except FrameUnknownError as error:
                    why = str(error)
            yield frame, pose, why
            if step is None:
                return
            frame, pose = step[0], step[1] @ pose


class FrameTree:
    """Which frames tf connects, whenever; it does not grow with the number of messages."""

    def __init__(self) -> None:
        self._parents: Recent[str, str] = Recent(_MOST_FRAMES)

    def add(self, message: Any) -> None:
        """Take a message of tf, with the fields of tf2_msgs/TFMessage."""
        for one in message.transforms:
            self._parents[one.child_frame_id.lstrip('/')] = one.header.frame_id.lstrip('/')

    def connects(self, one: str, other: str) -> bool:
        """Tell whether two frames are of one tree."""
        return bool(self._up(one) & self._up(other))

    def _up(self, frame: str) -> set[str]:
        found, above = set(), frame.lstrip('/')
        while above is not None and above not in found:
            found.add(above)
            above = self._parents.get(above)
        return found


def _problem(parent: str, child: str, numbers: Sequence[float]) -> str:
    """Return why a recorded transform can't be used; empty if it can."""
    if not parent or not child or parent == child:
        return (f'tf names the frame {child!r} and its parent {parent!r}: expected two different '
                'names')
    # Most of a million are good, and the whole check takes longer.
    if math.isfinite(sum(numbers)) and 0.95 < sum(x * x for x in numbers[3:]) < 1.05:
        return ''
    try:
        checked_transform(numbers, f'the transform from {parent!r} to {child!r}')
    except ConfigError as error:
        return str(error)
    return ''


def _seconds(stamp_ns: int) -> str:
    return f'{stamp_ns / 1e9:.3f} s'
