"""Measure a checkpoint on attempts it never saw: ``ros2 run moss_perception evaluate``."""

import argparse
import json
import logging
import os
from pathlib import Path
import sys

from moss_perception.cli.common import cpu_name, run_command, set_up_logging, write_text
from moss_perception.errors import CheckpointError, ConfigError
from moss_perception.resources import model_path

log = logging.getLogger('evaluate')

_LEAST_ATTEMPTS = 200


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog='evaluate', description=__doc__)
    parser.add_argument('--scenes', required=True, metavar='DIR',
                        help='folder of scenes, made by record with seeds of their own')
    parser.add_argument('--model', default='', help='checkpoint; empty for the shipped one')
    parser.add_argument('--sha256', default='', help='its digest; empty to read SHA256SUMS')
    parser.add_argument('--out', help='write the JSON there as well')
    parser.add_argument('--yardstick', action='store_true',
                        help='also measure what the candidates tell without any image')
    parser.add_argument('--threads', type=int, default=0, help='0 leaves it to torch')
    parser.add_argument('--require-auroc', type=float, metavar='X',
                        help='fail unless the lower end of the 95 %% interval is above X')
    return parser


def evaluate(arguments: argparse.Namespace) -> int:
    """Score every candidate of every scene, and print the metrics as JSON."""
    from moss_perception.evaluation.attempts import score_scenes
    from moss_perception.grasp.checkpoint import read_notes
    from moss_perception.grasp.network import ensemble_probability
    from moss_perception.grasp.predictor import Predictor
    from moss_perception.training.dataset import GraspScenes, load_scenes
    from moss_perception.training.trainer import predict
    import numpy as np

    path = model_path(arguments.model)
    predictor = Predictor.load(str(path), arguments.sha256, threads=arguments.threads)
    network = predictor.engine.network
    yardstick = _yardstick() if arguments.yardstick else None
    scenes = load_scenes(arguments.scenes)
    _refuse_training_scenes(scenes, read_notes(path))
    groups = np.concatenate([np.full(len(s.outcomes), s.seed) for s in scenes])
    labels = np.concatenate([s.outcomes for s in scenes])
    motions = np.concatenate([np.full(len(s.outcomes), s.motion) for s in scenes])
    highest = network.config.orders
    arms = {}
    for order in range(1, highest + 1):
        name = 'orders ' + ','.join(map(str, range(1, order + 1)))
        arms[name] = predict(network, GraspScenes(scenes, network.config), used=order)[0]
    arms['all orders, frozen clip'] = predict(
        network, GraspScenes(scenes, network.config, frozen=True))[0]
    scores = {name: ensemble_probability(logits)[0].numpy() for name, logits in arms.items()}
    streamed, clip = score_scenes(predictor, scenes), scores[name]
    if yardstick:
        scores['no image, candidates alone'] = yardstick(
            np.concatenate([s.candidates for s in scenes]), labels, groups)
    result = {
        'model_sha256': network.sha256, 'scenes': len(scenes), 'attempts': len(labels),
        'seeds': [scenes[0].seed, scenes[-1].seed], 'success_rate': float(labels.mean()),
        'interval': '95 %, scenes drawn with replacement',
        'machine': f'{cpu_name()}, {os.cpu_count()} cores',
        **_measure(streamed, labels, groups),
        'stream_against_clip': float(np.abs(streamed - clip).max()),
        'arms': {}, 'motions': {}}
    for name, values in scores.items():
        result['arms'][name] = _measure(values, labels, groups)
    for motion in sorted(set(motions)):
        result['motions'][motion] = _measure(*(x[motions == motion]
                                               for x in (streamed, labels, groups)))
    return _report(result, arguments)


def _yardstick():
    from moss_perception.evaluation.yardstick import candidates_alone, require
    require()
    return candidates_alone


def _refuse_training_scenes(scenes: list, notes: dict) -> None:
    """Refuse scenes that the checkpoint was trained on, or can't be told from these."""
    if 'seeds' not in notes:
        raise CheckpointError('the checkpoint does not say which scenes it was trained on: '
                              "expected 'seeds' in its notes")
    first, last = notes['seeds']
    known = sorted(scene.seed for scene in scenes if first <= scene.seed <= last)
    if known:
        raise ConfigError(f'the checkpoint was trained on scenes {first} to {last}, and '
                          f'{len(known)} of these scenes are among them, such as {known[0]}: '
                          'expected scenes that it never saw')


def _measure(scores, labels, groups) -> dict:
    from moss_perception.evaluation import metrics
    low, high = metrics.bootstrap_interval(metrics.auroc, scores, labels, groups)
    return {'auroc': metrics.auroc(scores, labels), 'auroc_low': low, 'auroc_high': high,
            'brier': metrics.brier(scores, labels),
            'ece': metrics.expected_calibration_error(scores, labels)}


def _report(result: dict, arguments: argparse.Namespace) -> int:
    text = json.dumps(result, indent=2)
    print(text)
    if arguments.out:
        write_text(Path(arguments.out), text + '\n')
    required = arguments.require_auroc
    if required is not None and result['attempts'] < _LEAST_ATTEMPTS:
        log.error('%d attempts are too few to require anything: expected at least %d',
                  result['attempts'], _LEAST_ATTEMPTS)
        return 1
    if required is not None and not result['auroc_low'] > required:
        log.error('the lower end of the AUROC interval is %.3f: required above %.3f',
                  result['auroc_low'], required)
        return 1
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(evaluate, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())
