"""``moss train`` and ``moss export``: train a network, and export it for ONNX Runtime."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING

from moss_perception.cli.common import add_sha256, UsageError
from moss_perception.core.errors import ConfigError
from moss_perception.core.resources import model_path, share_directory

if TYPE_CHECKING:
    from moss_perception.training.fit import Plan


def add_train(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss train``."""
    parser.set_defaults(handler=train)
    parser.description = (parser.description or '') + (
        ' For example, fine-tune the shipped model on your recordings and on simulated scenes: '
        'moss train --data mine=1 sim=0.1 --initial models/grasp_moss.safetensors --hold-out '
        'friday. To use several processes, call torchrun --nproc-per-node N -m moss_perception '
        'train ..., with --folder instead of --run, which is an option of torchrun.')
    parser.add_argument('--data', required=True, nargs='+', metavar='DIR[=WEIGHT]',
                        help='folders of moss import or moss record --out; a weight is how often '
                             'an epoch draws each of their samples, such as mine=3 sim=0.1 '
                             '(default: 1)')
    parser.add_argument('--config', metavar='FILE',
                        help='YAML file of a model variant, such as study/variants/moss_12.yaml; '
                             'options given here take precedence (default with --initial: '
                             'config/finetune.yaml)')
    parser.add_argument('--out', metavar='FILE',
                        help='checkpoint to write (default: named after the variant, or grasp, in '
                             'the folder of --run); not in the folder of shipped models; never '
                             'overwritten; its model card is written beside it')
    # --run is also an option of torchrun.
    parser.add_argument('--run', '--folder', metavar='DIR',
                        help='folder for the log and the resumable state (default: runs/train, '
                             'with --config runs/variants/NAME_seed_SEED, with --initial alone '
                             'runs/finetuned)')
    for name, meaning, default in (
            ('scenes', 'highest number of scenes to use of each folder', 'all'),
            ('epochs', 'number of passes over the scenes', 8),
            ('batch', 'clips per step', 8),
            ('seed', 'random seed', 0)):
        parser.add_argument(f'--{name}', type=int, metavar='N',
                            help=f'{meaning} (default: {default})')
    parser.add_argument('--model', metavar='TYPE',
                        help='type of the model, such as recurrent_grasp (default: moss_grasp)')
    parser.add_argument('--orders', type=int, metavar='N',
                        help='highest self-similarity order of a model with MOSS (default: 3)')
    parser.add_argument('--image-size', type=int, metavar='PIXELS',
                        help='side of the square input (default: 128)')
    parser.add_argument('--initial', metavar='FILE', default='',
                        help='checkpoint to begin with, such as models/grasp_moss.safetensors: '
                             'all its weights if the layers are the same, else those of the '
                             'backbone and the head; without a model in --config, its network '
                             'too')
    parser.add_argument('--gripper-opening', type=float, metavar='M',
                        help='distance between the open fingers of your gripper, in metres, in '
                             'units of which the network sees grasps (default: that of the data, '
                             'by moss import --gripper-opening or a cell file; else that of '
                             '--initial)')
    parser.add_argument('--hold-out', metavar='DIR', nargs='+', default=[],
                        help='folders, as of --data, all of whose samples are held out, such as '
                             'an imported recording of another day')
    parser.add_argument('--hold-out-by', metavar='GROUP', default='',
                        help='hold out whole groups of --data, such as day, object, bag or '
                             'operator, about a tenth of the samples (default: every tenth '
                             'sample)')
    parser.add_argument('--cache', metavar='DIR', type=Path,
                        help="cache the features of the backbone's frozen stages in this folder, "
                             'about 16 KB per frame; saves a third of the time of each training '
                             'with the same seed; needs frozen_stages: 2')
    parser.add_argument('--only-cache', action='store_true',
                        help='only compute the features of all epochs, without training')
    parser.add_argument('--device', default='cpu', metavar='NAME',
                        help='device of torch, such as cuda (default: %(default)s)')
    parser.add_argument('--threads', type=int, default=0, metavar='N',
                        help='number of threads (default: torch chooses)')
    parser.add_argument('--workers', type=int, default=0, metavar='N',
                        help='processes that prepare clips for a fast device (default: the '
                             'training process prepares them)')
    parser.add_argument('--graphs', action=argparse.BooleanOptionalAction, default=None,
                        help='export graphs for ONNX Runtime (default: yes, but no with --config)')


