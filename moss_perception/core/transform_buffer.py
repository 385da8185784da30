"""The tree of frames over time, from recorded messages of tf."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from moss_perception.core.errors import ConfigError, FrameUnknownError
from moss_perception.core.frames import stamp_to_ns
from moss_perception.core.transforms import checked_transform, IDENTITY, interpolate, Transform


@dataclass
class _Edge:
    """What is known of the pose of a frame in its parent, in the order of stamps once sorted."""

    stamps_ns: list[int] = field(default_factory=list)
    known: list[tuple[str, Transform]] = field(default_factory=list)
    is_sorted: bool = True

    def add(self, stamp_ns: int, parent: str, transform: Transform) -> None:
        self.is_sorted &= not self.stamps_ns or stamp_ns >= self.stamps_ns[-1]
        self.stamps_ns.append(stamp_ns)
        self.known.append((parent, transform))

    def at(self, child: str, stamp_ns: int) -> tuple[str, Transform]:
        """Return the parent and the pose in it at a stamp, between two known ones."""
        if not self.is_sorted:
            order = sorted(range(len(self.known)), key=self.stamps_ns.__getitem__)
            self.stamps_ns = [self.stamps_ns[n] for n in order]
            self.known = [self.known[n] for n in order]
            self.is_sorted = True
        first, last = self.stamps_ns[0], self.stamps_ns[-1]
        if not first <= stamp_ns <= last:
            raise FrameUnknownError(
                f'tf has {child!r} from {_seconds(first)} to {_seconds(last)}, not at '
                f'{_seconds(stamp_ns)}')
        index = bisect_right(self.stamps_ns, stamp_ns) - 1
        parent, before = self.known[index]
        if self.stamps_ns[index] == stamp_ns:
            return parent, before
        later, after = self.known[index + 1]
        # A frame that moves to another parent stays where it was until then.
        if later != parent:
            return parent, before
        whole = self.stamps_ns[index + 1] - self.stamps_ns[index]
        return parent, interpolate(before, after, (stamp_ns - self.stamps_ns[index]) / whole)


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
            try:
                if not parent or not child or parent == child:
                    raise ConfigError(f'tf names the frame {child!r} and its parent {parent!r}: '
                                      'expected two different names')
                found = checked_transform(
                    (place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w),
                    f'the transform from {parent!r} to {child!r}')
            except ConfigError as error:
                problems.append(str(error))
                continue
            if static:
                self._static[child] = parent, found
            else:
                self._moving.setdefault(child, _Edge()).add(
                    stamp_to_ns(one.header.stamp), parent, found)
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


def _seconds(stamp_ns: int) -> str:
    return f'{stamp_ns / 1e9:.3f} s'
