"""Measure velocities read at objects of recorded scenes: ``python -m study.object_motion``."""

import argparse
from collections.abc import Callable, Iterator
import logging
import os
import sys
from typing import Any

from moss_perception.cli.common import (
    cpu_name,
    run_command,
    set_up_logging,
)
from moss_perception.core.errors import ConfigError
from moss_perception.core.geometry import letterbox, project
from moss_perception.core.tables import markdown
from moss_perception.data.scenes import load_scenes
from moss_perception.data.schema import Sample
from moss_perception.evaluation.intervals import mean_interval, require
from moss_perception.models.checkpoint import load_checkpoint
from moss_perception.models.layers.flow_field import FlowField, grey, UNIT_PIXELS
from moss_perception.models.layers.reading import GraspReader
from moss_perception.moss.displacement import displacements, Search
import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F

from study.compare import named_folders
import study.models  # noqa: F401, registers the variants
from study.pages import add_output_options, show_results

log = logging.getLogger('object_motion')
RATE_HZ = 10.0
DIS = 'optical flow (DIS)'
SETTINGS = {
    'features of stride 4': (4, Search(7, 7, 5)),
    'features of stride 2': (2, Search(7, 7, 9)),
    'features of stride 2, squared distance': (2, Search(7, 7, 9, 'ssd', 0, 0, 2)),
    'features of stride 2, squared distance, Gauss-Newton': (2, Search(7, 7, 9, 'ssd', 1, 0, 2)),
    'pixels of stride 2, squared distance': (2, Search(7, 7, 9, 'ssd', 0, 0, 2)),
    'pixels of stride 2, squared distance, Gauss-Newton': (2, Search(7, 7, 9, 'ssd', 1, 0, 2))}
"""By name: the side of a cell in pixels, and how displacements are looked for."""
# A velocity counts as found up to this error, in widths of the image a second, and this share.
_NEAR, _SHARE = 0.025, 0.2
_BATCH = 16
_STEP_S = 1e-3

# From images, uint8 (B, 2, S, S, 3), and the object's place, (B, 2), to its displacement, (B, 2):
# both where [-1, 1] are the edges of the image.
Method = Callable[[np.ndarray, Tensor], Tensor]


