"""
A folder of samples: its shards, and a description of what it should hold.

The samples are simulated scenes, or were imported from recordings.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
import json
import logging
import math
from pathlib import Path
from typing import Optional

from moss_perception.core.errors import DataError, SimulationError
from moss_perception.core.files import replaced
from moss_perception.data import sample_shards
from moss_perception.data.sample_shards import count_samples, read_samples
from moss_perception.data.schema import Sample
from moss_perception.data.shards import PATTERN, read_shard, seeds_of

DATASET = 'dataset.json'
SKIPPED = 'skipped.json'
_LOG = logging.getLogger(__name__)


def read_shards(folder, unfinished: bool = False) -> Iterator[Sample]:
    """
    Read all samples of a folder, in the order of the shards' names: imported ones, then scenes.

    :param unfinished: whether scenes of ``dataset.json`` may be missing.
    :returns: an iterator of :class:`moss_perception.data.schema.Sample`; scenes of a cell file
        have its gripper's opening.
    :raises SimulationError: if there are none, a scene can't be read, or some are missing.
    :raises DataError: the same of imported samples.
    """
    imported = sorted(Path(folder).glob(sample_shards.PATTERN))
    paths = sorted(Path(folder).glob(PATTERN))
    if not (paths or imported):
        raise SimulationError(f'no scenes in {folder}: expected files {PATTERN}, or '
                              f'{sample_shards.PATTERN} of moss import')
    if not unfinished:
        check_complete(folder)
    for path in imported:
        yield from read_samples(path)
    opening_m = _opening_of(folder) if paths else math.nan
    for path in paths:
        for scene in read_shard(path):
            yield scene if math.isnan(opening_m) else replace(scene, gripper_opening_m=opening_m)


def _opening_of(folder) -> float:
    """Return how far the gripper of the folder's cell file opens, metres; NaN without one."""
    try:
        return float(load_dataset(folder)['cell_file']['gripper.opening'])
    except (KeyError, TypeError, ValueError):
        return math.nan


def in_view(samples: Iterable[Sample], limit: Optional[int] = None) -> list[Sample]:
    """
    Choose the samples with all labelled candidates in the image, and log the number of others.

    :param samples: samples with a camera matrix.
    :param limit: highest number of samples.
    :raises DataError: if a sample has no camera matrix.
    """
    chosen, outside = [], 0
    for sample in samples:
        if (sample.in_view() | ~sample.labelled).all():
            chosen.append(sample)
        else:
            outside += 1
        if limit is not None and len(chosen) >= limit:
            break
    if outside:
        _LOG.warning('%d of %d scenes have candidates outside the image and are left out',
                     outside, outside + len(chosen))
    return chosen


def load_scenes(folder, limit: Optional[int] = None, unfinished: bool = False) -> list[Sample]:
    """
    Read the scenes of a folder with all labelled candidates in the image.

    :param folder: folder of shards.
    :param limit: highest number of scenes.
    :param unfinished: whether scenes of ``dataset.json`` may be missing.
    :raises SimulationError: if there are none, one can't be read, or some are missing.
    """
    return in_view(read_shards(folder, unfinished), limit)


def load_sets(folders: Iterable, limit: Optional[int] = None) -> list[list[Sample]]:
    """
    Read several folders of scenes, each as :func:`load_scenes` does.

    :raises DataError: if a folder is named twice, or two hold a scene of the same seed and
        domain.
    """
    folders, sets, known = list(folders), [], {}
    twice = [folder for folder in folders if folders.count(folder) > 1]
    if twice:
        raise DataError(f'{twice[0]} is named {folders.count(twice[0])} times: expected each '
                        'folder once')
    for folder in folders:
        sets.append(load_scenes(folder, limit))
        for scene in sets[-1]:
            other = known.setdefault((scene.domain, scene.split, scene.seed), folder)
            if other is not folder and scene.seed is not None:
                raise DataError(f'{folder} and {other} both hold {scene.title} of {scene.domain}: '
                                'expected different scenes')
    return sets


def load_dataset(folder) -> dict:
    """
    Read the expected contents of a folder of scenes; empty if unknown.

    :raises SimulationError: if the file is damaged.
    """
    return _load(Path(folder) / DATASET)


def load_skipped(folder) -> dict:
    """
    Read the scenes that were left out.

    :returns: reason and message by seed.
    :raises SimulationError: if the file is damaged.
    """
    stored = _load(Path(folder) / SKIPPED)
    return {int(seed): tuple(why) for seed, why in stored.get('scenes', {}).items()}


def save_dataset(folder, values: dict):
    """Write the expected contents of a folder of scenes, as a whole or not at all."""
    _save(Path(folder) / DATASET, values)


def save_skipped(folder, skipped: dict):
    """
    Write the scenes that were left out, and their number for each reason.

    :param skipped: reason and message by seed.
    """
    _save(Path(folder) / SKIPPED, {
        'reasons': count_reasons(skipped),
        'scenes': {str(seed): list(skipped[seed]) for seed in sorted(skipped)}})


def count_reasons(skipped: dict) -> dict:
    """Count the scenes left out by reason."""
    return dict(sorted(Counter(reason for reason, _ in skipped.values()).items()))


def check_complete(folder):
    """
    Check that a folder has all scenes, or all imported samples, of its ``dataset.json``.

    Folders without this file, such as those of format 2, pass.

    :raises SimulationError: if scenes are missing.
    :raises DataError: if imported samples are missing.
    """
    dataset = load_dataset(folder)
    if not dataset:
        return
    if 'samples' in dataset:
        there = sum(map(count_samples, Path(folder).glob(sample_shards.PATTERN)))
        if there != dataset['samples']:
            raise DataError(f'{folder} holds {there} imported samples: expected '
                            f'{dataset["samples"]}, by its {DATASET}; run moss import again')
        return
    first, count = dataset['seed'], dataset['scenes']
    expected = set(range(first, first + count)) - load_skipped(folder).keys()
    there = {seed for path in Path(folder).glob(PATTERN) for seed in seeds_of(path)}
    missing = sorted(expected - there)
    if missing:
        raise SimulationError(
            f'{folder} is unfinished: {len(missing)} of {count} scenes are missing, such as '
            f'seed {missing[0]}; continue with moss record, or allow unfinished data')
    foreign = sorted(there - expected)
    if foreign:
        raise SimulationError(f'{folder} holds {len(foreign)} scenes that are not of its data set '
                              f'(seeds {first} to {first + count - 1}), such as seed '
                              f'{foreign[0]}')


def _load(path: Path) -> dict:
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise SimulationError(f'{path} is damaged: {error}') from error
    if not isinstance(values, dict):
        raise SimulationError(f'{path} is damaged: expected a JSON object')
    return values


def _save(path: Path, values: dict):
    try:
        with replaced(path) as partial:
            partial.write_text(json.dumps(values, indent=2) + '\n')
    except OSError as error:
        raise SimulationError(f'could not write {path}: {error.strerror or error}') from error
