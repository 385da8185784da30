"""Play many scenes in several processes and write shards."""

from contextlib import closing
from dataclasses import dataclass
from functools import partial
import logging
from pathlib import Path
import time
from typing import Optional, Union

from moss_perception.core.errors import ConfigError, SceneError, SimulationError, WorkerError
from moss_perception.core.parallel import in_order, MAX_DEATHS, PROCESSES
from moss_perception.data.scenes import (
    count_reasons,
    DATASET,
    load_dataset,
    load_skipped,
    save_dataset,
    save_skipped,
)
from moss_perception.data.schema import Sample
from moss_perception.data.shards import FORMAT, PATTERN, seeds_of, shard_path, write_shard
from moss_perception.simulation.attempt import Latencies, play
from moss_perception.simulation.camera import Lens
from moss_perception.simulation.renderer import process_renderer
from moss_perception.simulation.scene import BELT_SIM, Source
from tqdm import tqdm

SCENES_PER_SHARD = 50
# Each is executed: more than this is a mistake.
MAX_CANDIDATES = 1000
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Generated:
    """
    Result of a run.

    :ivar played: number of scenes played in this run, including those left out.
    :ivar scenes: number of scenes in the folder.
    :ivar skipped: number of scenes of the folder that were left out, by reason.
    :ivar scenes_per_s: scenes played per second in this run; NaN if none were played.
    """

    played: int
    scenes: int
    skipped: dict
    scenes_per_s: float


def generate(folder, scenes: int, seed: int = 0, workers: int = 1, source: Source = BELT_SIM,
             progress: bool = True, latencies: Optional[Latencies] = None,
             candidates: int = 0, executor: str = PROCESSES) -> Generated:
    """
    Play scenes ``seed`` to ``seed + scenes - 1`` and write shards of 50; keep existing shards.

    A scene that cannot be used is left out and listed with its reason in ``skipped.json``.
    ``dataset.json`` describes the complete data set. If a worker dies, its scene is played again.

    :param folder: folder for the shards; created if missing.
    :param scenes: number of scenes, at least 1, including those that will be left out.
    :param seed: seed of the first scene.
    :param workers: number of processes, at least 1.
    :param source: what scenes are drawn from.
    :param progress: whether to show a progress bar.
    :param latencies: further latencies at which each candidate is executed, and ``None`` to keep
        no lead times.
    :param candidates: number of candidates of each scene; 0 for the cell's number.
    :param executor: one of :data:`moss_perception.core.parallel.EXECUTORS`.
    :raises ConfigError: if an argument is out of range, or the folder holds different scenes.
    :raises SimulationError: if scenes cannot be played or stored.
    """
    for name, value, least in (('scenes', scenes, 1), ('seed', seed, 0), ('workers', workers, 1),
                               ('candidates', candidates, 0)):
        if value < least:
            raise ConfigError(f'{name} must be at least {least}, got {value}')
    if candidates > MAX_CANDIDATES:
        raise ConfigError(f'candidates must be at most {MAX_CANDIDATES}, got {candidates}')
    source.sample(seed)
    run = _Run(Path(folder), range(seed, seed + scenes), source, latencies, candidates)
    missing = run.missing()
    todo = sum(len(shard) for shard in missing)
    started = time.monotonic()
    with tqdm(total=scenes, initial=scenes - todo, unit='scene', disable=not progress) as bar:
        run.play(missing, workers, bar, executor)
    seconds = time.monotonic() - started
    return run.finish(todo, seconds, workers)


