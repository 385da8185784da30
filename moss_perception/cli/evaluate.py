"""Measure a checkpoint on attempts it never saw: ``ros2 run moss_perception evaluate``."""

import argparse
import json
import logging
import os
from pathlib import Path
import sys

from moss_perception.cli.common import cpu_name, run_command, set_up_logging
from moss_perception.resources import model_path

log = logging.getLogger('evaluate')


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog='evaluate', description=__doc__)
    parser.add_argument('--scenes', required=True, metavar='DIR',
                        help='folder of scenes, made by record with seeds of their own')
    parser.add_argument('--model', default='', help='checkpoint; empty for the shipped one')
    parser.add_argument('--sha256', default='', help='its digest; empty to read SHA256SUMS')
    parser.add_argument('--out', help='write the JSON there as well')
    parser.add_argument('--require-auroc', type=float, metavar='X',
                        help='fail unless the lower end of the 95 %% interval is above X')
    return parser


def evaluate(arguments: argparse.Namespace) -> int:
    """Score every candidate of every scene, and print the metrics as JSON."""
    from moss_perception.evaluation.yardstick import candidates_alone
    from moss_perception.grasp.checkpoint import load_checkpoint
    from moss_perception.grasp.network import ensemble_probability
    from moss_perception.training.dataset import GraspScenes, load_scenes
    from moss_perception.training.trainer import predict
    import numpy as np

    network = load_checkpoint(model_path(arguments.model), arguments.sha256)
    scenes = load_scenes(arguments.scenes)
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
    main = scores[name]
    scores['no image, candidates alone'] = candidates_alone(
        np.concatenate([s.candidates for s in scenes]), labels, groups)
    result = {
        'model_sha256': network.sha256, 'scenes': len(scenes), 'attempts': len(labels),
        'seeds': [scenes[0].seed, scenes[-1].seed], 'success_rate': float(labels.mean()),
        'interval': '95 %, scenes drawn with replacement',
        'machine': f'{cpu_name()}, {os.cpu_count()} cores',
        **_measure(main, labels, groups), 'arms': {}, 'motions': {}}
    for name, values in scores.items():
        result['arms'][name] = _measure(values, labels, groups)
    for motion in sorted(set(motions)):
        result['motions'][motion] = _measure(*(x[motions == motion]
                                               for x in (main, labels, groups)))
    return _report(result, arguments)


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
        Path(arguments.out).write_text(text + '\n')
    required = arguments.require_auroc
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
