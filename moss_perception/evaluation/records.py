"""What an evaluation of recordings finds: plain values, from which every report is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

LIVE = 'live'
"""Pace of a run of nodes with a camera, real or simulated."""


@dataclass(frozen=True)
class AttemptRecord:
    """
    One grasp attempt of a recording, and its score.

    :ivar attempt: its number in the recording.
    :ivar start_ns: when it began, on the recording's header stamps, nanoseconds.
    :ivar decision_ns: stamp of the newest frame that the decision was made on.
    :ivar end_ns: when it ended.
    :ivar success: its outcome.
    :ivar motion: kind of motion, empty if not recorded; ``object`` likewise.
    :ivar scored_ns: stamp of the frame whose scores count for the decision: the newest scored one
        from ``start_ns`` to ``decision_ns``; ``None`` if there is none, or it is older than the
        predictor's gap.
    :ivar score: of the executed grasp there, in [0, 1]; of the default grasp point where the
        executed grasp is not known, or was not scored; NaN if there is none.
    :ivar uncertainty: standard deviation over the ensemble, in [0, 0.5]; NaN likewise.
    :ivar ood_score: how far the frame's features are from those of training; NaN if the checkpoint
        does not say.
    :ivar source: what was scored: ``executed``, the executed grasp; ``nearest``, the candidate
        nearest to it, where a recording of scores does not say which candidate was executed;
        ``default``, the default grasp point; or ``none``.
    :ivar times_s: of each scored sample of the attempt, seconds since the decision, negative
        before it: float64, shape ``(T,)``.
    :ivar scores: of the executed grasp at each of them, NaN where unknown: float64, ``(T,)``.
    :ivar executed: whether a grasp was executed. Without one the attempt has no score and is not
        a failure.
    :ivar decision_guessed: whether the decision was not recorded, and the end stands for it.
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

    @property
    def scored_elsewhere(self) -> bool:
        """
        Tell whether the default grasp point was scored although the executed pose is known.

        ``scores`` then has no value at the decision, as the executed grasp was not scored there;
        where no pose was recorded, the default grasp point's score stands in it.
        """
        decided = np.flatnonzero(self.times_s <= 0)
        if self.source != 'default' or not len(decided):
            return False
        return bool(np.isnan(self.scores[decided[np.argmax(self.times_s[decided])]]))


@dataclass(frozen=True)
class UnmatchedOutcome:
    """
    A recorded outcome of which the recording has no images.

    :ivar attempt: its number in the recording; ``None`` where a record of before does not say.
    :ivar why: why no image is within it.
    """

    attempt: int | None
    why: str

    def __str__(self) -> str:
        return self.why if self.attempt is None else f'attempt {self.attempt}: {self.why}'


@dataclass(frozen=True)
class BagRecord:
    """
    One recording, evaluated with one checkpoint.

    :ivar path: as it was given.
    :ivar domain: what the recording is called in tables: ``sim``, ``real``, ``shifted`` …
    :ivar image_topic: as recorded.
    :ivar duration_s: of the recording, seconds.
    :ivar frames: images in it.
    :ivar fates: of these, by what became of them: ``scored``, ``stored``, ``skipped`` or
        ``refused``; they add up to ``frames``.
    :ivar refused: refused images by reason.
    :ivar missing: samples that repeat the one before, since theirs was lost.
    :ivar resets: of the window, by reason.
    :ivar elapsed_s: time that the evaluation took, seconds.
    :ivar decode_ms: of each sample, float64, shape ``(N,)``; ``inference_ms`` likewise.
    :ivar attempts: in the order of the recording.
    :ivar unmatched: outcomes that match no part of the recording.
    :ivar notes: what else the reader of a report has to know, such as how much is missing.
    :ivar lost_share: share of the recording that a damaged file no longer gives, in [0, 1].
    :ivar not_arrived: of ``frames``, how many never reached the node; only where the recording
        was played in time. With them the fates add up.
    :ivar pace: how the images came: ``offline``, ``lock step``, ``1x`` (or another rate), or
        ``live``.
    :ivar closed_loop: whether the grasps were selected by these scores, and executed.
    :ivar latency_ms: from an image's publication to its scores, each one that is known, where
        played in time: float64, shape ``(M,)``.
    :ivar verified: what a comparison with an offline replay of exactly the frames that arrived
        has found, in words; empty without one.
    :ivar pictures: of a run that no recording has the images of, JPEG files of the frames that
        film strips show, by header stamp, as far as they were kept.
    :ivar told: of a run over topics, what the node's diagnostics told of it, by name; see
        :func:`moss_perception.evaluation.diagnostics.summarise_diagnostics`.
    """

    path: str
    domain: str
    image_topic: str
    duration_s: float
    frames: int
    fates: dict[str, int]
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
    pictures: Mapping[int, bytes] = field(default_factory=dict)
    told: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Evaluation:
    """
    Recordings, evaluated with one checkpoint.

    :ivar model: name of the checkpoint's file.
    :ivar sha256: its digest.
    :ivar temperature: by which the checkpoint divides its logits.
    :ivar engine: what ran it, and ``threads``.
    :ivar model_type: the registered name of the model, such as ``moss_grasp``; empty if unknown.
    :ivar budget_level: the level of its budget, by the model's name for it; empty if unknown.
    :ivar bags: the recordings, in the order in which they were given.
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
