"""What the ensemble makes of a recording's attempts, by the very predictor of the node."""

from collections.abc import Iterable
from pathlib import Path

from moss_perception.core.frames import Prediction
from moss_perception.evaluation.records import AttemptRecord, BagRecord
from moss_perception.evaluation.replay import replay
from moss_perception.models.layers.reading import GraspReader
from moss_perception.models.readout import Evidence, Readout
from moss_perception.runtime.predictor import Predictor
from moss_perception.runtime.torch_engine import TorchEngine
import numpy as np
import torch
from torch import Tensor

# Scores travel as float32, and are computed here in float64.
_SAME_SCORE = 1e-4


class Recorder:
    """
    Keeps what the last layer of each member took, for each sample that was scored.

    :param network: in evaluation mode.
    :ivar hidden: float64, shape ``(K, M, H)``, by the stamp of the frame, nanoseconds.
    """

    def __init__(self, network: GraspReader):
        self.hidden: dict[int, Tensor] = {}
        self._inputs: Tensor | None = None
        self._ensemble = network.config.ensemble
        self._members = network.head.members
        self._hook = self._members.register_forward_pre_hook(self._see)

    def _see(self, _: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._inputs = inputs[0]

    @torch.inference_mode()
    def keep(self, prediction: Prediction) -> None:
        """Keep what was seen last: it is this prediction's."""
        hidden = self._members.hidden(self._inputs).cpu().double()
        self.hidden[prediction.stamp_ns] = hidden.unflatten(-1, (self._ensemble, -1))

    def close(self) -> None:
        """Let the network be as it was."""
        self._hook.remove()


def collect(network: GraspReader, paths: Iterable[str | Path], threads: int = 0,
            **options) -> tuple[Evidence, list[BagRecord]]:
    """
    Replay recordings, and keep what was made of each attempt when it was decided.

    :param network: in evaluation mode.
    :param paths: of the recordings.
    :param threads: of torch; 0 leaves them as they are.
    :param options: for :func:`moss_perception.evaluation.replay.replay`.
    :returns: of all attempts that have a score; and the recordings, as they were evaluated.
    :raises BagError: if a recording can't be read.
    """
    readout, records, hidden, outcomes = Readout.of(network), [], [], []
    predictor = Predictor(TorchEngine(network, threads=threads))
    for path in paths:
        recorder = Recorder(network)
        try:
            record = replay(path, predictor, watch=False, on_prediction=recorder.keep, **options)
        finally:
            recorder.close()
        records.append(record)
        for attempt in record.attempts:
            row = _row(attempt, recorder.hidden, readout)
            if row is not None:
                hidden.append(row)
                outcomes.append(float(attempt.success))
    shape = readout.weight.shape
    stacked = torch.stack(hidden) if hidden else torch.zeros(0, *shape, dtype=torch.float64)
    # Inference tensors take no part in what is to be fitted.
    return Evidence(stacked.clone(), torch.tensor(outcomes, dtype=torch.float64)), records


def _row(attempt: AttemptRecord, hidden: dict[int, Tensor], readout: Readout) -> Tensor | None:
    """Find the grasp that was scored for an attempt, by its score: shape ``(M, H)``."""
    rows = hidden.get(attempt.scored_ns)
    if rows is None or not np.isfinite(attempt.score):
        return None
    gaps = np.abs(readout.scores(Evidence(rows, torch.zeros(len(rows)))) - attempt.score)
    nearest = int(gaps.argmin())
    return rows[nearest] if gaps[nearest] <= _SAME_SCORE else None
