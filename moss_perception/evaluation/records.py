"""The results of evaluating recordings: evaluation records."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moss_perception.core.text import clean, one_line
from moss_perception.runtime.frame_status import FrameStatus, repeats
import numpy as np

LIVE = 'live'
"""Pace of a run of nodes with a camera, real or simulated."""

@dataclass(frozen=True)
class AttemptRecord:
    """
    One grasp attempt of a recording, and its score.

    :ivar attempt: number of the attempt in the recording.
    :ivar start_ns: start in header stamps, nanoseconds.
    :ivar decision_ns: stamp of the newest frame before the decision, nanoseconds.
    :ivar end_ns: end in header stamps, nanoseconds.
    :ivar motion: kind of motion; empty if not recorded.
    :ivar object: name of the object; empty if not recorded.
    :ivar scored_ns: stamp of the frame with the score that counts: the newest scored frame
        from ``start_ns`` to ``decision_ns``; ``None`` if there is none, or it is older than the
        predictor's maximum gap.
    :ivar score: score of the executed grasp in this frame, in [0, 1]; score of the default grasp
        point if the executed grasp is unknown or was not scored; NaN if there is none.
    :ivar uncertainty: standard deviation over the ensemble, in [0, 0.5]; NaN without a score.
    :ivar ood_score: OOD score of the frame; NaN if the checkpoint has no training distribution.
    :ivar source: the scored grasp: ``executed``, the executed grasp; ``nearest``, the candidate
        nearest to it, if the recorded scores do not identify the executed candidate;
        ``default``, the default grasp point; or ``none``.
    :ivar times_s: time of each scored sample, seconds since the decision, negative before it:
        float64, shape ``(T,)``.
    :ivar scores: score of the executed grasp in each sample, NaN if unknown: float64, ``(T,)``.
    :ivar executed: whether a grasp was executed. Without one the attempt has no score and is not
        a failure.
    :ivar decision_guessed: whether the decision was not recorded, so that the end is used.
    :ivar lead_time_s: lead time at which a node scored the grasp, seconds; NaN if not known.
    :ivar expected: whether the recording has executed grasps or candidates, so that the gripper
        did not close at the default grasp point. False in older records.
    :ivar why: why the executed grasp has no score, in words; empty if it has one.
    :ivar fingers: image points of the executed grasp's two fingertips, in units of the image's
        width and height: float64, shape ``(2, 2)``; ``(0,)`` if unknown.
    :ivar line: line of the table with its outcome; ``None`` if there is no table, and in older
        records.
    """

    attempt: int
    start_ns: int
    decision_ns: int
    end_ns: int
    success: bool
    motion: str = ''
    object: str = ''
    scored_ns: int | None = None
    score: float = float('nan')
    uncertainty: float = float('nan')
    ood_score: float = float('nan')
    source: str = 'none'
    times_s: np.ndarray = field(default_factory=lambda: np.zeros(0))
    scores: np.ndarray = field(default_factory=lambda: np.zeros(0))
    executed: bool = True
    decision_guessed: bool = False
    lead_time_s: float = float('nan')
    expected: bool = False
    why: str = ''
    fingers: np.ndarray = field(default_factory=lambda: np.zeros(0))
    line: int | None = None

    def __post_init__(self):
        for name in ('motion', 'object', 'why'):
            object.__setattr__(self, name, one_line(getattr(self, name)))

    @property
    def scored_executed(self) -> bool:
        """Whether the executed grasp has a score of its own."""
        return self.source in ('executed', 'nearest') and bool(np.isfinite(self.score))

    @property
    def scored_elsewhere(self) -> bool:
        """
        Whether the default grasp point was scored although another grasp was executed.

        Older records do not say so. In these ``scores`` is NaN at the decision if the executed
        pose was known but not scored.
        """
        if self.expected:
            return self.source == 'default'
        decided = np.flatnonzero(self.times_s <= 0)
        if self.source != 'default' or not len(decided):
            return False
        return bool(np.isnan(self.scores[decided[np.argmax(self.times_s[decided])]]))


@dataclass(frozen=True)
class UnmatchedOutcome:
    """
    A recorded outcome without images.

    :ivar attempt: number of the attempt in the recording; ``None`` in older records.
    :ivar why: why there is no image.
    :ivar executed: whether a grasp was executed; true in older records.
    :ivar line: line of the table with it; ``None`` if there is no table, and in older records.
    """

    attempt: int | None
    why: str
    executed: bool = True
    line: int | None = None

    def __str__(self) -> str:
        return self.why if self.attempt is None else f'attempt {self.attempt}: {self.why}'


@dataclass(frozen=True)
class BagRecord:
    """
    One recording, evaluated with one checkpoint.

    :ivar domain: domain for the tables, such as ``sim``, ``real`` or ``shifted``.
    :ivar image_topic: topic as recorded.
    :ivar duration_s: duration of the recording, seconds.
    :ivar frames: number of images.
    :ivar by_status: number of frames that were ``scored``, ``stored``, ``skipped`` or ``refused``;
        together with ``not_arrived`` they add up to ``frames``.
    :ivar refused: number of refused frames by reason.
    :ivar missing: number of samples without an image, which repeat the sample before.
    :ivar resets: number of resets of the window by reason.
    :ivar elapsed_s: duration of the evaluation, seconds.
    :ivar decode_ms: decoding time of each sample, float64, shape ``(N,)``.
    :ivar inference_ms: inference time of each sample, float64, shape ``(N,)``.
    :ivar attempts: attempts in the order of the recording.
    :ivar unmatched: outcomes without images.
    :ivar notes: further findings for the reader of a report.
    :ivar lost_share: share of the recording that can't be read, in [0, 1].
    :ivar not_arrived: number of frames that the node did not receive when the recording was
        played in real time.
    :ivar pace: ``offline``, ``lock step``, ``1x`` (or another rate) or ``live``.
    :ivar closed_loop: whether the grasps selected by these scores were executed.
    :ivar latency_ms: times from an image's publication to its scores, if played in real time:
        float64, shape ``(M,)``.
    :ivar verified: result of comparing the scores with an offline replay of the received frames,
        in words; empty without a comparison.
    :ivar diagnostics: summary of the node's diagnostics for a run over topics, by name; see
        :func:`moss_perception.evaluation.outputs.summarise_diagnostics`.
    :ivar conditions: what the evaluation was told about the run, such as its latency; see
        :mod:`moss_perception.evaluation.latencies`.
    :ivar warnings: findings that may make scores wrong or leave nothing to score; they stand
        at the top of the terminal and the report.
    :ivar doubtful: number of decoded samples that may show nothing, by
        :data:`moss_perception.core.looks.LOOKS`.
    """

    path: str
    domain: str
    image_topic: str
    duration_s: float
    frames: int
    by_status: dict[str, int]
    refused: dict[str, int]
    missing: int
    resets: dict[str, int]
    elapsed_s: float
    decode_ms: np.ndarray
    inference_ms: np.ndarray
    attempts: tuple[AttemptRecord, ...]
    unmatched: tuple[UnmatchedOutcome, ...] = ()
    notes: tuple[str, ...] = ()
    lost_share: float = 0.0
    not_arrived: int = 0
    pace: str = 'offline'
    closed_loop: bool = False
    latency_ms: np.ndarray = field(default_factory=lambda: np.zeros(0))
    verified: str = ''
    diagnostics: Mapping[str, float] = field(default_factory=dict)
    conditions: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    doubtful: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self):
        # They name topics and frames, as a recording or somebody else's file of records has them.
        object.__setattr__(self, 'domain', clean(self.domain))
        for name in ('warnings', 'notes'):
            object.__setattr__(self, name, tuple(map(one_line, getattr(self, name))))

    @property
    def repeats(self) -> str:
        """See :func:`moss_perception.runtime.frame_status.repeats`."""
        return repeats(self.missing, sum(self.by_status.get(status, 0) for status in (
            FrameStatus.SCORED, FrameStatus.STORED)))


@dataclass(frozen=True)
class Evaluation:
    """
    Recordings, evaluated with one checkpoint.

    :ivar model: name of the checkpoint's file.
    :ivar sha256: digest of the checkpoint.
    :ivar temperature: divisor of the checkpoint's logits.
    :ivar threads: threads of the engine.
    :ivar model_type: the registered name of the model, such as ``moss_grasp``; empty if unknown.
    :ivar budget_level: name of the model's budget level; empty if unknown.
    :ivar bags: the recordings, in the order given.
    """

    model: str
    sha256: str
    temperature: float
    engine: str
    threads: int
    model_type: str
    budget_level: str
    bags: tuple[BagRecord, ...]

    @property
    def network(self) -> str:
        """Say which type of model ran, and at which level; empty if unknown."""
        return ', '.join(f'{name} {value}' for name, value in (
            ('model type', self.model_type), ('budget level', self.budget_level)) if value)
