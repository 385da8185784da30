"""The outputs of grasp_predictor: scores, frame statuses and diagnostics."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
import json
import math
from pathlib import Path
from typing import Any

from moss_perception.core.cameras import AUTO, CameraSetup, RAW
from moss_perception.core.errors import BagError, ScoresError
from moss_perception.core.frames import stamp_to_ns
from moss_perception.core.scores import GraspScores, read_scores
from moss_perception.data.bags.metadata import custom_data
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import header_of
from moss_perception.evaluation.records import LIVE
import numpy as np

SCORES, PROCESSED = '/grasp_scores', '/processed'
DIAGNOSTICS_TOPIC = '/diagnostics'
RUN = 'moss_perception.run'
"""Name under which run_recorder stores :class:`RunNotes` in a recording."""

DURATIONS = tuple(f'{name}_p{percent}_ms' for name in ('decode', 'inference', 'age')
                  for percent in (50, 95))
OUT = 'out_of_distribution_share'

# Keys of diagnostics in older recordings, and what they are called now.
_RENAMED = {'orders': 'budget_level', 'orders_wanted': 'budget_target', 'novelty': 'ood_score'}
_SCORES_TYPE = 'sensor_msgs/msg/PointCloud2'


@dataclass(frozen=True)
class RunNotes:
    """
    The conditions of a recorded run.

    :ivar pace: ``lock step``, ``1x`` (or another rate) or ``live``.
    :ivar closed_loop: whether the grasps selected by these scores were executed.
    :ivar played: path of the played recording, which has the inputs; empty if this recording
        has them.
    :ivar timing_log: path of the player's timing log; empty for none.
    :ivar clock_offset_ns: the recorder's clock minus the monotonic clock, nanoseconds.
    :ivar simulated: whether the stamps are of simulated time.
    :ivar complete: whether recording began before the first frame, so that all scores are
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
        """Return the notes as JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> 'RunNotes':
        """
        Read the output of :meth:`text`.

        :raises BagError: if it can't be read.
        """
        try:
            notes = cls(**json.loads(text))
            if wrong := [name for name, value in asdict(notes).items()
                         if type(value) is not type(getattr(cls, name))]:
                raise TypeError(f'{wrong[0]} has another type')
            return notes
        except (ValueError, TypeError, RecursionError) as error:
            raise BagError(f"the notes of run_recorder can't be read: {error}") from error


@dataclass(frozen=True)
class FrameScores:
    """
    The scores of one frame.

    :ivar stamp_ns: the frame's header stamp, nanoseconds.
    :ivar frame_id: the camera's optical frame.
    :ivar received_ns: time of reception on the monotonic clock, nanoseconds.
    :ivar scores: scores of the candidates and the default grasp point.
    """

    stamp_ns: int
    frame_id: str
    received_ns: int
    scores: GraspScores


@dataclass(frozen=True)
class NodeOutputs:
    """
    The messages that a predictor has published.

    :ivar scores: scores of each scored frame, in order of arrival.
    :ivar statuses: stamp and status (``scored``, ``stored``, ``skipped`` or ``refused``) of each
        received image; ``None`` if ``~/processed`` was not recorded.
    :ivar diagnostics: values by key of each diagnostics message, in order.
    :ivar run: conditions of the run.
    """

    scores: Sequence[FrameScores]
    statuses: Sequence[tuple[int, str]] | None
    diagnostics: Sequence[Mapping[str, str]] = ()
    run: RunNotes = field(default_factory=RunNotes)

    @property
    def newest(self) -> Mapping[str, str]:
        """Return the values of the last diagnostics message; empty if there is none."""
        return self.diagnostics[-1] if self.diagnostics else {}

    @property
    def setup(self) -> CameraSetup:
        """Return what the node was told about its camera; older nodes used K and D."""
        values = self.newest
        return CameraSetup.of(values.get('rectified', RAW if values else AUTO),
                              values.get('candidates_frame', ''),
                              values.get('candidates_transform', ''))

    def executed_setup(self, given: CameraSetup | None) -> CameraSetup:
        """
        Return where to look for executed grasps: as a user said, or else as the node was told.

        :param given: by a user. A calibration alone says nothing of the frames, which the node
            knew.
        """
        if given is None or given == CameraSetup(calibration=given.calibration):
            calibration = None if given is None else given.calibration
            return replace(self.setup, calibration=calibration)
        return given


def read_outputs(path: Path | str, scores_topic: str | None = None) -> NodeOutputs:
    """
    Read a predictor's outputs from a recording.

    :param path: a rosbag2 folder, or an ``.mcap`` or ``.db3`` file.
    :param scores_topic: topic of the scores; ``None`` for the only one. The predictor's other
        topics are in the same namespace.
    :raises BagError: if the recording can't be read, or does not have one topic of scores.
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
                try:
                    scores.append(frame_scores(message, recorded_ns - run.clock_offset_ns))
                except ScoresError as error:
                    raise BagError(f'{path}: {error}') from error
            elif name == processed:
                statuses.append(header_of(raw))
            else:
                diagnostics += values_of(recording.deserialize(raw, kind), predictor)
        return NodeOutputs(scores, statuses if processed in recording.topics else None,
                           diagnostics, run)