def velocity_of(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """
    Return where the object is in the newest image, and how fast it moves there.

    :param sample: a simulated scene with its track and the offsets of its candidates.
    :returns: x and y, where [-1, 1] are the edges of the image, and their change in a second:
        float64, shape ``(2,)`` each.
    :raises ConfigError: if the scene does not know them.
    """
    if not np.isfinite(sample.velocity):
        raise _no_motion(sample)
    places = places_of(sample, np.array([0.0, sample.velocity * _STEP_S]))
    return places[0], (places[1] - places[0]) / _STEP_S


def places_of(sample: Sample, travelled_m: np.ndarray) -> np.ndarray:
    """
    Return where the object is in the image when it has moved along the belt.

    :param sample: a simulated scene with its track and the offsets of its candidates.
    :param travelled_m: since the decision, metres, shape ``(N,)``.
    :returns: x and y, where [-1, 1] are the edges of the image: float64, shape ``(N, 2)``.
    :raises ConfigError: if the scene does not know them.
    """
    if sample.track is None or sample.offsets is None:
        raise _no_motion(sample)
    # Candidates are placed along and across the belt, so they tell its direction.
    centred = [values - values.mean(axis=0) for values in (
        sample.offsets[:, :3].astype(float), sample.candidates[:, :3].astype(float))]
    along = np.linalg.lstsq(*centred, rcond=None)[0][0]
    pixels, _ = project(sample.track[0].astype(float) + along * travelled_m[:, None],
                        sample.camera)
    return (pixels + 0.5) * 2 / (sample.camera.width, sample.camera.height) - 1


def _no_motion(sample: Sample) -> ConfigError:
    return ConfigError(f'{sample.title} knows no motion of its object: expected a scene of '
                       'moss record --cell full')


def methods(size: int, backbone: GraspReader) -> Iterator[tuple[str, Method]]:
    """Yield each method by its name, for images of so many pixels."""
    yield DIS, _flow
    for name, (stride, search) in SETTINGS.items():
        look = _pixels if name.startswith('pixels') else backbone.backbone.first
        if stride == 4:
            look = backbone.backbone.early

        def find(images: np.ndarray, here: Tensor, look=look, stride=stride,
                 search=search) -> Tensor:
            normal = backbone.normalise(torch.from_numpy(images).flatten(0, 1))
            maps = _comparable(look(normal), search.similarity).unflatten(0, images.shape[:2])
            found = displacements(maps[:, 1], maps[:, :1], search)[..., 0, :2]
            return _at(found.movedim(-1, 1), here) * (2 * stride / size)

        yield name, find


def _pixels(images: Tensor) -> Tensor:
    return F.avg_pool2d(images, 2)


def _comparable(maps: Tensor, similarity: str) -> Tensor:
    """Scale maps as a MOSS block does, without anything learnt: ``(N, H, W, C)``."""
    maps = maps.movedim(1, -1)
    if similarity == 'cosine':
        maps = F.layer_norm(maps, maps.shape[-1:])
        maps = maps - maps.mean(dim=(1, 2), keepdim=True)
        return F.normalize(maps, dim=-1)
    maps = maps - maps.mean(dim=(1, 2), keepdim=True)
    return maps / (maps.square().sum(-1).mean(dim=(1, 2)).sqrt()[:, None, None, None] + 1e-6)


def _flow(images: np.ndarray, here: Tensor) -> Tensor:
    """Read the flow where the object was, which is found from where it is."""
    found, field = [], FlowField()
    for (before, now), place in zip(images, here, strict=True):
        flow = torch.from_numpy(field.between(grey(before), grey(now)))[None] * (
            2 * UNIT_PIXELS / len(now))
        found.append(_at(flow, place[None] - _at(flow, place[None]))[0])
    return torch.stack(found)


def _at(maps: Tensor, places: Tensor) -> Tensor:
    """Read maps, ``(B, C, H, W)``, at one place each: ``(B, C)``."""
    return F.grid_sample(maps, places[:, None, None].float(), align_corners=False,
                         padding_mode='border').flatten(1)


@torch.inference_mode()
def measure(scenes: list[Sample], find: Method, size: int, lag: int) -> dict[str, Any]:
    """
    Compare the velocities that a method finds with the truth.

    :param find: the method.
    :param size: side of its images, pixels.
    :param lag: samples from the earlier image to the newest.
    :returns: ``found``, the share of velocities that are right within 2.5 % of the image's width
        a second and 20 %, with its 95 % interval (bootstrap over scenes); and ``median``, the
        median error in widths a second.
    """
    errors, near = [], []
    for first in range(0, len(scenes), _BATCH):
        some = scenes[first:first + _BATCH]
        truth = [velocity_of(sample) for sample in some]
        images = np.stack([[letterbox(image, size)[0] for image in (
            sample.clip(lag + 1, RATE_HZ)[[0, -1]])] for sample in some])
        here = torch.from_numpy(np.stack([place for place, _ in truth]))
        found = find(images, here).double().numpy() * (RATE_HZ / lag)
        true = np.stack([velocity for _, velocity in truth])
        # The image is 2 wide.
        error = np.linalg.norm(found - true, axis=1) / 2
        errors += error.tolist()
        near += (error <= _NEAR + _SHARE * np.linalg.norm(true, axis=1) / 2).tolist()
    share = mean_interval(np.array(near, float))
    return {'found': share.value, 'low': share.low, 'high': share.high,
            'median': float(np.median(errors))}


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog='python -m study.object_motion', description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--scenes', nargs='+', metavar='NAME=DIR',
                      help='sets of scenes of moss record --cell full')
    what.add_argument('--results', metavar='FILE', help='print stored results instead')
    parser.add_argument('--limit', type=int, help='number of scenes of each set (all)')
    parser.add_argument('--backbone', default='study/results/backbone_64/backbone.safetensors',
                        metavar='FILE', help='checkpoint whose features are compared '
                                             '(%(default)s)')
    parser.add_argument('--size', type=int, default=64, help='side of the images, pixels (64)')
    parser.add_argument('--lags', type=int, nargs='+', default=[1, 2], choices=range(1, 9),
                        help='samples from the earlier image to the newest (1 2)')
    add_output_options(parser, 'object_motion', 'velocities')
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Measure all methods on all sets, print a table, and store the results."""
    return show_results(arguments, _measure_all, 'object_motion', 'velocities', table)


def _measure_all(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.size % 8 or arguments.size < 32:
        raise ConfigError(f'--size={arguments.size}: expected a multiple of 8, 32 or more')
    require()
    backbone = load_checkpoint(arguments.backbone)
    if not isinstance(backbone, GraspReader):
        raise ConfigError(f'{arguments.backbone} has no backbone of this package: expected a '
                          'checkpoint of the study')
    backbone.eval()
    sets = {name: load_scenes(folder, arguments.limit)
            for name, folder in named_folders(arguments.scenes).items()}
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name, scenes in sets.items():
        for method, find in methods(arguments.size, backbone):
            by_lag = {str(lag): measure(scenes, find, arguments.size, lag)
                      for lag in arguments.lags}
            found.setdefault(method, {})[name] = by_lag
            log.info('%s, %s: %s', name, method, by_lag)
    return {'machine': f'{cpu_name()}, {os.cpu_count()} cores', 'size': arguments.size,
            'scenes': {name: len(scenes) for name, scenes in sets.items()}, 'methods': found}


def table(result: dict[str, Any]) -> str:
    """Lay out what :func:`run` stores."""
    columns = [(name, lag) for name in result['scenes']
               for lag in next(iter(result['methods'].values()))[name]]
    rows = [[method, *(f'{100 * one[name][lag]["found"]:.0f} [{100 * one[name][lag]["low"]:.0f}, '
                       f'{100 * one[name][lag]["high"]:.0f}]' for name, lag in columns)]
            for method, one in result['methods'].items()]
    counts = ', '.join(f'{name}: {count}' for name, count in result['scenes'].items())
    return (f"Velocities at the object that are right within {100 * _NEAR:g} % of the image's "
            f'width a second and {100 * _SHARE:g} %, in % [95 % interval, bootstrap over scenes]; '
            f'images of {result["size"]} pixels; scenes: {counts}.\n\n'
            + markdown(['method', *(f'{name}, {lag} back' for name, lag in columns)], rows))


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(run, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())
