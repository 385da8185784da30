"""Evaluate recorded scores: ``evaluate BAG… --scores recorded``."""

import argparse
from collections.abc import Iterable
import logging
from pathlib import Path

from moss_perception.cli.recording_topics import topics_of
from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.core.resources import model_path
from moss_perception.evaluation.outputs import NodeOutputs, read_outputs
from moss_perception.evaluation.recorded import evaluate_recorded
from moss_perception.evaluation.records import by_checkpoint, Evaluation
from moss_perception.evaluation.verification import Verification
from moss_perception.evaluation.verification import verify as verify_scores
from moss_perception.models.manifest import read_header, verify

log = logging.getLogger('evaluate')


def evaluate_outputs(arguments: argparse.Namespace,
                     recordings: Iterable[tuple[str, str, str | None]]) -> list[Evaluation]:
    """
    Evaluate recordings of scores.

    :param arguments: arguments of the command ``evaluate``.
    :param recordings: domain, path and outcomes file of each recording.
    :returns: one evaluation for each checkpoint that the predictors ran.
    :raises MossError: if a file can't be read or used.
    """
    models = _given_models(arguments)
    found = []
    for domain, bag, outcomes in recordings:
        outputs = read_outputs(bag, arguments.scores_topic)
        path, sha256 = _checkpoint(bag, outputs, models, bool(arguments.model))
        verification = _verify(bag, outputs, path, arguments) if arguments.verify else None
        record = evaluate_recorded(
            bag, domain=domain, attempts_csv=outcomes, outputs=outputs,
            verification=verification, **topics_of(arguments))
        values = outputs.newest
        found.append(Evaluation(
            model=path.name if path else f'checkpoint {sha256[:12] or "unknown"}', sha256=sha256,
            temperature=_temperature(bag, path),
            engine=values.get('engine', ''), threads=int(values.get('threads', 0)),
            model_type=values.get('model', ''), budget_level=values.get('budget_level', ''),
            bags=(record,)))
    return by_checkpoint(found)


def _given_models(arguments: argparse.Namespace) -> dict[str, Path]:
    """Return the given checkpoints, or the shipped one, by their digests."""
    if arguments.sha256 and len(arguments.model) > 1:
        raise ConfigError('--sha256 is given for several checkpoints: expected one checkpoint, or '
                          'a SHA256SUMS file beside them')
    paths = [model_path(name) for name in arguments.model or ['']]
    return {verify(path, arguments.sha256): path for path in paths}


def _checkpoint(bag: str, outputs: NodeOutputs, models: dict[str, Path],
                named: bool) -> tuple[Path | None, str]:
    """Return the file and the digest of the checkpoint that the predictor ran."""
    sha256 = outputs.newest.get('model_sha256', '')
    if not sha256 and named and len(models) == 1:
        log.warning('%s does not name the checkpoint that the predictor ran: assuming the one of '
                    '--model', bag)
        sha256 = next(iter(models))
    if named and sha256 not in models:
        expected = ', '.join(f'{digest[:12]} ({path})' for digest, path in models.items())
        raise CheckpointError(f'{bag}: the predictor ran the checkpoint '
                              f'{sha256[:12] or "unknown"}: expected {expected}')
    return models.get(sha256), sha256


def _temperature(bag: str, model: Path | None) -> float:
    """Return the checkpoint's temperature; warn and return 1 if only the digest is known."""
    if model is not None:
        return read_header(model)[0].temperature
    log.warning('%s: the checkpoint is not available, so its temperature is assumed to be 1: name '
                'the checkpoint with --model', bag)
    return 1.0


def _verify(bag: str, outputs: NodeOutputs, model: Path | None,
            arguments: argparse.Namespace) -> Verification:
    if model is None:
        raise CheckpointError(
            f'{bag}: --verify needs the checkpoint {outputs.newest.get("model_sha256", "")[:12]} '
            'that the predictor ran: name it with --model')
    print('scoring the images that the predictor received again, without topics', flush=True)
    found = verify_scores(outputs, outputs.run.played or bag, model,
                          candidates_topic=arguments.candidates_topic,
                          camera_info_topic=arguments.camera_info_topic)
    print(found.line)
    return found