def values_of(message: Any, predictor: str) -> list[dict[str, str]]:
    """
    Read a predictor's values from a diagnostics message.

    :param message: a message with the fields of diagnostic_msgs/DiagnosticArray.
    :param predictor: full name of the node.
    """
    return [{str(_RENAMED.get(pair.key, pair.key)): pair.value for pair in status.values}
            for status in message.status if status.name == predictor.lstrip('/')]


def frame_scores(message: Any, received_ns: int) -> FrameScores:
    """
    Read a message of scores.

    :param message: a message with the fields of sensor_msgs/PointCloud2.
    :param received_ns: time of reception on the monotonic clock, nanoseconds.
    :raises ScoresError: if the message has no scores.
    """
    return FrameScores(stamp_to_ns(message.header.stamp), message.header.frame_id, received_ns,
                       GraspScores.of(read_scores(message)))


def _scores_topic(recording: Recording, name: str | None) -> str:
    there = [x.name for x in recording.topics.values()
             if x.type == _SCORES_TYPE and x.name.endswith(SCORES)]
    wanted = there if name is None else ['/' + name.strip('/')]
    if len(wanted) != 1 or wanted[0] not in there:
        expected = f'one of {", ".join(there)}' if there else (
            f'a topic of grasp_predictor with a name that ends with {SCORES}')
        raise BagError(f'{recording.path}: ' + (
            f'no scores on {wanted[0]}: ' if name else 'several topics of scores: ' if there
            else 'no recorded scores: ') + f'expected {expected}')
    return wanted[0]


def summarise_diagnostics(samples: Sequence[Mapping[str, str]],
                          aged: bool = True) -> dict[str, float]:
    """
    Summarise the diagnostics of a run, which come once a second.

    :param samples: values by key, in order; samples without newly scored frames do not count.
    :param aged: whether the frames have stamps of the node's clock, unlike a recording's frames.
    :returns: for each of :data:`DURATIONS` the median over the samples, milliseconds (a sample
        covers the newest 200 frames); for :data:`OUT` the share of samples that report the
        images as out of distribution, in [0, 1]. NaN if no sample has the value.
    """
    newer, before = [], 0
    for sample in samples:
        scored = int(sample.get('scored', 0))
        if scored > before:
            newer.append(sample)
        before = scored
    found = {name: _median(newer, name) if aged or not name.startswith('age') else math.nan
             for name in DURATIONS}
    flagged = [sample['out_of_distribution'] == 'yes' for sample in newer
               if 'out_of_distribution' in sample and _finite([sample], 'ood_score')]
    return found | {OUT: float(np.mean(flagged)) if flagged else math.nan}


def _median(samples: Sequence[Mapping[str, str]], name: str) -> float:
    values = _finite(samples, name)
    return float(np.median(values)) if values else math.nan


def _finite(samples: Sequence[Mapping[str, str]], name: str) -> list[float]:
    values = [float(sample.get(name, 'nan')) for sample in samples]
    return [value for value in values if math.isfinite(value)]
