"""Verify recorded scores: score the received frames again, and compare."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from moss_perception.core.cameras import CameraSetup
from moss_perception.core.scores import GraspScores, Prediction, rows_of
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import CANDIDATES_TOPIC
from moss_perception.evaluation.outputs import NodeOutputs
from moss_perception.evaluation.records import AttemptRecord
from moss_perception.evaluation.replay import replay
from moss_perception.runtime.predictor import MAX_GAP_S, Predictor
import numpy as np

_VALUES = ('score', 'uncertainty')


@dataclass(frozen=True)
class Verification:
    """
    The result of replaying the received frames.

    :ivar line: the result in one line.
    :ivar agrees: whether all scores are equal.
    :ivar ood_scores: OOD scores of the frames by stamp, which the topics do not contain.
    :ivar attempts: the attempts as the replay scored them, with scores of executed grasps that
        the topics do not contain.
    """

    line: str = ''
    agrees: bool = True
    ood_scores: Mapping[int, float] = field(default_factory=dict)
    attempts: tuple[AttemptRecord, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """
    Comparison of recorded scores with an offline replay of the received frames.

    :ivar frames: number of frames with recorded scores.
    :ivar replayed: number of frames with replayed scores.
    :ivar equal: number of frames with equal scores, bit by bit.
    :ivar other_candidates: number of frames with different candidates or lead times. Messages of
        two topics have no order, so some arrive too late if played in real time.
    :ivar largest: largest difference of a score; NaN without a frame to compare.
    """

    frames: int
    replayed: int
    equal: int
    other_candidates: int
    largest: float

    @property
    def agrees(self) -> bool:
        """Whether all comparable scores are equal and none is missing."""
        return self.frames == self.replayed == self.equal + self.other_candidates

    def line(self) -> str:
        """Return the result in one line."""
        late = f' ({self.other_candidates} of them with candidates that arrived earlier or ' \
            'later, and an equal score of the default grasp)' if self.other_candidates else ''
        if self.agrees:
            return (f'the scores of all {self.frames} frames equal those of an offline replay of '
                    f'the received frames, bit for bit{late}')
        return (f'the scores DIFFER from those of an offline replay of the received frames: '
                f'of {self.frames} frames {self.equal} are equal{late}, {self.replayed} were '
                f'scored offline, and the largest difference is {self.largest:.3g}; expected '
                'equal scores with the same engine, threads, budget level and calibration')


def verify(outputs: NodeOutputs, bag: Path | str, model: Path, *,
           candidates_topic: str | None = None, executed_setup: CameraSetup | None = None,
           **options: Any) -> Verification:
    """
    Replay the received frames, and compare the scores.

    :param outputs: outputs of the predictor; the replay uses its engine, threads, level, lead
        time, and what it knew of the camera.
    :param bag: the recording of the inputs.
    :param model: the predictor's checkpoint.
    :param executed_setup: what a user said about the camera, for the executed grasps; a
        calibration in it is that of the images, which the outputs do not contain.
    :param options: further topics and the outcomes; see
        :func:`moss_perception.evaluation.replay.replay`.
    :raises MossError: if the recording or the checkpoint can't be used.
    """
    if not outputs.scores or outputs.statuses is None or not outputs.diagnostics:
        return Verification('nothing was scored' if not outputs.scores else
                            'the recording has no status of the received frames')
    values, found, ood_scores = outputs.newest, {}, {}
    predictor = Predictor.load(
        str(model), values.get('model_sha256', ''), values['engine'],
        values.get('device', 'cpu'), int(values.get('threads', 0)),
        float(values.get('max_gap', MAX_GAP_S)))
    if 'lead_time' in values:
        predictor.set_lead_time(float(values['lead_time']))
    predictor.set_level(predictor.levels.index(values['budget_level']) + 1)

    def take(prediction: Prediction) -> None:
        found[prediction.stamp_ns] = GraspScores.of(rows_of(prediction))
        ood_scores[prediction.stamp_ns] = prediction.ood_score

    with Recording(bag, salvage=True) as recording:
        name = candidates_topic or CANDIDATES_TOPIC
        # The predictor did not subscribe to other topics with candidates.
        topic = name if '/' + name.strip('/') in recording.topics else ''
    calibration = executed_setup.calibration if executed_setup is not None else None
    record = replay(
        bag, predictor, candidates_topic=topic, received=dict(outputs.statuses),
        on_prediction=take, executed_setup=outputs.executed_setup(executed_setup),
        **{**options, 'image_topic': values['topic'],
           'setup': replace(outputs.setup, calibration=calibration)})
    compared = compare(outputs, found)
    return Verification(compared.line(), compared.agrees, ood_scores, record.attempts)


def compare(outputs: NodeOutputs, replayed: Mapping[int, GraspScores]) -> Comparison:
    """
    Compare scores frame by frame.

    :param replayed: replayed scores by stamp.
    """
    equal = other = 0
    largest = [] if outputs.scores else [np.nan]
    for frame in outputs.scores:
        ours, theirs = frame.scores, replayed.get(frame.stamp_ns)
        if theirs is None:
            continue
        largest.append(_largest(ours.default, theirs.default))
        if not _same(ours.default, theirs.default):
            continue
        if not (np.array_equal(ours.positions, theirs.positions, equal_nan=True)
                and np.array_equal(ours.candidates['lead_time'], theirs.candidates['lead_time'],
                                   equal_nan=True)):
            other += 1
            continue
        largest.append(_largest(ours.candidates, theirs.candidates))
        equal += _same(ours.candidates, theirs.candidates)
    return Comparison(len(outputs.scores), len(replayed), equal, other,
                      float(np.nanmax(largest)) if np.isfinite(largest).any() else float('nan'))


def _same(ours: np.ndarray | np.void, theirs: np.ndarray | np.void) -> bool:
    return all(np.array_equal(ours[x], theirs[x], equal_nan=True) for x in _VALUES)


def _largest(ours: np.ndarray | np.void, theirs: np.ndarray | np.void) -> float:
    gaps = np.abs(np.subtract(ours['score'], theirs['score'], dtype=float))
    return float(np.nanmax(gaps)) if np.isfinite(gaps).any() else 0.0
