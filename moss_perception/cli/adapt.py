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
    parser.description = (parser.description or '') + (
        ' Prints the result of the cross-validation as JSON. Needs torch.')
    parser.add_argument('--bag', nargs='+', required=True, metavar='BAG',
                        help='recordings with labelled attempts')
    parser.add_argument('--out', required=True, metavar='FILE',
                        help='checkpoint to write (.safetensors); the graphs are written beside '
                             'it; an existing file is never overwritten')
    parser.add_argument('--model', default='', help='checkpoint (default: the shipped one)')
    parser.add_argument('--sha256', default='', help='SHA-256 of the checkpoint (default: the one '
                                                     'in SHA256SUMS)')
    parser.add_argument('--outcomes', metavar='FILE.csv',
                        help='start, end and success of the attempts, if the recording does not '
                             'contain them')
    add_topics(parser)
    parser.add_argument('--head', action='store_true',
                        help='refit the last layer of each member as well as the calibration')
    parser.add_argument('--folds', type=int, default=5, help='number of cross-validation folds '
                                                             '(%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='random seed (%(default)s)')
    parser.add_argument('--anyway', action='store_true',
                        help='write the checkpoint even if cross-validation shows no improvement')
    parser.add_argument('--graphs', action=argparse.BooleanOptionalAction, default=True,
                        help='export graphs for ONNX Runtime')
    parser.add_argument('--threads', type=int, default=0, help='number of threads; 0: torch '
                                                               'chooses (%(default)s)')


def run(arguments: argparse.Namespace) -> int:
    """Cross-validate, refit to all attempts and write the new checkpoint."""
    from moss_perception.evaluation.comparison import compare_adaptation
    from moss_perception.evaluation.evidence import collect
    from moss_perception.models.checkpoint import load_checkpoint
    from moss_perception.models.readout import Readout, with_head
    from moss_perception.runtime.ood import read_distribution
    from moss_perception.training.adapt import cross_validate, fit_calibration, fit_head
    from moss_perception.training.derive import refuse_existing, write_derived

    if arguments.folds < 2:
        raise ConfigError(f'folds={arguments.folds} is not allowed: expected 2 or more')
    path, out = model_path(arguments.model), Path(arguments.out).expanduser()
    refuse_existing(out)
    network = with_head(load_checkpoint(path, arguments.sha256))
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
        log.warning('nothing was written: expected a lower log loss, or --anyway')
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
    """Describe in one line whether refitting improves the scores."""
    before, after = found['before'], found['after']
    verdict = {'helps': 'it helps', 'harms': 'it harms',
               'cannot be told': f'{found["attempts"]} attempts are too few to tell whether it '
                                 'helps'}[found['verdict']]
    return (f'{verdict}: on held-out attempts, log loss {before["log_loss"]:.3f} -> '
            f'{after["log_loss"]:.3f} (change {found["change"]:+.3f}, 95 % interval '
            f'{found["low"]:+.3f} to {found["high"]:+.3f}), Brier {before["brier"]:.3f} -> '
            f'{after["brier"]:.3f}, ECE {before["ece"]:.3f} -> {after["ece"]:.3f}, AUROC '
            f'{before["auroc"]:.3f} -> {after["auroc"]:.3f}')


def _tell_left_out(records: list, used: int) -> None:
    attempts = [attempt for record in records for attempt in record.attempts]
    log.info('%d of %d attempts have a score at their decision', used, len(attempts))
    default = sum(attempt.source == 'default' for attempt in attempts)
    if default:
        log.warning('the executed grasp of %d attempts was not among the candidates: the score '
                    'of the default grasp point is used instead', default)
    for record in records:
        for line in (*record.unmatched, *record.notes):
            log.warning('%s: %s', record.path, line)
