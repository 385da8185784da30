"""The outputs of grasp_predictor: as a recording holds them, or as a command has received them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
import json
from pathlib import Path
from typing import Any

from moss_perception.core.errors import BagError, ScoresError
from moss_perception.core.messages import stamp_to_ns
from moss_perception.core.scores import GraspScores, read_scores
from moss_perception.data.bags.files import custom_data
from moss_perception.data.bags.headers import header_of
from moss_perception.data.bags.reader import Recording
from moss_perception.evaluation.records import LIVE

SCORES, PROCESSED = '/grasp_scores', '/processed'
DIAGNOSTICS_TOPIC = '/diagnostics'
RUN = 'moss_perception.run'
"""Name under which attempt_recorder keeps :class:`RunNotes` in a recording."""

# Keys of diagnostics in older recordings, and what they are called now.
_RENAMED = {'orders': 'budget_level', 'orders_wanted': 'budget_target', 'novelty': 'ood_score'}
_SCORES_TYPE = 'sensor_msgs/msg/PointCloud2'


@dataclass(frozen=True)
class RunNotes:
    """
    How a recording of a run came about.

    :ivar pace: ``lock step``, ``1x`` (or another rate) or ``live``.
    :ivar closed_loop: whether the grasps were selected by these scores, and executed.
    :ivar played: the recording that was played, which has the inputs; empty where this recording
        has them itself.
    :ivar timing_log: the player's CSV file of that name; empty for none.
    :ivar clock_offset_ns: of the recorder's clock before the monotonic one, nanoseconds.
    :ivar simulated: whether the stamps are of simulated time.
    :ivar complete: whether the recorder was there before the first frame, so that all scores are
        expected.
    """

    pace: str = LIVE
    closed_loop: bool = False
    played: str = ''
    timing_log: str = ''
    clock_offset_ns: int = 0
    simulated: bool = False
    complete: bool = False

    def text(self) -> str:
        """Write them as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> 'RunNotes':
        """
        Read what :meth:`text` wrote.

        :raises BagError: if it is something else.
        """
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise BagError(f'notes of attempt_recorder are not readable: {error}') from error


@dataclass(frozen=True)
class FrameScores:
    """
    The scores of one frame.

    :ivar stamp_ns: the frame's header stamp, nanoseconds.
    :ivar frame_id: the camera's optical frame.
    :ivar received_ns: when they were received, on the monotonic clock, nanoseconds.
    :ivar scores: of the candidates and the default grasp point.
    """

    stamp_ns: int
    frame_id: str
    received_ns: int
    scores: GraspScores


@dataclass(frozen=True)
class NodeOutputs:
    """
    What a predictor has published.

    :ivar scores: of each scored frame, in order of arrival.
    :ivar statuses: stamp and ``scored``, ``stored``, ``skipped`` or ``refused`` of each image
        that it received; ``None`` where ``~/processed`` was not recorded.
    :ivar diagnostics: its values by key, of each diagnostics message, in order.
    :ivar run: how the recording came about.
    """

    scores: Sequence[FrameScores]
    statuses: Sequence[tuple[int, str]] | None
    diagnostics: Sequence[Mapping[str, str]] = ()
    run: RunNotes = field(default_factory=RunNotes)

    @property
    def newest(self) -> Mapping[str, str]:
        """Return the values of the last diagnostics message; empty without one."""
        return self.diagnostics[-1] if self.diagnostics else {}


def read_outputs(path: Path | str, scores_topic: str | None = None) -> NodeOutputs:
    """
    Read a predictor's outputs from a recording.

    :param path: a rosbag2 folder, or an ``.mcap`` or ``.db3`` file.
    :param scores_topic: of the scores; ``None`` for the only one. What else the predictor
        publishes is beside it.
    :raises BagError: if it can't be read, or the scores are not there, or several are.
    """
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    run = RunNotes.parse(custom_data(folder).get(RUN, '{}'))
    with Recording(path, salvage=True) as recording:
        topic = _scores_topic(recording, scores_topic)
        predictor = topic.removesuffix(SCORES)
        processed = predictor + PROCESSED
        scores, statuses, diagnostics = [], [], []
        for name, kind, recorded_ns, raw in recording.messages(
                {topic, processed, DIAGNOSTICS_TOPIC} & recording.topics.keys()):
            if name == topic:
                message = recording.deserialize(raw, kind)
                scores.append(_frame_scores(
                    path, message, recorded_ns - run.clock_offset_ns))
            elif name == processed:
                statuses.append(header_of(raw))
            else:
                diagnostics += values_of(recording.deserialize(raw, kind), predictor)
        there = processed in recording.topics
    return NodeOutputs(scores, statuses if there else None, diagnostics, run)


def values_of(message: Any, predictor: str) -> list[dict[str, str]]:
    """
    Read a predictor's values from a diagnostics message.

    :param message: with the fields of diagnostic_msgs/DiagnosticArray.
    :param predictor: full name of the node.
    """
    return [{str(_RENAMED.get(pair.key, pair.key)): pair.value for pair in status.values}
            for status in message.status if status.name == predictor.lstrip('/')]


def frame_scores(message: Any, received_ns: int) -> FrameScores:
    """
    Read a message of scores.

    :param message: with the fields of sensor_msgs/PointCloud2.
    :param received_ns: when it was received, monotonic nanoseconds.
    :raises ScoresError: if it is no message of scores.
    """
    return FrameScores(stamp_to_ns(message.header.stamp), message.header.frame_id, received_ns,
                       GraspScores.of(read_scores(message)))


def _frame_scores(path: Path | str, message: Any, received_ns: int) -> FrameScores:
    try:
        return frame_scores(message, received_ns)
    except ScoresError as error:
        raise BagError(f'{path}: {error}') from error


def _scores_topic(recording: Recording, name: str | None) -> str:
    there = [x.name for x in recording.topics.values()
             if x.type == _SCORES_TYPE and x.name.endswith(SCORES)]
    wanted = there if name is None else ['/' + name.strip('/')]
    if len(wanted) != 1 or wanted[0] not in there:
        expected = f'one of {", ".join(there)}' if there else (
            f'a topic whose name ends with {SCORES}, as grasp_predictor publishes it')
        raise BagError(f'{recording.path}: ' + (
            f'no scores on {wanted[0]}: ' if name else 'several topics of scores: ' if there
            else 'no recorded scores: ') + f'expected {expected}')
    return wanted[0]


def with_run(outputs: NodeOutputs, **notes: Any) -> NodeOutputs:
    """Return the outputs with other notes of their run."""
    return replace(outputs, run=replace(outputs.run, **notes))
