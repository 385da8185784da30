"""Many scenes, played by several processes, into shards."""

from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
import os
import signal

from moss_perception.errors import ConfigError, SimulationError
from moss_perception.simulation.camera import camera_matrix
from moss_perception.simulation.dataset import read_shard, Scene, shard_path, write_shard
from moss_perception.simulation.domains import domain_named
from tqdm import tqdm

SCENES_PER_SHARD = 50
_renderer = None


def _play(seed: int, domain: str, motion: str) -> Scene:
    """Play one scene in a worker, which keeps its renderer."""
    global _renderer
    from moss_perception.simulation.attempt import play
    from moss_perception.simulation.renderer import Renderer
    from moss_perception.simulation.scene import sample_scene
    if _renderer is None:
        _renderer = Renderer()
    return play(sample_scene(seed, domain_named(domain), motion), _renderer)


def _is_there(folder, shard: range, domain: str) -> bool:
    """Tell whether a shard has been written; one of a shorter run before has not."""
    path = shard_path(folder, shard[0])
    if not path.exists():
        return False
    there = read_shard(path)
    if there[0].domain != domain:
        raise ConfigError(f'{path} holds scenes of the domain {there[0].domain!r}, not {domain!r}')
    return len(there) >= len(shard)


def generate(folder, scenes: int, seed: int = 0, workers: int = 1, domain: str = 'sim',
             motion: str = '', progress: bool = True) -> int:
    """
    Play scenes ``seed`` to ``seed + scenes - 1`` and write shards of 50; those there are kept.

    :param folder: where the shards go; made if missing.
    :param scenes: how many, at least 1.
    :param seed: of the first.
    :param workers: processes, at least 1.
    :param domain: one of ``domains.DOMAINS``.
    :param motion: one of ``motions.MOTIONS``; empty for a mixture.
    :param progress: whether to show a bar.
    :returns: how many scenes were played now.
    :raises ConfigError: if an argument is out of range, or the folder holds another domain.
    :raises SimulationError: if a scene can't be played or stored.
    """
    for name, value, least in (('scenes', scenes, 1), ('seed', seed, 0), ('workers', workers, 1)):
        if value < least:
            raise ConfigError(f'{name} must be at least {least}, got {value}')
    domain_named(domain)
    shards = (range(first, min(first + SCENES_PER_SHARD, seed + scenes))
              for first in range(seed, seed + scenes, SCENES_PER_SHARD))
    missing = [shard for shard in shards if not _is_there(folder, shard, domain)]
    seeds = [number for shard in missing for number in shard]
    # One software renderer a worker is faster than each spreading over all cores.
    os.environ.setdefault('LP_NUM_THREADS', '1')
    # Ctrl-C is the parent's to handle: it stops the workers.
    pool = ProcessPoolExecutor(workers, get_context('spawn'), signal.signal,
                               (signal.SIGINT, signal.SIG_IGN))
    try:
        with tqdm(pool.map(partial(_play, domain=domain, motion=motion), seeds),
                  total=scenes, initial=scenes - len(seeds), unit='scene',
                  disable=not progress) as played:
            coming = iter(played)
            for shard in missing:
                write_shard(shard_path(folder, shard[0]),
                            [next(coming) for _ in shard], camera_matrix())
    except BrokenProcessPool as error:
        raise SimulationError(f'a worker died while playing scenes into {folder}') from error
    finally:
        pool.shutdown(cancel_futures=True)
    return len(seeds)
