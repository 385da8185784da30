"""The last layer's inputs for recorded attempts, from the same predictor as in the node."""

from collections.abc import Iterable
from typing import Any

from moss_perception.core.scores import Prediction
from moss_perception.evaluation.attempts import Attempt
from moss_perception.evaluation.batch import EvaluationInput
from moss_perception.evaluation.matching import DEFAULT
from moss_perception.evaluation.records import AttemptRecord, BagRecord
from moss_perception.evaluation.replay import replay
from moss_perception.models.layers.reading import GraspReader
from moss_perception.models.readout import Evidence, Readout
from moss_perception.runtime.predictor import Predictor
from moss_perception.runtime.torch_engine import TorchEngine
import numpy as np
import torch
from torch import Tensor


class Recorder:
    """
    Keeps the inputs of each member's last layer for each scored sample.

    :param network: network in evaluation mode.
    :ivar hidden: float64, shape ``(K, M, H)``, by the stamp of the frame, nanoseconds; row 0
        belongs to the default grasp.
    :ivar rows: row of the executed grasp, by stamp and number of the attempt.
    :ivar timed: those of which the executed grasp has a lead time of its own.
    """

    def __init__(self, network: GraspReader):
        self.hidden: dict[int, Tensor] = {}
        self.rows: dict[tuple[int, int], int] = {}
        self.timed: set[tuple[int, int]] = set()
        self._inputs: Tensor | None = None
        self._ensemble = network.config.ensemble
        self._members = network.head.members
        self._hook = self._members.register_forward_pre_hook(self._see)

    def _see(self, _: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self._inputs = inputs[0]

    @torch.inference_mode()
    def keep(self, prediction: Prediction) -> None:
        """Keep the newest inputs, which belong to this prediction."""
        assert self._inputs is not None  # the network has just scored
        hidden = self._members.hidden(self._inputs).cpu().double()
        self.hidden[prediction.stamp_ns] = hidden.unflatten(-1, (self._ensemble, -1))

    def executed(self, stamp_ns: int, attempt: Attempt, row: int,
                 lead_time_s: float | None) -> None:
        """Store the row of an attempt's executed grasp, and whether it has a lead time."""
        self.rows[stamp_ns, attempt.outcome.attempt] = row
        if lead_time_s is not None:
            self.timed.add((stamp_ns, attempt.outcome.attempt))

    def of(self, attempt: AttemptRecord) -> Tensor:
        """Return the inputs for the grasp that counts for a scored attempt: shape ``(M, H)``."""
        assert attempt.scored_ns is not None
        return self.hidden[attempt.scored_ns][
            0 if attempt.source == DEFAULT else self.rows[attempt.scored_ns, attempt.attempt]]

    def close(self) -> None:
        """Remove the hook from the network."""
        self._hook.remove()


def collect(network: GraspReader, recordings: Iterable[EvaluationInput], threads: int = 0,
            lead_time_s: float | None = None) -> tuple[Evidence, list[BagRecord]]:
    """
    Replay recordings, and keep the last layer's inputs for each attempt at its decision.

    :param network: network in evaluation mode.
    :param recordings: each with its own topics, outcomes and camera.
    :param threads: threads of torch; 0 leaves the number unchanged.
    :param lead_time_s: of executed grasps without one of their own, seconds; ``None`` for the
        network's default.
    :returns: the evidence of all attempts that are :func:`usable`, and the evaluated recordings.
    :raises BagError: if a recording can't be read.
    """
    records, hidden, outcomes, without = [], [], [], 0
    predictor = Predictor(TorchEngine(network, threads=threads), lead_time_s=lead_time_s)
    for one in recordings:
        recorder = Recorder(network)
        topics: dict[str, Any] = {**one.topics}
        try:
            record = replay(one.path, predictor, domain=one.domain, attempts_csv=one.outcomes,
                            setup=one.setup, on_prediction=recorder.keep,
                            on_executed=recorder.executed, **topics)
        finally:
            recorder.close()
        records.append(record)
        scored = [x for x in record.attempts if usable(x)]
        hidden += [recorder.of(attempt) for attempt in scored]
        outcomes += [float(attempt.success) for attempt in scored]
        without += sum((x.scored_ns, x.attempt) not in recorder.timed for x in scored)
    stacked = torch.stack(hidden) if hidden else torch.zeros(
        0, *Readout.of(network).weight.shape, dtype=torch.float64)
    # Autograd does not accept inference tensors.
    return Evidence(stacked.clone(), torch.tensor(outcomes, dtype=torch.float64),
                    without), records


def usable(attempt: AttemptRecord) -> bool:
    """Tell whether the grasp that was executed has a score, from which something can be learnt."""
    return bool(np.isfinite(attempt.score)) and not attempt.scored_elsewhere
