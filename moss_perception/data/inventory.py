"""The expected contents of a folder of scenes, and the scenes left out, to find missing ones."""

from collections import Counter
import json
from pathlib import Path

from moss_perception.core.errors import SimulationError
from moss_perception.core.files import replaced
from moss_perception.data.shards import read_arrays

PATTERN = 'scenes_*.npz'
DATASET = 'dataset.json'
SKIPPED = 'skipped.json'


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


def seeds_of(path) -> list:
    """
    Return the seeds of a shard's scenes.

    :raises SimulationError: if it is missing, damaged or of another format.
    """
    return read_arrays(path, ('seed',))['seed'].tolist()


def check_complete(folder):
    """
    Check that a folder has all scenes of its ``dataset.json``.

    Folders without this file, such as those of format 2, pass.

    :raises SimulationError: if scenes are missing.
    """
    dataset = load_dataset(folder)
    if not dataset:
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
    except (OSError, ValueError) as error:
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
