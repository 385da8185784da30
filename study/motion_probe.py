"""Probe feature maps linearly for the motion of the object: ``python -m study.motion_probe``."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
import json
import logging
import os
from pathlib import Path
import sys
from typing import Any

from moss_perception.cli.common import (
    cpu_name,
    run_command,
    set_up_logging,
    status_line,
    write_text,
)
from moss_perception.core.errors import ConfigError
from moss_perception.core.tables import markdown
from moss_perception.data.scenes import load_scenes
from moss_perception.evaluation.intervals import require, statistic_interval
from moss_perception.models.checkpoint import load_checkpoint
from moss_perception.models.grasp_config import GraspConfig
from moss_perception.models.layers.temporal import ClipNetwork
from moss_perception.models.moss_grasp.network import MossGraspNetwork
from moss_perception.moss import MOSS
from moss_perception.training.dataset import collate, GraspClips
from moss_perception.training.decoding import decode_clips
import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F
from torch.utils.data import DataLoader

from study.compare import named_folders
from study.measuring import find_checkpoints

log = logging.getLogger('motion_probe')
# The object's position, and one cell of the map to each side.
_AROUND = torch.tensor([[0.0, 0.0], [1, 0], [-1, 0], [0, 1], [0, -1]])
_STRENGTHS = np.logspace(-2, 5, 15)
_REPEATS = 500


@contextmanager
def _captured(network: MossGraspNetwork | ClipNetwork) -> Iterator[dict[str, Tensor]]:
    """Capture the input of the head and the newest map of each order, ``(B, C, H, W)``."""
    captured: dict[str, Tensor] = {}
    read = network.read
    blocks = [module for module in network.modules() if isinstance(module, MOSS)]

    def reading(fine: Tensor, context: Tensor, *others: Tensor | None):
        captured['input of the head'] = context
        return read(fine, context, *others)

    def fusing(block: MOSS, fuse):
        def fused(encodings: list[Tensor]) -> Tensor:
            for order, encoding in enumerate(encodings, start=1):
                captured[f'MOSS, order {order}'] = encoding[:, -1]
            return fuse(encodings)
        return fused

    network.read = reading
    for block in blocks:
        block.fuse = fusing(block, block.fuse)
    try:
        yield captured
    finally:
        del network.read
        for block in blocks:
            del block.fuse


@torch.inference_mode()
def read_maps(network: MossGraspNetwork | ClipNetwork, scenes: list,
              batch: int = 16) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """
    Read the maps of a network at the object, and the motion of the object.

    :param scenes: recorded scenes.
    :returns: by map, float32, shape ``(N, 5 * C)``: the newest map at the object and one cell to
        each side; and by quantity, shape ``(N, D)``: ``velocity`` of the object along the belt,
        m/s, and ``acceleration`` of the belt, m/s2, at the decision, if all scenes have them; and
        ``displacement`` of the object until the fingers close, in halves of the image.
    """
    network.eval()
    maps: dict[str, list] = {}
    displacements = []
    with _captured(network) as captured:
        for given, here, there in clips(network.config, scenes, batch):
            network(*given)
            displacements.append(there - here)
            for name, values in captured.items():
                maps.setdefault(name, []).append(_at(values, here))
    motion = {name: np.array([getattr(scene, name) for scene in scenes])[:, None]
              for name in ('velocity', 'acceleration')}
    motion = {name: values for name, values in motion.items() if np.isfinite(values).all()}
    return ({name: torch.cat(parts).numpy() for name, parts in maps.items()},
            {**motion, 'displacement': torch.cat(displacements).numpy()})


def clips(config: GraspConfig, scenes: list, batch: int = 16
          ) -> Iterator[tuple[tuple, Tensor, Tensor]]:
    """
    Yield batches of scenes as the network sees them, with the positions of the object.

    :param scenes: recorded scenes, with all candidates in the image.
    :returns: an iterator of what the network takes, images, uint8 ``(B, T, S, S, 3)``, first; and
        the positions of the object at the decision and when the fingers close, ``(B, 2)`` each: x
        and y, where [-1, 1] are the outer edges of the image.
    :raises ShapeError: if a scene is shorter than the window.
    """
    data = GraspClips(scenes, config, decode_clips(scenes, config))
    for clip in DataLoader(data, batch, collate_fn=collate):
        grasps = clip.grasps
        reach = grasps[:, 0, 3:5].norm(dim=-1, keepdim=True)
        here, there = (grasps[:, 0, :2] + clip.places[:, 0, n:n + 2] * reach for n in (0, 2))
        timed = () if clip.gaps is None else (None, clip.gaps)
        yield (clip.images, grasps, *timed), here, there


def _at(values: Tensor, here: Tensor) -> Tensor:
    steps = 2 / torch.tensor(values.shape[:1:-1])
    points = here[:, None] + _AROUND * steps
    return F.grid_sample(values, points[:, None], align_corners=False,
                         padding_mode='border').flatten(1)


def probe(network: MossGraspNetwork | ClipNetwork, fitted: list,
          sets: dict[str, list]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    """
    Fit a ridge regression from each map to the motion, and test it on other scenes.

    :param network: a trained network; its weights do not change.
    :param fitted: scenes to fit the regression on; cross-validation selects its strength.
    :param sets: scenes to test on, by name.
    :returns: by map, by ``velocity``, ``acceleration`` and ``displacement``, and by set: ``r2``,
        the explained share of the variance (at most 1; below 0 if the mean of the set predicts
        better), with its 95 % interval ``low`` to ``high`` (bootstrap over scenes).
    :raises ConfigError: if a set has fewer than 20 scenes.
    """
    require()
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    for name, scenes in {'--fit': fitted, **sets}.items():
        if len(scenes) < 20:
            raise ConfigError(f'{len(scenes)} scenes in {name}: expected 20 or more')
    maps, motion = read_maps(network, fitted)
    others = {name: read_maps(network, scenes) for name, scenes in sets.items()}
    found: dict[str, Any] = {}
    for name, values in maps.items():
        found[name] = {}
        for what, truth in motion.items():
            model = make_pipeline(StandardScaler(), RidgeCV(_STRENGTHS)).fit(values, truth)
            found[name][what] = {
                other: _r_squared(known[what], model.predict(there[name]).reshape(len(
                    known[what]), -1))
                for other, (there, known) in others.items() if what in known}
    return found


def _r_squared(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    def share(index: np.ndarray) -> float:
        known, guess = truth[index], predicted[index]
        return float(1 - ((known - guess) ** 2).sum() / ((known - known.mean(0)) ** 2).sum())

    found = statistic_interval(share, len(truth), repeats=_REPEATS)
    return {'r2': found.value, 'low': found.low, 'high': found.high}


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m study.motion_probe', epilog=status_line(),
        description='Predict the motion of the object from feature maps by linear probes.')
    parser.add_argument('--runs', nargs='+', required=True, metavar='DIR',
                        help='folders to search for checkpoints of moss train --config')
    parser.add_argument('--fit', required=True, metavar='DIR',
                        help='scenes to fit the probes on, such as the training scenes')
    parser.add_argument('--scenes', nargs='+', required=True, metavar='NAME=DIR',
                        help='test sets')
    parser.add_argument('--limit', type=int, default=1000, metavar='N',
                        help='use at most N scenes of each set (%(default)s)')
    parser.add_argument('--out', metavar='FILE', help='write the results to this JSON file')
    parser.add_argument('--threads', type=int, default=0,
                        help='number of threads; 0: torch chooses (%(default)s)')
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Probe each checkpoint, print a table, and store the results."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    fitted = load_scenes(arguments.fit, arguments.limit)
    sets = {name: load_scenes(folder, arguments.limit)
            for name, folder in named_folders(arguments.scenes).items()}
    runs = []
    for path, notes in find_checkpoints(arguments.runs):
        log.info('%s', path)
        network = load_checkpoint(path)
        runs.append({'variant': notes['variant'], 'seed': notes['recipe']['seed'],
                     'checkpoint': path.name, 'sha256': network.sha256,
                     'maps': probe(network, fitted, sets)})
    machine = f'{cpu_name()}, {os.cpu_count()} cores'
    print(f'Machine: {machine}; fitted on {len(fitted)} scenes. R2 of a linear probe of each map, '
          'for velocity of the object and acceleration of the belt at the decision and for '
          'displacement of the object until the fingers close [95 % interval, bootstrap over '
          'scenes].\n')
    print(_table(runs, list(sets)))
    if arguments.out:
        write_text(Path(arguments.out), json.dumps(
            {'machine': machine, 'fitted_on': len(fitted), 'runs': runs}, indent=1) + '\n')
    return 0


def _table(runs: list[dict], sets: list[str]) -> str:
    rows = [[run['variant'], str(run['seed']), name, what,
             *(_figure(found.get(one)) for one in sets)]
            for run in runs for name, kinds in run['maps'].items()
            for what, found in kinds.items()]
    return markdown(['variant', 'seed', 'map', 'of', *sets], rows)


def _figure(found: dict | None) -> str:
    return '-' if found is None else f'{found["r2"]:.2f} [{found["low"]:.2f}, {found["high"]:.2f}]'


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(run, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())