def read_arguments(arguments: argparse.Namespace) -> 'Plan':
    """
    Combine the configuration file with the command line, which takes precedence.

    :raises ConfigError: if the file or a value is not allowed.
    """
    from moss_perception.data.schema import check_opening
    from moss_perception.training.fit import Plan
    from moss_perception.training.settings import read_settings, Settings
    presets = share_directory() / 'config' / 'finetune.yaml'
    # A model that is named is trained anew, and takes backbone and head only.
    tuned = arguments.initial and not arguments.config and not arguments.model
    file = arguments.config or (presets if tuned else '')
    settings = read_settings(file) if file else Settings()
    if arguments.model:
        settings = replace(settings, model=arguments.model)
    given = {name: getattr(arguments, name) for name in (
        'orders', 'image_size', 'epochs', 'batch', 'seed')}
    if arguments.gripper_opening is not None:
        given['gripper_half_width_m'] = check_opening(arguments.gripper_opening) / 2
    settings = settings.changed(**{k: v for k, v in given.items() if v is not None})
    run = Path(arguments.run or (
        f'runs/variants/{settings.name}_seed_{settings.recipe().seed}' if arguments.config
        else 'runs/finetuned' if tuned else 'runs/train'))
    return Plan(
        settings, run, Path(arguments.out or run / f'{settings.name or "grasp"}.safetensors'),
        arguments.initial, arguments.hold_out_by, arguments.cache, arguments.only_cache,
        arguments.device, arguments.threads, arguments.workers,
        arguments.graphs if arguments.graphs is not None else not arguments.config)


def read_sets(texts: Sequence[str]) -> list[tuple[str, float]]:
    """
    Read the folders to train on, each with its weight.

    :param texts: each ``DIR`` or ``DIR=WEIGHT``.
    :raises ConfigError: if a weight is not a number above 0.
    """
    sets = []
    for text in texts:
        folder, _, weight = text.rpartition('=')
        if not folder or Path(text).exists():
            sets.append((text, 1.0))
            continue
        try:
            value = float(weight)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise ConfigError(f'--data {text}: expected DIR=WEIGHT with a weight above 0, such as '
                              f'{folder}=3')
        sets.append((folder, value))
    return sets


def train(arguments: argparse.Namespace) -> int:
    """Train on folders of samples, and write the checkpoint, its model card and its graphs."""
    from moss_perception.cli.model_card import refuse_existing_card, write_card
    from moss_perception.data.scenes import load_sets
    from moss_perception.training.fit import fit
    from moss_perception.training.selection import SampleSet
    if arguments.hold_out and arguments.hold_out_by:
        raise UsageError(f'--hold-out and --hold-out-by {arguments.hold_out_by}: expected one of '
                         'them')
    plan = read_arguments(arguments)
    named = [*((*one, False) for one in read_sets(arguments.data)),
             *((folder, 1.0, True) for folder in arguments.hold_out)]
    refuse_existing_card(plan.out)
    loaded = load_sets([folder for folder, *_ in named], arguments.scenes)
    sets = [SampleSet(Path(folder).resolve().name, len(samples), weight, held_out)
            for (folder, weight, held_out), samples in zip(named, loaded, strict=True)]
    fit(plan, sum(loaded, []), sets, write_card)
    return 0


def add_export(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss export``."""
    parser.set_defaults(handler=export)
    parser.description = (parser.description or '') + (
        ' Writes one graph for each prefix of orders beside the checkpoint, compares each with '
        'torch, and stores their digests in it, so that its own digest changes.')
    parser.add_argument('model', nargs='?', default='', metavar='FILE',
                        help='checkpoint (.safetensors; default: the shipped one)')
    add_sha256(parser)


def export(arguments: argparse.Namespace) -> int:
    """Export all graphs of a checkpoint; after an error, no file has changed."""
    from moss_perception.models.export import export_graphs
    log = logging.getLogger('export')
    graphs = export_graphs(model_path(arguments.model), arguments.sha256,
                           lambda name: log.info('exporting %s', name))
    for graph in graphs:
        log.info('wrote %s, %.1f MB', graph, graph.stat().st_size / 1e6)
    return 0
