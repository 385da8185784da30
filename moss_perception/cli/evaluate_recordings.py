"""``moss evaluate BAG…``: evaluate recordings by a replay, or by their recorded scores."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
import json
import logging
from pathlib import Path
from typing import Any

from moss_perception.cli.evaluate_results import conclude, prepare, print_results, save
from moss_perception.cli.outcome_tables import check_tables
from moss_perception.cli.topic_options import choose, domain_of, recordings_of
from moss_perception.core.errors import BagError, CheckpointError, ConfigError, MossError
from moss_perception.core.resources import model_path
from moss_perception.data.remote import Cache, cache_folder, is_address, local, parse_size
from moss_perception.evaluation.batch import EvaluationInput, replay_all, Work
from moss_perception.evaluation.matching import NOT_LISTED
from moss_perception.evaluation.outputs import NodeOutputs, read_outputs
from moss_perception.evaluation.record_files import by_checkpoint
from moss_perception.evaluation.recorded import evaluate_recorded
from moss_perception.evaluation.records import BagRecord, Evaluation
from moss_perception.evaluation.runs import evaluations_of, Shard, without_shared, write_run
from moss_perception.evaluation.store import Store
from moss_perception.evaluation.stored import replay_stored
from moss_perception.evaluation.verification import Verification
from moss_perception.evaluation.verification import verify as verify_scores
from moss_perception.models.manifest import read_header, verify
from moss_perception.runtime.lead_times import check_lead_time

log = logging.getLogger('evaluate')


def evaluate_recordings(arguments: argparse.Namespace) -> int:
    """
    Evaluate recordings, print the results and write the report.

    :param arguments: arguments of the command ``evaluate``.
    :returns: exit status: 0, or 3 if a requirement is not met.
    :raises MossError: if something can't be read, used or written.
    """
    requirements = prepare(arguments)
    if arguments.check:
        _models(arguments)
        for one in _recordings(arguments):
            with local(one.path, _cache(arguments)) as path:
                _check(replace(one, path=path))
        return 0
    recordings = _recordings(arguments)
    if arguments.store:
        evaluations = _replay_stored(arguments, recordings)
        if not evaluations:
            print(f'--shard {arguments.shard}: no recordings')
            return 0
    else:
        evaluations = (_evaluate_recorded(arguments, recordings)
                       if arguments.scores == 'recorded' else _replay(arguments, recordings))
    save(evaluations, arguments.record)
    print_results(evaluations, arguments.reference)
    return conclude(evaluations, arguments, requirements)


def _recordings(arguments: argparse.Namespace) -> list[EvaluationInput]:
    """List the recordings with their domains, outcomes and topics."""
    bags = [domain_of(x) for x in arguments.bags] + [
        x.partition('=')[::2] for x in arguments.named_bags]
    found = recordings_of(arguments, bags)
    for why in check_tables([(x.path, x.outcomes, x.topics) for x in found], log):
        log.warning('%s', why)
    return found


def _models(arguments: argparse.Namespace) -> dict[Path, str]:
    """Return the digests of the given checkpoints, or of the shipped one."""
    paths = [model_path(x) for x in arguments.model or ['']]
    if len(set(paths)) < len(paths):
        raise ConfigError(f'--model names a file twice: {", ".join(map(str, paths))}')
    if arguments.sha256 and len(paths) > 1:
        raise ConfigError('--sha256 is given for several checkpoints: expected one checkpoint, or '
                          'a SHA256SUMS file beside them')
    return {path: verify(path, arguments.sha256) for path in paths}


def _check(one: EvaluationInput) -> None:
    """
    Check that a recording has the topics and the outcomes that an evaluation needs.

    :raises MossError: if it does not.
    """
    from moss_perception.data.bags.reader import Recording
    from moss_perception.data.labels.outcomes import outcomes_of
    topics = one.topics
    with Recording(one.path, salvage=True) as recording:
        images = recording.image_topic(topics.get('image_topic'))
        if one.setup is None or one.setup.calibration is None:
            recording.camera_info_topic(images.name, topics.get('camera_info_topic'))
        recording.candidates_topic(topics.get('candidates_topic', ''))
        recording.lead_times_topic(topics.get('lead_times_topic'))
        outcomes = outcomes_of(
            recording, one.outcomes, image_topic=images.name,
            outcome_topic=topics.get('outcome_topic'),
            executed_topic=topics.get('executed_topic'),
            candidates_topic=topics.get('candidates_topic'))
        recording.executed_topic(topics.get('executed_topic'))
    if not outcomes:
        raise BagError(f'{one.path}: no outcomes to compare the scores with: expected some on '
                       '/grasp_outcome, or a CSV file of them')


def _work(arguments: argparse.Namespace, models: Iterable[Path]) -> Work:
    if arguments.threads < 0 or arguments.workers < 0:
        raise ConfigError(f'--threads {arguments.threads} and --workers {arguments.workers}: '
                          'expected numbers of at least 0')
    for path in models:
        check_lead_time(read_header(path)[0], arguments.lead_time)
    return Work(
        sha256=arguments.sha256, engine=arguments.engine, threads=arguments.threads,
        workers=arguments.workers or 1, executor=arguments.executor,
        lead_time_s=arguments.lead_time,
        cache=_cache(arguments))


def _cache(arguments: argparse.Namespace) -> Cache:
    return Cache(cache_folder() / 'recordings', parse_size(arguments.cache_size))


def _choose(one: EvaluationInput) -> EvaluationInput:
    """Choose the topics of a recording, unless it is at an address and not here."""
    return one if is_address(one.path) else replace(
        one, topics=choose(one.path, dict(one.topics), one.setup))


def _try_to_choose(one: EvaluationInput) -> EvaluationInput:
    try:
        return _choose(one)
    except MossError:
        # Its evaluation says why, and the others have their turn.
        return one


def _replay(arguments: argparse.Namespace,
            recordings: Sequence[EvaluationInput]) -> list[Evaluation]:
    """Score the recorded images with each checkpoint."""
    models = _models(arguments)
    work = _work(arguments, models)
    found = replay_all([_choose(one) for one in recordings], list(models), work)
    tables = [one.table for one in recordings]
    return [replace(x, bags=without_shared(x.bags, tables)) for x in found]


def _replay_stored(arguments: argparse.Namespace,
                   recordings: Sequence[EvaluationInput]) -> list[Evaluation]:
    """Score the recordings of a shard that have no record in the store yet."""
    models, shard = _models(arguments), Shard.parse(arguments.shard or '1/1')
    if len(set(models.values())) < len(models):
        raise ConfigError('--model names copies of one checkpoint: expected different ones with '
                          '--store')
    work, store = _work(arguments, models), Store(arguments.store)
    mine = [_try_to_choose(one) for one in shard.of(recordings)]
    stored = replay_stored(mine, list(models), work, store)
    write_run(store, recordings, shard, stored, list(models.values()), work)
    return evaluations_of(stored)


def _evaluate_recorded(arguments: argparse.Namespace,
                       recordings: Sequence[EvaluationInput]) -> list[Evaluation]:
    """Evaluate recorded scores: one evaluation for each checkpoint that the predictors ran."""
    models = {digest: path for path, digest in _models(arguments).items()}
    found, conditions = [], _conditions(arguments.conditions)
    for one in recordings:
        if is_address(one.path):
            raise ConfigError(f'{one.path}: --scores recorded reads paths: expected a copy on '
                              'this machine')
        outputs = read_outputs(one.path, arguments.scores_topic)
        path, sha256 = _checkpoint(one.path, outputs, models, bool(arguments.model))
        verification = _verify(one, outputs, path) if arguments.verify else None
        record = _recorded(one, outputs, verification)
        if verification is None and any(x.why == NOT_LISTED for x in record.attempts):
            # Only the images can tell the score of a grasp that was not among the candidates.
            verification = _score_executed(one, outputs, path, record)
            record = _recorded(one, outputs, verification) if verification else record
        record = replace(record, conditions=conditions)
        values = outputs.newest
        found.append(Evaluation(
            model=path.name if path else f'checkpoint {sha256[:12] or "unknown"}', sha256=sha256,
            temperature=_temperature(one.path, path),
            engine=values.get('engine', ''), threads=int(values.get('threads', 0)),
            model_type=values.get('model', ''), budget_level=values.get('budget_level', ''),
            bags=(record,)))
    bags = without_shared([x.bags[0] for x in found], [one.table for one in recordings])
    return by_checkpoint(replace(x, bags=(bag,)) for x, bag in zip(found, bags, strict=True))


def _conditions(text: str | None) -> dict[str, Any]:
    try:
        found = json.loads(text or '{}')
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ConfigError(f'--conditions {text!r} is not allowed: expected a JSON object')
    return found


def _recorded(one: EvaluationInput, outputs: NodeOutputs,
              verification: Verification | None) -> BagRecord:
    return evaluate_recorded(
        one.path, domain=one.domain, attempts_csv=one.outcomes, outputs=outputs,
        verification=verification, setup=one.setup, **one.topics)


def _score_executed(one: EvaluationInput, outputs: NodeOutputs, model: Path | None,
                    record: BagRecord) -> Verification | None:
    """Score the images again for executed grasps without a recorded score, if possible."""
    count = sum(x.why == NOT_LISTED for x in record.attempts)
    lacking = ('the checkpoint of the predictor: name it with --model' if model is None else
               'the images' if not record.image_topic else
               '~/processed, which says which images the predictor received'
               if outputs.statuses is None else
               'the diagnostics of the predictor' if not outputs.diagnostics else '')
    if lacking:
        log.warning('%s: %d executed grasps have no recorded score, and scoring them needs %s',
                    one.path, count, lacking)
        return None
    print(f'{one.path}: {count} executed grasps have no recorded score: ', end='')
    return _verify(one, outputs, model)


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


def _verify(one: EvaluationInput, outputs: NodeOutputs, model: Path | None) -> Verification:
    """Score the received images again, and compare the scores."""
    if model is None:
        raise CheckpointError(
            f'{one.path}: --verify needs the checkpoint '
            f'{outputs.newest.get("model_sha256", "")[:12]} that the predictor ran: name it with '
            '--model')
    print('scoring the images that the predictor received again, without topics', flush=True)
    found = verify_scores(outputs, outputs.run.played or one.path, model,
                          attempts_csv=one.outcomes, executed_setup=one.setup, **one.topics)
    print(found.line)
    return found
