"""``moss adapt``: adapt a checkpoint to your robot."""

import argparse
import json
import logging
from pathlib import Path

from moss_perception.cli.recording_topics import add_topics, topics_of
from moss_perception.core.errors import ConfigError
from moss_perception.core.resources import model_path
from moss_perception.models.manifest import read_header

log = logging.getLogger('adapt')

NOT_WRITTEN = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    parser.description += ' Prints the result of the cross-validation as JSON. Needs torch.'
    parser.add_argument('--bag', nargs='+', required=True, metavar='BAG',
                        help='recordings with labelled attempts')
    parser.add_argument('--out', required=True, metavar='FILE',
                        help='checkpoint to write (.safetensors), its graphs beside it; never '
                             'one that is there')
    parser.add_argument('--model', default='', help='checkpoint; empty for the shipped one')
    parser.add_argument('--sha256', default='', help='its digest; empty to read SHA256SUMS')
    parser.add_argument('--outcomes', metavar='FILE.csv',
                        help='start, end and success of the attempts, where the recording does '
                             'not hold them')
    add_topics(parser)
    parser.add_argument('--head', action='store_true',
                        help='refit the last layer of each member too, not only calibration')
    parser.add_argument('--folds', type=int, default=5, help='of the cross-validation (5)')
    parser.add_argument('--seed', type=int, default=0, help='of its draws (0)')
    parser.add_argument('--anyway', action='store_true',
                        help='write even what did not help in cross-validation')
    parser.add_argument('--graphs', action=argparse.BooleanOptionalAction, default=True,
                        help='export graphs for ONNX Runtime')
    parser.add_argument('--threads', type=int, default=0, help='0 leaves it to torch')


def run(arguments: argparse.Namespace) -> int:
    """Judge by cross-validation, fit to all attempts, and write the new checkpoint."""
    from moss_perception.evaluation.adaptation import compare_adaptation
    from moss_perception.evaluation.evidence import collect
    from moss_perception.models.checkpoint import load_checkpoint
    from moss_perception.models.readout import Readout
    from moss_perception.runtime.ood import read_distribution
    from moss_perception.training.adapt import cross_validate, fit_calibration, fit_head
    from moss_perception.training.derive import refuse_existing, write_derived

    if arguments.folds < 2:
        raise ConfigError(f'folds={arguments.folds} is not allowed: expected 2 or more')
    path, out = model_path(arguments.model), Path(arguments.out).expanduser()
    refuse_existing(out)
    network = load_checkpoint(path, arguments.sha256)
    evidence, records = collect(
        network, arguments.bag, arguments.threads, attempts_csv=arguments.outcomes,
        **topics_of(arguments))
    _tell_left_out(records, len(evidence))
    readout, fit = Readout.of(network), fit_head if arguments.head else fit_calibration
    rounds = cross_validate(fit, readout, evidence, folds=arguments.folds, seed=arguments.seed)
    found = compare_adaptation(readout.scores(evidence), rounds, evidence.outcomes.numpy() > 0.5,
                               arguments.seed)
    result = {'model_sha256': network.sha256, 'refitted': _what(arguments), **found}
    print(json.dumps(result, indent=2))
    log.info('%s: %s', _what(arguments), in_words(found))
    if found['change'] >= 0 and not arguments.anyway:
        log.warning('nothing was written: expected a smaller log loss, or --anyway')
        return NOT_WRITTEN
    made, notes = fit(readout, evidence).put_into(network), read_header(path)[1]
    notes['lineage'] = [*notes.get('lineage', []), {
        'from': network.sha256, 'by': 'adapt', 'refitted': _what(arguments),
        'bags': [{'name': Path(record.path).name, 'attempts': len(record.attempts)}
                 for record in records], 'cross_validation': found}]
    distribution = read_distribution(path, network.config.context_channels)
    digest = write_derived(out, made, notes, distribution, arguments.graphs)
    log.info('wrote %s, sha256 %s, temperature %.3f', out, digest, made.config.temperature)
    return 0


def _what(arguments: argparse.Namespace) -> str:
    return 'calibration and head' if arguments.head else 'calibration'


def in_words(found: dict) -> str:
    """Say in one line whether a fit helps."""
    before, after = found['before'], found['after']
    verdict = {'helps': 'it helps', 'harms': 'it harms',
               'cannot be told': f'whether it helps cannot be told from {found["attempts"]} '
                                 'attempts'}[found['verdict']]
    return (f'{verdict}: on attempts that were left out, log loss {before["log_loss"]:.3f} -> '
            f'{after["log_loss"]:.3f} (change {found["change"]:+.3f}, 95 % interval '
            f'{found["low"]:+.3f} to {found["high"]:+.3f}), Brier {before["brier"]:.3f} -> '
            f'{after["brier"]:.3f}, ECE {before["ece"]:.3f} -> {after["ece"]:.3f}, AUROC '
            f'{before["auroc"]:.3f} -> {after["auroc"]:.3f}')


def _tell_left_out(records: list, used: int) -> None:
    attempts = [attempt for record in records for attempt in record.attempts]
    log.info('%d of %d attempts have a score at their decision', used, len(attempts))
    default = sum(attempt.source == 'default' for attempt in attempts)
    if default:
        log.warning('of %d attempts the executed grasp was not among the candidates: the score '
                    'of the default grasp point stands for it', default)
    for record in records:
        for line in (*record.unmatched, *record.notes):
            log.warning('%s: %s', record.path, line)
