"""Whether a run over topics gave the scores that exactly its frames give without topics."""

from collections.abc import Mapping
import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from moss_perception.core.frames import Prediction
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.topics import CANDIDATES_TOPIC
from moss_perception.evaluation.live import Heard, Scores
import numpy as np

_FIELDS = ('x', 'y', 'z', 'score', 'uncertainty')


@dataclass(frozen=True)
class Comparison:
    """
    Scores over topics beside those of an offline replay of the frames that arrived.

    :ivar frames: that were scored over topics.
    :ivar replayed: that were scored offline.
    :ivar equal: frames of which all scores are equal, bit by bit.
    :ivar other_candidates: frames that were scored at other candidates, or none: two topics keep
        no order between them, so in time some come too late.
    :ivar largest: largest difference of a score; NaN without a frame to compare.
    :ivar novelties: how unlike training each frame is that was scored offline, by stamp.
    """

    frames: int
    replayed: int
    equal: int
    other_candidates: int
    largest: float
    novelties: Mapping[int, float] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        """Whether every score that can be compared is equal, and none is missing."""
        return self.frames == self.replayed == self.equal + self.other_candidates

    def line(self) -> str:
        """Put it in words."""
        late = f' ({self.other_candidates} of them scored at candidates that came earlier or ' \
            'later, with an equal score of the default grasp)' if self.other_candidates else ''
        if self.agrees:
            return (f'the scores of all {self.frames} frames equal those of an offline replay of '
                    f'exactly the frames that arrived, bit for bit{late}')
        return (f'the scores DIFFER from those of an offline replay of exactly the frames that '
                f'arrived: of {self.frames} frames {self.equal} are equal{late}, '
                f'{self.replayed} were scored offline, the largest difference is '
                f'{self.largest:.3g}; with one engine, threads and orders expected none')


def compare_with_replay(bag: Path | str, heard: Heard, model: Path, *,
                        candidates_topic: str = CANDIDATES_TOPIC,
                        camera_info_topic: str | None = None) -> Comparison:
    """
    Replay exactly the frames that arrived, without topics, and compare the scores.

    :param heard: of the predictor, by whose engine, threads and orders it is replayed.
    :param model: its checkpoint.
    :raises MossError: if the recording or the checkpoint can't be used.
    """
    from moss_perception.evaluation.replay import replay
    from moss_perception.runtime.predictor import MAX_GAP_S, Predictor
    said, found, novelties = heard.diagnostics, {}, {}
    predictor = Predictor.load(
        str(model), said.get('model_sha256', ''), said['engine'], said.get('device', 'cpu'),
        int(said.get('threads', 0)), float(said.get('max_gap', MAX_GAP_S)))
    predictor.set_level(predictor.levels.index(said['orders']) + 1)

    def take(prediction: Prediction) -> None:
        found[prediction.stamp_ns] = rows_of(prediction)
        novelties[prediction.stamp_ns] = prediction.novelty

    with Recording(bag, salvage=True) as recording:
        # Another topic, though it may hold candidates, is none that the predictor listened to.
        there = candidates_topic if candidates_topic in recording.topics else ''
    replay(bag, predictor, image_topic=said['topic'], candidates_topic=there,
           camera_info_topic=camera_info_topic, watch=False, arrived=dict(heard.fates),
           on_prediction=take)
    return dataclasses.replace(compare(heard, found), novelties=novelties)


def compare(heard: Heard, replayed: Mapping[int, tuple[np.ndarray, float]]) -> Comparison:
    """
    Compare scores frame by frame.

    :param replayed: rows, as the topic has them, and the default grasp's score, by stamp.
    """
    equal = other = 0
    largest = [] if heard.scores else [np.nan]
    for scores, default in zip(heard.scores, heard.defaults, strict=False):
        rows, own = replayed.get(scores.stamp_ns, (None, np.nan))
        largest.append(abs(default - own))
        if rows is None or default != own:
            continue
        if not _same_places(scores, rows):
            other += 1
            continue
        largest.append(_largest(scores.rows, rows))
        equal += all(np.array_equal(scores.rows[x], rows[x], equal_nan=True) for x in _FIELDS)
    return Comparison(len(heard.scores), len(replayed), equal, other,
                      float(np.nanmax(largest)) if np.isfinite(largest).any() else float('nan'))


def rows_of(prediction: Prediction) -> tuple[np.ndarray, float]:
    """Write a prediction as the topics do: rows of float32, and the default grasp's score."""
    table = np.array([[*prediction.default_point, prediction.score, prediction.uncertainty]])
    if len(prediction.points):
        table = np.column_stack(
            [prediction.points, prediction.scores, prediction.uncertainties])
    rows = np.empty(len(table), [(name, np.float32) for name in _FIELDS])
    for name, column in zip(_FIELDS, table.T, strict=True):
        rows[name] = column
    return rows, float(np.float32(prediction.score))


def _same_places(scores: Scores, rows: np.ndarray) -> bool:
    return len(scores.rows) == len(rows) and all(
        np.array_equal(scores.rows[x], rows[x], equal_nan=True) for x in _FIELDS[:3])


def _largest(ours: np.ndarray, theirs: np.ndarray) -> float:
    gaps = np.abs(ours['score'].astype(float) - theirs['score'])
    return float(np.nanmax(gaps)) if np.isfinite(gaps).any() else 0.0
