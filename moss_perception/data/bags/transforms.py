"""The transforms that a recording holds on ``/tf`` and ``/tf_static``."""

from pathlib import Path

from moss_perception.core.errors import FrameUnknownError
from moss_perception.core.transform_buffer import TransformBuffer
from moss_perception.core.transforms import Transform
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import TRANSFORMS_TYPE


class RecordedTransforms:
    """
    Finds transforms in a recording, all of which is read when the first one is asked for.

    So a frame also finds transforms that were recorded a little after it.

    :param path: the recording.
    :ivar problems: a line for each kind of transform that can't be used.
    """

    def __init__(self, path: Path | str):
        self._path = path
        self._buffer: TransformBuffer | None = None
        self._topics: list[str] = []
        self.problems: tuple[str, ...] = ()

    def lookup(self, target: str, source: str, stamp_ns: int) -> Transform:
        """
        Return the pose of a frame in another one.

        :raises FrameUnknownError: if the recording does not have it.
        :raises BagError: if the recording can't be read.
        """
        if self._buffer is None:
            self._buffer = self._read()
        if not self._topics:
            raise FrameUnknownError(f'the recording has no transform from {source!r} to '
                                    f'{target!r}: expected /tf or /tf_static')
        return self._buffer.lookup(target, source, stamp_ns)

    def _read(self) -> TransformBuffer:
        buffer, problems = TransformBuffer(), {}
        # Of its own, since another thread may read the recording at this moment.
        with Recording(self._path, salvage=True) as recording:
            self._topics = [x.name for x in recording.topics.values()
                            if x.type == TRANSFORMS_TYPE and x.count]
            for topic, kind, _, raw in recording.messages(self._topics) if self._topics else ():
                for problem in buffer.add(recording.deserialize(raw, kind),
                                          topic.endswith('tf_static')):
                    problems[problem] = problems.get(problem, 0) + 1
        self.problems = tuple(f'{count} transforms are not used: {problem}'
                              for problem, count in list(problems.items())[:3])
        return buffer
