"""Measure the checkpoints of trained variants on the same sets of scenes."""

import logging
import os
from pathlib import Path
from typing import Any

from moss_perception.cli.common import cpu_name
from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.evaluation.scene_scores import chosen_success
from moss_perception.models.base import model_type
from moss_perception.models.manifest import read_header
import numpy as np

from study.comparison import Attempts, compare_pairs, FORMAT, measure, summarise
from study.monitoring import measure_monitoring, MonitoredGrasps
from study.shift import auroc_since
from study.texts import write_digits
from study.uncertainty import summarise_uncertainty

log = logging.getLogger('compare')

def find_checkpoints(folders: list[str]) -> list[tuple[Path, dict]]:
    """
    Find the checkpoints of training runs.

    :param folders: searched for checkpoints; ``NAME=DIR`` gives those of a folder the name of
        another variant, such as what was special about their training.
    :returns: each file with its notes, in the order of the folders and of the paths in each.
    :raises CheckpointError: if a folder has no checkpoint, or one does not name its variant.
    """
    import study.models  # noqa: F401, registers the variants
    found = []
    for word in folders:
        name, _, folder = word.rpartition('=')
        paths = sorted(path for path in Path(folder).rglob('*.safetensors')
                       if path.name != 'state.safetensors')
        if not paths:
            raise CheckpointError(f'there is no checkpoint in {folder}: expected .safetensors '
                                  'files of moss train --config')
        for path in paths:
            notes = read_header(path)[1]
            # Older checkpoints call the variant an arm.
            variant = name or notes.get('variant') or notes.get('arm')
            if not variant or 'recipe' not in notes:
                raise CheckpointError(f'checkpoint {path} does not name its model variant: '
                                      'expected one of moss train --config')
            found.append((path, {**notes, 'variant': variant}))
    return found


class Measurement:
    """
    Sets of scenes, and what is measured of each checkpoint on them.

    :param folders: of the test sets, by name.
    :param validation: of the sets by which a variant is chosen; only success is measured there.
    :param checkpoints: what :func:`find_checkpoints` returned.
    :param limit: largest number of scenes of a set; ``None`` for all.
    :param monitored: largest number of monitored grasps of a set.
    :param device: torch device.
    :raises ConfigError: if a set has no scene, or a checkpoint was trained on one of its scenes.
    """

    def __init__(self, folders: dict[str, str], validation: dict[str, str],
                 checkpoints: list[tuple[Path, dict]], limit: int | None, monitored: int,
                 device: str):
        from study.scoring import Scorer
        tests, chosen_by = (
            {name: _load(folder, limit, checkpoints) for name, folder in some.items()}
            for some in (folders, validation))
        self.checkpoints = checkpoints
        self.attempts = {name: Attempts.of(some) for name, some in tests.items()}
        self.validation = {name: Attempts.of(some) for name, some in chosen_by.items()}
        self.monitored = {name: MonitoredGrasps(some, monitored) for name, some in tests.items()}
        self.sets = {name: some.describe() for name, some in self.attempts.items()}
        for name, some in self.monitored.items():
            self.sets[name]['monitored'] = write_digits(some.success)
        self.scorer = Scorer({
            **tests, **{(name, 'monitored'): some.clips for name, some in self.monitored.items()},
            **{(name, 'validation'): some for name, some in chosen_by.items()}}, device)
        self.members: dict[str, dict[str, list[np.ndarray]]] = {}

    def run(self) -> dict[str, Any]:
        """Score every set with every checkpoint, and with each prefix of its orders."""
        from moss_perception.models.checkpoint import load_checkpoint

        from study.cost import measure_cost
        runs, costs = [], {}
        for path, notes in self.checkpoints:
            network = load_checkpoint(path)
            log.info('%s', path)
            costs.setdefault(notes['variant'], measure_cost(network))
            network.to(self.scorer.device)
            config = network.config
            levels = config.levels if model_type(config.model).streams else ('all',)
            for active in (*range(config.lowest_level(notes), len(levels)), None):
                variant = notes['variant']
                if active:
                    variant += f' orders {levels[active - 1]}'
                runs.append({
                    'variant': variant, 'seed': notes['recipe']['seed'], 'checkpoint': path.name,
                    'sha256': network.sha256, 'sets': self._measure(network, variant, active),
                    'validation': {} if active else self._validate(network)})
        return {'format': FORMAT, 'machine': f'{cpu_name()}, {os.cpu_count()} cores',
                'device': self.scorer.device, 'costs': costs, 'sets': self.sets,
                'validation': {name: some.describe() for name, some in self.validation.items()},
                'variants': summarise(runs, self.sets), 'pairs': compare_pairs(runs, self.sets),
                'uncertainty': summarise_uncertainty(self.members, self.attempts), 'runs': runs}

    def _measure(self, network: Any, variant: str, active: int | None) -> dict[str, Any]:
        """Measure one network on each test set, every scene at its own lead time."""
        found, scores = {}, {}
        for name, some in self.attempts.items():
            members, later = self._scores(network, name, active)
            self.members.setdefault(variant, {}).setdefault(name, []).append(members)
            scores[name] = members.mean(axis=1)
            found[name] = measure(scores[name], some) | later
            monitored = self.monitored[name]
            if len(monitored.success):
                found[name]['monitoring'] = measure_monitoring(self.scorer.score(
                    network, (name, 'monitored'), active).mean(axis=1), monitored)
        for name, since in auroc_since(scores, self.attempts, self.sets).items():
            found[name]['since'] = since
        return found

    def _scores(self, network: Any, name: str,
                active: int | None) -> tuple[np.ndarray, dict[str, Any]]:
        """Return the members' scores at the own lead times, and choices at all of them."""
        known = self.attempts[name].lead_times
        if known is None:
            return self.scorer.score(network, name, active), {}
        config = network.config
        if not config.time_inputs:
            members = self.scorer.score(network, name, active)
            scores = members.mean(axis=1).reshape(len(known.times_s), 1, -1)
            return members, {'lead_times': {'told': known.chosen(scores)}}
        fixed = np.full((len(known.times_s), 1), config.default_lead_time_s)
        scores = self.scorer.score_at(network, name, np.hstack([known.times_s, fixed]), active)
        mean = scores.mean(axis=3)
        return scores[:, 0].reshape(-1, scores.shape[3]), {'lead_times': {
            'told': known.chosen(mean[:, :-1]), 'fixed': known.chosen(mean[:, -1:]),
            'fixed_s': config.default_lead_time_s}}

    def _validate(self, network: Any) -> dict[str, float]:
        """Measure the success of the chosen grasp on each validation set."""
        return {name: float(chosen_success(
            self.scorer.score(network, (name, 'validation')).mean(axis=1), some.labels,
            some.groups).mean()) for name, some in self.validation.items()}


def _load(folder: str, limit: int | None, checkpoints: list[tuple[Path, dict]]) -> list:
    from moss_perception.data.scenes import load_scenes
    from moss_perception.evaluation.training_scenes import refuse_training_scenes
    scenes = load_scenes(folder, limit)
    if not scenes:
        raise ConfigError(f'{folder} has no scene whose candidates are all in view')
    for _, notes in checkpoints:
        refuse_training_scenes((scene.seed for scene in scenes), notes)
    return scenes
