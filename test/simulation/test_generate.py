"""Data sets are made as a whole, or say what they lack; no physics here: scenes are made up."""

from concurrent.futures.process import BrokenProcessPool
import copy
import json

import cv2
from moss_perception.core import parallel
from moss_perception.core.errors import ConfigError, SceneError, SimulationError
from moss_perception.data.scenes import read_shards
from moss_perception.data.schema import Sample
from moss_perception.simulation import generate as module
from moss_perception.simulation.attempt import Latencies
from moss_perception.simulation.generate import generate
from moss_perception.simulation.scene import Source
import numpy as np
import pytest

JPEG = cv2.imencode('.jpg', np.zeros((8, 8, 3), np.uint8))[1].tobytes()


class Pool:
    """Stands in for the processes: plays at once, leaves scenes out, and dies, as told."""

    unusable: tuple = ()
    dies_at: list = []
    played: list = []

    def __init__(self, *arguments):
        pass

    def map(self, play, seeds):
        for seed in seeds:
            if seed in Pool.dies_at:
                Pool.dies_at.remove(seed)
                raise BrokenProcessPool('a process in the pool was terminated abruptly')
            Pool.played.append(seed)
            yield SceneError('unstable', f'seed {seed} is unstable') if seed in Pool.unusable \
                else Sample((JPEG,), np.zeros((2, 4), np.float32), np.array([True, False]),
                            seed=seed, speed=0.0, motion='still', shape='box',
                            track=np.zeros((2, 3), np.float32))

    def shutdown(self, **_):
        pass


@pytest.fixture(autouse=True)
def pool(monkeypatch):
    monkeypatch.setattr(parallel, 'ProcessPoolExecutor', Pool)
    monkeypatch.setattr(module, 'SCENES_PER_SHARD', 3)
    Pool.unusable, Pool.dies_at, Pool.played = (), [], []
    return Pool


def seeds_in(folder):
    return [scene.seed for scene in read_shards(folder)]


def test_scenes_left_out_are_told_with_their_reasons(tmp_path, pool):
    pool.unusable = (1, 3, 4, 5)
    made = generate(tmp_path, 8, progress=False)
    assert (made.played, made.scenes, made.skipped) == (8, 4, {'unstable': 4})
    assert seeds_in(tmp_path) == [0, 2, 6, 7]
    skipped = json.loads((tmp_path / 'skipped.json').read_text())
    assert skipped['reasons'] == {'unstable': 4}
    assert skipped['scenes']['3'] == ['unstable', 'seed 3 is unstable']
    dataset = json.loads((tmp_path / 'dataset.json').read_text())
    assert (dataset['seed'], dataset['scenes'], dataset['cell']) == (0, 8, 'belt')
    assert dataset['skipped'] == {'unstable': 4}
    assert dataset['scenes_per_s'] > 0
    pool.played.clear()
    assert generate(tmp_path, 8, progress=False).played == 0
    assert pool.played == []


def test_what_a_dead_worker_was_at_is_played_again(tmp_path, pool):
    pool.dies_at = [4]
    assert generate(tmp_path, 8, progress=False).scenes == 8
    assert pool.played == list(range(8))
    assert seeds_in(tmp_path) == list(range(8))


def test_workers_that_die_over_the_same_scenes_end_it_and_what_is_there_is_unfinished(
        tmp_path, pool):
    pool.dies_at = [4, 4, 4]
    with pytest.raises(SimulationError, match='died 3 times while playing the scenes 3 to 5'):
        generate(tmp_path, 8, progress=False)
    with pytest.raises(SimulationError, match='5 of 8 scenes are missing, such as seed 3'):
        seeds_in(tmp_path)
    assert len(list(read_shards(tmp_path, unfinished=True))) == 3
    assert generate(tmp_path, 8, progress=False).played == 5
    assert seeds_in(tmp_path) == list(range(8))


def test_half_written_shard_is_noticed_and_played_again(tmp_path, pool, caplog):
    generate(tmp_path, 5, progress=False)
    path = tmp_path / 'scenes_00000003.npz'
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SimulationError, match='could not read the scenes of .*scenes_00000003'):
        seeds_in(tmp_path)
    assert generate(tmp_path, 5, progress=False).played == 2
    assert 'its scenes are played again' in caplog.text
    assert seeds_in(tmp_path) == list(range(5))


def test_folder_without_any_usable_scene_is_an_error(tmp_path, pool):
    pool.unusable = range(2)
    with pytest.raises(SimulationError, match="none of the 2 scenes could be used: .'unstable'"):
        generate(tmp_path, 2, progress=False)


def test_folder_of_other_scenes_is_refused_by_what_differs(tmp_path, pool):
    generate(tmp_path, 2, seed=4, progress=False)
    for source, seed, words in (
            (Source(domain='shifted'), 4, "domain 'sim', not 'shifted'"),
            (Source(cell='full'), 4, "cell 'belt', not 'full'"),
            (Source(motion='still'), 4, "motion '', not 'still'"),
            (Source(), 5, 'seed 4, not 5')):
        with pytest.raises(ConfigError, match=words):
            generate(tmp_path, 2, seed=seed, source=source, progress=False)
    with pytest.raises(ConfigError, match='is to hold 2 scenes: expected at least so many'):
        generate(tmp_path, 1, seed=4, progress=False)
    (tmp_path / 'dataset.json').unlink()
    with pytest.raises(ConfigError, match='holds scenes without a dataset.json'):
        generate(tmp_path, 2, seed=4, progress=False)


def test_folder_of_other_latencies_is_refused(tmp_path, pool):
    for name, latencies in (('own', Latencies()), ('given', Latencies((0.0, 0.06))),
                            ('drawn', Latencies(draws=3)), ('none', None)):
        generate(tmp_path / name, 2, progress=False, latencies=latencies)
        assert generate(tmp_path / name, 2, progress=False, latencies=latencies).played == 0
    assert 'latencies_s' not in json.loads((tmp_path / 'none' / 'dataset.json').read_text())
    for name, latencies, words in (
            ('given', None, r'latencies_s \[0.0, 0.06\], not None'),
            ('none', Latencies(), r'latencies_s None, not \[\]'),
            ('drawn', Latencies(draws=2), "latencies_s '3 drawn', not '2 drawn'")):
        with pytest.raises(ConfigError, match=words):
            generate(tmp_path / name, 2, progress=False, latencies=latencies)


def test_another_number_of_candidates_is_another_data_set(tmp_path, pool):
    generate(tmp_path, 2, progress=False, candidates=24)
    assert generate(tmp_path, 2, progress=False, candidates=24).played == 0
    with pytest.raises(ConfigError, match='candidates 24, not None'):
        generate(tmp_path, 2, progress=False)
    for wrong, words in ((-1, 'at least 0, got -1'), (1001, 'at most 1000, got 1001')):
        with pytest.raises(ConfigError, match=words):
            generate(tmp_path / 'new', 2, progress=False, candidates=wrong)


@pytest.mark.parametrize('source', [
    Source(cell='moon'), Source(domain='moon'), Source(motion='moon'), Source(split='moon'),
    Source(cell='belt', split='held_out')])
def test_unknown_source_leaves_nothing(tmp_path, source):
    with pytest.raises(ConfigError):
        generate(tmp_path / 'new', 1, source=source, progress=False)
    assert not (tmp_path / 'new').exists()


def test_unusable_scene_keeps_its_reason_on_its_way_from_a_worker():
    back = copy.copy(SceneError('contact', 'the object of seed 3'))
    assert (back.reason, str(back)) == ('contact', 'the object of seed 3')
