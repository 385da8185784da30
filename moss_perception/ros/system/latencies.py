"""The parts of an evaluation at several latencies: what each part's nodes are told."""

from collections.abc import Mapping
from dataclasses import dataclass
import hashlib
from pathlib import Path
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.core.resources import model_path
from moss_perception.evaluation.latencies import DEFAULT, STREAM, TOLD
from moss_perception.evaluation.record_files import read_evaluation
from moss_perception.evaluation.training_scenes import refuse_training_scenes
from moss_perception.models.manifest import read_header, verify
from moss_perception.ros.system.processes import not_allowed, whole_number
from moss_perception.runtime.lead_times import stream_lead_time
from moss_perception.simulation.cells import Cell, cell_named

# The longest of sim_cell's parameter.
_LONGEST_S = 2.0


@dataclass(frozen=True)
class Part:
    """
    One latency, and one way in which the predictor learns the lead time.

    :ivar latency_s: of the cell, seconds.
    :ivar way: one of :data:`moss_perception.evaluation.latencies.WAYS`.
    :ivar grip_s: time from the start of the gripper until the fingers close, seconds.
    :ivar used_s: lead time at which the checkpoint scores grasps in this way, seconds; ``None``
        without time inputs.
    :ivar sha256: digest of the checkpoint.
    """

    latency_s: float
    way: str
    grip_s: float
    used_s: float | None
    sha256: str

    @property
    def name(self) -> str:
        """Name of the part in files and tables, such as ``60ms_told``."""
        return f'{1000 * self.latency_s:g}ms_{self.way}'

    @property
    def of_cell(self) -> dict[str, Any]:
        """Parameters of sim_cell."""
        return {'latency': self.latency_s, 'lead_times': self.way == TOLD}

    @property
    def of_predictor(self) -> dict[str, Any]:
        """Parameters of grasp_predictor."""
        return {'lead_time': self.latency_s + self.grip_s} if self.way == STREAM else {}

    def conditions(self, given: Mapping[str, str], domain: str) -> dict[str, Any]:
        """
        Return what is stored with the results: everything that they depend on.

        :param given: the arguments of the evaluation.
        :param domain: domain of the scenes.
        """
        params = given['params_file'] and Path(given['params_file']).expanduser().read_bytes()
        return {
            'latency_s': self.latency_s, 'way': self.way, 'lead_time_s': self.used_s,
            'domain': domain, 'cell': cell_of(given).described or cell_of(given).name,
            'seed': whole_number('sim_seed', given['sim_seed']),
            'attempts': whole_number('attempts', given['attempts'], 1),
            'lock_step': given['lock_step'], 'sha256': self.sha256,
            'params': hashlib.sha256(params).hexdigest() if params else ''}


def parts_of(given: Mapping[str, str]) -> list[Part]:
    """
    Return the parts for the argument ``latencies``.

    A checkpoint without time inputs has one way, since it takes no lead time.

    :raises ConfigError: if the latencies are not ascending numbers in range.
    :raises CheckpointError: if the checkpoint can't be read.
    """
    path = model_path(given['model'])
    config, sha256 = read_header(path)[0], verify(path)
    ways = (TOLD, STREAM, DEFAULT) if config.time_inputs else (DEFAULT,)
    grip_s = cell_of(given).gripper.grip_s
    return [Part(latency_s, way, grip_s, stream_lead_time(
        config, None if way == DEFAULT else latency_s + grip_s) if config.time_inputs else None,
        sha256) for latency_s in _latencies(given['latencies']) for way in ways]


def refuse_seeds(given: Mapping[str, str]) -> None:
    """
    Refuse a closed loop on scenes that the checkpoint was trained on.

    A checkpoint that was trained on recordings only names no scenes.

    :param given: the arguments of the evaluation.
    :raises CheckpointError: if the checkpoint can't be read.
    :raises ConfigError: if the argument ``sim_seed`` leads to such scenes.
    """
    first = whole_number('sim_seed', given['sim_seed'])
    attempts = whole_number('attempts', given['attempts'], 1)
    notes = read_header(model_path(given['model']))[1]
    if 'seeds' in notes:
        try:
            refuse_training_scenes(range(first, first + attempts), notes)
        except ConfigError as error:
            raise not_allowed('sim_seed', given['sim_seed'], str(error)) from None


def cell_of(given: Mapping[str, str]) -> Cell:
    """Return the cell of an evaluation; the default is that of sim_cell."""
    return cell_named(given['sim_cell'] or 'full')


def _latencies(text: str) -> list[float]:
    try:
        values = [float(word) for word in text.split(',')]
    except ValueError:
        values = []
    fitting = all(0 <= value <= _LONGEST_S for value in values)
    if not values or not fitting or sorted(set(values)) != values:
        raise not_allowed('latencies', text, 'expected ascending seconds from 0 to '
                          f'{_LONGEST_S:g}, such as 0,0.06,0.12')
    return values


def is_done(record: Path, conditions: Mapping[str, Any]) -> bool:
    """
    Tell whether an earlier run has completed a part.

    :param record: file of the part's results.
    :raises ConfigError: if it holds results of other conditions.
    """
    if not record.exists():
        return False
    there = read_evaluation(record).bags[0].conditions
    for name, value in conditions.items():
        if there.get(name) != value:
            raise ConfigError(f'{record} holds results of {name} {there.get(name)!r}, not '
                              f'{value!r}: expected another folder in the argument out')
    return True
