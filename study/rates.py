"""Measure grasps chosen from cameras of other rates and stamps: ``python -m study.rates``."""

import argparse
from dataclasses import replace
import logging
import os
from pathlib import Path
import sys
from typing import Any

from moss_perception.cli.common import (
    cpu_name,
    run_command,
    set_up_logging,
)
from moss_perception.core.errors import ConfigError
from moss_perception.core.tables import markdown
from moss_perception.data.scenes import load_scenes
from moss_perception.data.schema import Sample
from moss_perception.evaluation.intervals import mean_interval, paired_test
from moss_perception.evaluation.scene_scores import chosen_success
from moss_perception.evaluation.training_scenes import refuse_training_scenes
from moss_perception.models.checkpoint import load_checkpoint
from moss_perception.models.layers.reading import ensemble_probability
from moss_perception.models.manifest import read_header
from moss_perception.training.dataset import GraspClips
from moss_perception.training.trainer import predict
import numpy as np
import torch

from study.compare import named_folders
import study.models  # noqa: F401, registers the variants
from study.pages import add_output_options, show_results

log = logging.getLogger('rates')


def stamped(sample: Sample, jitter_s: float) -> Sample:
    """
    Return a sample whose stamps are wrong, all but that of the decision.

    :param jitter_s: standard deviation of the errors, seconds; the order of the frames stays.
    """
    if not jitter_s:
        return sample
    errors = np.random.default_rng(sample.seed or 0).normal(0, jitter_s, len(sample.times_ns))
    stamps = np.sort(sample.times_ns[:-1] + np.round(errors[:-1] * 1e9).astype(np.int64))
    return replace(sample, stamps_ns=np.append(
        stamps.clip(max=sample.times_ns[-1] - 1), sample.times_ns[-1]))


def measure(network: Any, scenes: list[Sample], rate_hz: float, jitter_s: float) -> np.ndarray:
    """Return which scenes' best grasps succeed: float64, shape ``(N,)``."""
    own = rate_hz == network.config.frame_rate_hz
    clips = GraspClips([stamped(scene, jitter_s) for scene in scenes], network.config,
                       rates=(0.0, 0.0) if own else (rate_hz, rate_hz))
    scores = ensemble_probability(predict(network, clips)[0])[0].numpy()
    groups = np.repeat(np.arange(len(scenes)), [len(scene.candidates) for scene in scenes])
    return chosen_success(scores, np.concatenate([x.outcomes for x in scenes]), groups)


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m study.rates', description='Measure the success of the chosen grasp with '
        "cameras of lower rates, and with errors of the images' stamps, such as python -m "
        'study.rates --checkpoint models/grasp_moss.safetensors --scenes sim=runs/data/sim '
        '--rates 5 7 --jitter 0 0.025.')
    parser.add_argument('--checkpoint', metavar='FILE', help='with time inputs')
    parser.add_argument('--scenes', nargs='+', default=[], metavar='NAME=DIR', help='test sets')
    parser.add_argument('--rates', nargs='+', type=float, default=[5.0, 7.0], metavar='HZ',
                        help="rates of the camera, up to the checkpoint's; frames are left out, "
                             'none are made up (%(default)s)')
    parser.add_argument('--jitter', nargs='+', type=float, default=[0.0, 0.01, 0.025],
                        metavar='S', help='standard deviations of the errors of the stamps, '
                                          'seconds (%(default)s)')
    parser.add_argument('--limit', type=int, metavar='N', help='use at most N scenes of each set')
    parser.add_argument('--threads', type=int, default=0,
                        help='number of threads; 0: torch chooses (%(default)s)')
    parser.add_argument('--results', metavar='FILE', help='print and write what FILE has')
    add_output_options(parser, 'rates', 'success')
    return parser


def measure_all(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every rate with every jitter, and compare each with the undisturbed camera."""
    if not arguments.checkpoint or not arguments.scenes:
        raise ConfigError('expected --checkpoint and --scenes, or --results')
    network = load_checkpoint(Path(arguments.checkpoint)).eval()
    rate_hz, notes = network.config.frame_rate_hz, read_header(Path(arguments.checkpoint))[1]
    for name, value in [('--rates', x) for x in arguments.rates if not 0 < x <= rate_hz] + [
            ('--jitter', x) for x in arguments.jitter if not 0 <= x < 1]:
        raise ConfigError(f'{name} {value:g} is not allowed: expected '
                          + (f'0 to {rate_hz:g} Hz, the rate of the checkpoint'
                             if name == '--rates' else '0 to below 1 s'))
    found: dict[str, list[dict[str, Any]]] = {}
    for name, folder in named_folders(arguments.scenes).items():
        scenes = load_scenes(folder, arguments.limit)
        refuse_training_scenes((scene.seed for scene in scenes), notes)
        reference = measure(network, scenes, rate_hz, 0.0)
        found[name] = []
        for rate in dict.fromkeys([rate_hz, *sorted(arguments.rates, reverse=True)]):
            for jitter in dict.fromkeys([0.0, *arguments.jitter]):
                values = reference if (rate, jitter) == (rate_hz, 0.0) else measure(
                    network, scenes, rate, jitter)
                mean = mean_interval(values)
                found[name].append({
                    'rate_hz': rate, 'jitter_s': jitter, 'scenes': len(scenes),
                    'first_seed': scenes[0].seed,
                    'success': mean.value, 'low': mean.low, 'high': mean.high,
                    'against_own_rate': paired_test(values, reference)})
                log.info('%s at %g Hz, jitter %g s: %.3f', name, rate, jitter, mean.value)
    return {'machine': f'{cpu_name()}, {os.cpu_count()} cores', 'sha256': network.sha256,
            'sets': found}


def table(result: dict[str, Any]) -> str:
    """Lay out what :func:`measure_all` returns."""
    rows = [[name, f'{one["rate_hz"]:g}', f'{1e3 * one["jitter_s"]:g}',
             f'{100 * one["success"]:.1f} [{100 * one["low"]:.1f}, {100 * one["high"]:.1f}]',
             '{difference:+.1f} [{low:+.1f}, {high:+.1f}]'.format(
                 **{key: 100 * value for key, value in one['against_own_rate'].items()})]
            for name, some in result['sets'].items() for one in some]
    counts = ', '.join(f'{name}: {some[0]["scenes"]} from seed {some[0]["first_seed"]}'
                       for name, some in result['sets'].items())
    return ('Success of the chosen grasp in %, and points against the undisturbed camera [95 % '
            f'intervals, bootstrap over scenes, paired]; scenes: {counts}.\n\n' + markdown(
                ['set', 'camera, Hz', 'error of stamps, ms', 'success', 'difference'], rows))


def run(arguments: argparse.Namespace) -> int:
    """Measure or read results, print the table, and store both."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    return show_results(arguments, measure_all, 'rates', 'success', table)


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(run, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())
