"""``moss ood``: fit or compare the detectors of out-of-distribution (OOD) images."""

import argparse
import json
import logging
from pathlib import Path

from moss_perception.cli.common import write_text
from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.core.resources import model_path
from moss_perception.models.manifest import read_header, verify
from tqdm import tqdm

log = logging.getLogger('ood')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    actions = parser.add_subparsers(dest='action', required=True)
    fit = actions.add_parser('fit', help='fit the distribution of the training images and store '
                                         'it in a new checkpoint (moss train does so already)')
    fit.add_argument('--out', required=True, help='checkpoint to write (.safetensors)')
    fit.add_argument('--replace', action='store_true', help='allow --out to overwrite a file')
    measure = actions.add_parser('measure', help='compare OOD features and distances')
    measure.add_argument('--usual', required=True, metavar='DIR',
                         help='in-distribution scenes that were not used for training')
    measure.add_argument('--shifted', required=True, metavar='DIR', help='out-of-distribution '
                                                                         'scenes')
    measure.add_argument('--limit', type=int, default=200, metavar='N',
                         help='use at most N scenes of each folder, and five times as many of '
                              'the training scenes (%(default)s)')
    measure.add_argument('--out', metavar='FILE', help='also write the JSON to this file')
    for action in fit, measure:
        action.add_argument('--scenes', required=True, metavar='DIR',
                            help='the training scenes of the checkpoint')
        action.add_argument('--model', default='', help='checkpoint (default: the shipped one)')
        action.add_argument('--sha256', default='', help='SHA-256 of the checkpoint (default: the '
                                                         'one in '
                                              'SHA256SUMS)')


def run(arguments: argparse.Namespace) -> int:
    """Run the action ``fit`` or ``measure``."""
    return {'fit': fit, 'measure': measure}[arguments.action](arguments)


def fit(arguments: argparse.Namespace) -> int:
    """Fit the distribution of a checkpoint, and write a new checkpoint with its graphs."""
    from moss_perception.data.scenes import load_scenes
    from moss_perception.models.checkpoint import load_checkpoint
    from moss_perception.runtime.torch_engine import TorchEngine
    from moss_perception.training.derive import refuse_existing, write_derived
    from moss_perception.training.ood import learn_distribution
    path, out = model_path(arguments.model), Path(arguments.out)
    if not arguments.replace:
        refuse_existing(out)
    network = load_checkpoint(path, arguments.sha256)
    notes = read_header(path)[1]
    # Training uses the first scenes in the folder's order, and leaves out only the last ones.
    scenes = load_scenes(arguments.scenes, notes.get('scenes'))
    _require_training_scenes(scenes, notes)
    watched = bool(notes.get('recipe', {}).get('monitor'))
    distribution = learn_distribution(TorchEngine(network), scenes, watched)
    notes['lineage'] = [*notes.get('lineage', []), {'from': network.sha256, 'by': 'ood fit'}]
    digest = write_derived(out, network, notes, distribution)
    log.info('wrote %s, sha256 %s', out, digest)
    return 0


def measure(arguments: argparse.Namespace) -> int:
    """Print how well each feature and distance separates the shifted scenes from the others."""
    from moss_perception.data.scenes import load_scenes
    from moss_perception.evaluation.comparison import compare_features
    from moss_perception.runtime.engine import load_engine
    from moss_perception.training.dataset import split
    from moss_perception.training.ood import spread_out
    path, most = model_path(arguments.model), arguments.limit
    engine = load_engine(str(path), arguments.sha256, threads=1)
    notes = read_header(path)[1]
    scenes = load_scenes(arguments.scenes, notes.get('scenes'))
    _require_training_scenes(scenes, notes)
    fitted, held_out = split(scenes)
    chosen = {'fitted': spread_out(fitted, 4 * most), 'held_out': spread_out(held_out, most)}
    for name, folder in (('in_distribution', arguments.usual), ('ood', arguments.shifted)):
        chosen[name] = spread_out(load_scenes(folder), most)
    sets = {name: _all_features(engine, tqdm(some, desc=name, unit='scene', disable=None))
            for name, some in chosen.items()}
    result = {'model_sha256': verify(path, arguments.sha256),
              'scenes': {name: len(some) for name, some in chosen.items()},
              'rows': compare_features(sets)}
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out:
        write_text(Path(arguments.out), text + '\n')
    return 0


def _all_features(engine, scenes) -> dict:
    """Compute several descriptions of scenes: the head's map, the MOSS map and the pixels."""
    from moss_perception.runtime.ood import describe
    from moss_perception.training.ood import step_window
    import numpy as np
    found: dict[str, list] = {}
    for scene in scenes:
        maps, motion = step_window(engine, scene)
        head, moss = describe(maps[-1]), describe(motion)
        half = len(head) // 2
        each = {"head's map, mean": head[:half], "head's map, mean and spread": head,
                "order 1 of the head's map, mean and spread": describe(maps[0]),
                "head's map, quarters": _quarters(maps[-1]),
                'MOSS map, mean': moss[:len(moss) // 2], 'MOSS map, mean and spread': moss,
                'both maps, mean and spread': np.concatenate([head, moss]),
                'pixels, mean and spread': describe(scene.newest(1)[0])}
        for name, values in each.items():
            found.setdefault(name, []).append(values)
    return {name: np.array(values) for name, values in found.items()}


def _quarters(context):
    """Average each channel over each quarter of the map."""
    height, width, channels = context.shape
    rows = context[:height // 2 * 2, :width // 2 * 2]
    return rows.reshape(2, height // 2, 2, width // 2, channels).mean(axis=(1, 3)).ravel()


def _require_training_scenes(scenes: list, notes: dict) -> None:
    """Refuse scenes that the checkpoint was not trained on."""
    if 'seeds' not in notes:
        raise CheckpointError('the checkpoint does not name its training scenes: '
                              "expected 'seeds' in its notes")
    first, last = notes['seeds']
    foreign = [scene.seed for scene in scenes if not first <= scene.seed <= last]
    if foreign:
        raise ConfigError(f'the checkpoint was not trained on scene {foreign[0]}: expected seeds '
                          f'{first} to {last}')