class _Run:
    """One data set that is being recorded."""

    def __init__(self, folder: Path, seeds: range, source: Source,
                 latencies: Optional[Latencies], candidates: int):
        self._folder = folder
        self._seeds = seeds
        self._source = source
        self._latencies = latencies
        self._candidates = candidates
        self._skipped = load_skipped(folder)
        self._describe()

    def _describe(self):
        """Write the description of the data set before its first scene."""
        wanted = {'format': FORMAT, **self._source.described(), 'seed': self._seeds.start,
                  'latencies_s': _described(self._latencies),
                  'candidates': self._candidates or None}
        there = load_dataset(self._folder)
        if not there and any(self._folder.glob(PATTERN)):
            raise ConfigError(f'{self._folder} holds scenes without a {DATASET}: '
                              'expected another folder, or an empty one')
        for name, value in wanted.items():
            if there and there.get(name) != value:
                raise ConfigError(f'{self._folder} holds scenes of the {name} '
                                  f'{there.get(name)!r}, not {value!r}')
        if there.get('scenes', 0) > len(self._seeds):
            raise ConfigError(f'{self._folder} is to hold {there["scenes"]} scenes: expected at '
                              f'least so many to be asked for, got {len(self._seeds)}')
        for name in ('latencies_s', 'candidates'):
            if wanted[name] is None:
                del wanted[name]
        self._dataset = {**there, **wanted, 'scenes': len(self._seeds)}
        self._dataset.setdefault('seconds', 0.0)
        self._dataset.setdefault('played', 0)
        save_dataset(self._folder, self._dataset)

    def missing(self) -> list:
        """Return the incomplete shards as ranges of seeds."""
        shards = (range(first, min(first + SCENES_PER_SHARD, self._seeds.stop))
                  for first in self._seeds[::SCENES_PER_SHARD])
        return [shard for shard in shards if not self._is_there(shard)]

    def _is_there(self, shard: range) -> bool:
        path = shard_path(self._folder, shard[0])
        try:
            there = set(seeds_of(path)) if path.exists() else set()
            return there | (self._skipped.keys() & set(shard)) == set(shard)
        except SimulationError as error:
            _LOG.warning('%s; its scenes are played again', error)
            return False

    def play(self, missing: list, workers: int, bar: tqdm, executor: str):
        """Play shards in order, and write each as soon as it is complete."""
        seeds = [seed for shard in missing for seed in shard]
        play_one = partial(_play, source=self._source, latencies=self._latencies,
                           candidates=self._candidates)
        with closing(in_order(play_one, seeds, workers, 'scene {}'.format, executor)) as coming:
            for shard in missing:
                played = []
                try:
                    for _ in shard:
                        played.append(next(coming))
                        bar.update()
                except WorkerError as error:
                    raise SimulationError(
                        f'workers died {MAX_DEATHS} times while playing the scenes {shard[0]} to '
                        f'{shard[-1]} into {self._folder}') from error
                self._store(shard, played)

    def _store(self, shard: range, played: list):
        """List the scenes that were left out, then write a shard."""
        self._skipped = {seed: why for seed, why in self._skipped.items() if seed not in shard}
        self._skipped.update({seed: (item.reason, str(item))
                              for seed, item in zip(shard, played, strict=True)
                              if isinstance(item, SceneError)})
        save_skipped(self._folder, self._skipped)
        scenes = [item for item in played if isinstance(item, Sample)]
        if scenes:
            write_shard(shard_path(self._folder, shard[0]), scenes, Lens().matrix)
        else:
            shard_path(self._folder, shard[0]).unlink(missing_ok=True)

    def finish(self, played: int, seconds: float, workers: int) -> Generated:
        """Complete ``dataset.json`` and return the summary."""
        reasons = count_reasons(self._skipped)
        if played:
            self._dataset['played'] += played
            self._dataset['seconds'] = round(self._dataset['seconds'] + seconds, 1)
            self._dataset['workers'] = workers
            self._dataset['scenes_per_s'] = round(
                self._dataset['played'] / max(self._dataset['seconds'], 0.1), 3)
        self._dataset['skipped'] = reasons
        save_dataset(self._folder, self._dataset)
        if not any(self._folder.glob(PATTERN)):
            raise SimulationError(
                f'none of the {len(self._seeds)} scenes could be used: {reasons}')
        return Generated(played, len(self._seeds) - len(self._skipped), reasons,
                       played / seconds if played else float('nan'))


def _described(latencies: Optional[Latencies]) -> Union[None, str, list]:
    """Describe latencies in the data set's file: their values, or the number of draws."""
    if latencies is None:
        return None
    return f'{latencies.draws} drawn' if latencies.draws else list(latencies.values_s)


def _play(seed: int, source: Source, latencies: Optional[Latencies],
          candidates: int) -> Union[Sample, SceneError]:
    try:
        return play(source.sample(seed), process_renderer(), candidates, latencies)
    except SceneError as error:
        return error
