"""The stages of the study, each of which continues where it was stopped."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
import json
import logging
from pathlib import Path
import subprocess
import sys
import time

from moss_perception.cli.main import main as moss
from moss_perception.core.errors import MossError
from moss_perception.data.bags.attempts import AttemptFolder, counts_of
from moss_perception.data.scenes import load_scenes
from moss_perception.data.schema import Sample
from moss_perception.models.manifest import graphs_beside, read_header
from moss_perception.training.fit import fit
from moss_perception.training.fit import Plan as TrainingPlan
from moss_perception.training.selection import SampleSet
import numpy as np
import yaml

from study.kept import file_digest
from study.own_robot import plan as plans
from study.own_robot.plan import Plan, Training

log = logging.getLogger('own_robot')

_MIXED_SHARE = 0.1


def record(plan: Plan) -> None:
    """
    Record attempts of the robot through its topics, with attempt_recorder.

    :raises MossError: if the nodes end without an attempt.
    """
    wanted = plan.sizes.attempts[-1] + plan.sizes.spare
    parameters = plan.out / 'recording.yaml'
    # A checkpoint of one's own may have no graphs.
    engine = 'onnxruntime' if graphs_beside(plan.checkpoint(plans.SHIPPED)) else 'torch'
    parameters.write_text(yaml.safe_dump(plans.PARAMETERS | {
        '/**/grasp_predictor': {'ros__parameters': {'engine': engine}}}))
    while (done := _recorded(plan)) < wanted:
        values = {
            'out': plan.recording, 'sim': 'true', 'sim_cell': plan.robot,
            'sim_domain': plan.sizes.domain, 'attempts': wanted - done,
            # No scene comes twice, even if some scenes could not be played.
            'sim_seed': plans.RECORDING_SEED + 2 * done,
            'model': plan.checkpoint(plans.SHIPPED), 'params_file': parameters}
        words = [f'{name}:={value}' for name, value in values.items()]
        log.info('moss run record %s', ' '.join(words))
        ended = subprocess.run([sys.executable, '-m', 'moss_perception', 'run', 'record', *words])
        if ended.returncode and _recorded(plan) == done:
            raise MossError(f'moss run record ended with the status {ended.returncode} and '
                            'recorded nothing: expected attempts')


def _recorded(plan: Plan) -> int:
    if not plan.recording.exists():
        return 0
    with AttemptFolder(plan.recording) as folder:
        return len(folder.outcomes)


def describe_attempts(plan: Plan) -> dict[str, int]:
    """Count the recorded attempts by outcome, and those that can be trained on."""
    with AttemptFolder(plan.recording) as folder:
        counts = dict(counts_of(folder.outcomes))
    return counts | {'usable': len(load_scenes(plan.out / 'samples'))}


def import_attempts(plan: Plan) -> None:
    """
    Import the recording as samples.

    :raises MossError: if fewer attempts can be used than the largest training takes.
    """
    out = plan.out / 'samples'
    if not out.exists():
        _moss('import', plan.recording, '--out', out, '--workers', plan.workers)
    usable, wanted = len(load_scenes(out)), plan.sizes.attempts[-1]
    if usable < wanted:
        raise MossError(f'{out} has {usable} attempts that can be used, of '
                        f'{_recorded(plan)}: expected {wanted}; choose fewer --attempts')


def make_scenes(plan: Plan) -> None:
    """Make the new scenes of the robot, those for the ceiling, and those of the cell file."""
    sizes = plan.sizes
    for name, count, seed, cell, domain in (
            ('test', sizes.test, plans.TEST_SEED, plan.robot, sizes.domain),
            (plans.CEILING, sizes.scenes, plans.CEILING_SEED, plan.robot, sizes.domain),
            (plans.PRETRAINED, sizes.scenes, plans.PRETRAINING_SEED, plan.own, sizes.own_domain)):
        _moss('record', '--out', plan.out / 'scenes' / name, '--scenes', count, '--seed', seed,
              '--cell', cell, '--domain', domain, '--workers', plan.workers)


def _moss(*words: object) -> None:
    texts = list(map(str, words))
    log.info('moss %s', ' '.join(texts))
    if status := moss(texts):
        raise MossError(f'moss {texts[0]} ended with the status {status}')


def train(plan: Plan) -> None:
    """Train every model of the plan that is not there yet."""
    shipped, _ = read_header(plan.checkpoint(plans.SHIPPED))
    for training in plan.trainings():
        out = plan.checkpoint(training.name)
        if training.curve == plans.ADAPTED or out.exists():
            continue
        samples, sets = _data(plan, training)
        log.info('%s: %d samples', training.name, len(samples))
        initial = training.initial
        fit(TrainingPlan(
            plan.settings(training, shipped), plan.out / 'runs' / training.name, out,
            str(plan.checkpoint(initial)) if initial else '', device=plan.device,
            threads=plan.threads, deploy=False), samples, sets)


def _data(plan: Plan, training: Training) -> tuple[list[Sample], list[SampleSet]]:
    """Load what a training takes."""
    if not training.attempts:
        return load_scenes(plan.out / 'scenes' / training.name), []
    samples = chosen_samples(load_scenes(plan.out / 'samples'), training)
    sets = [SampleSet('attempts', len(samples))]
    if training.curve == plans.MIXED:
        scenes = load_scenes(plan.out / 'scenes' / plans.PRETRAINED)
        return samples + scenes, [*sets, SampleSet('scenes', len(scenes), _MIXED_SHARE)]
    return samples, sets


def chosen_samples(samples: list[Sample], training: Training) -> list[Sample]:
    """Choose the attempts of a training: more attempts include the fewer of the same seed."""
    order = np.random.default_rng(training.seed).permutation(len(samples))
    return [samples[n] for n in sorted(order[:training.attempts])]


def adapt(plan: Plan) -> None:
    """Refit the last layer of the shipped model to the same attempts, as moss adapt --head."""
    from moss_perception.evaluation.batch import EvaluationInput
    from moss_perception.evaluation.evidence import collect, usable
    from moss_perception.models.checkpoint import load_checkpoint
    from moss_perception.models.readout import Readout, with_head
    from moss_perception.training.adapt import fit_head
    from moss_perception.training.derive import write_derived
    todo = [x for x in plan.trainings() if x.curve == plans.ADAPTED
            and not plan.checkpoint(x.name).exists()]
    if not todo:
        return
    path, samples = plan.checkpoint(plans.SHIPPED), load_scenes(plan.out / 'samples')
    network = with_head(load_checkpoint(path))
    evidence, records = collect(network, [EvaluationInput(str(plan.recording))], plan.threads)
    rows = {x.attempt: row for row, x in enumerate(
        x for record in records for x in record.attempts if usable(x))}
    for training in todo:
        # A sample is named after its recording and attempt.
        numbers = [int(x.name.rpartition(' ')[2]) for x in chosen_samples(samples, training)]
        kept = [n for n in numbers if n in rows]
        if len(kept) < len(numbers):
            log.info('%s: %d of %d attempts have no features to refit it to', training.name,
                     len(numbers) - len(kept), len(numbers))
        some = evidence.some(np.array([rows[n] for n in kept]))
        made = fit_head(Readout.of(network), some, training.seed).put_into(network)
        notes = {'attempts': len(some), 'lineage': [{'from': network.sha256, 'by': 'adapt'}]}
        write_derived(plan.checkpoint(training.name), made, notes, None, graphs=False)


def evaluate(plan: Plan) -> None:
    """Score the candidates of the new scenes by every model; scores are kept in ``scores``."""
    from moss_perception.models.checkpoint import load_checkpoint
    from moss_perception.training.dataset import GraspClips
    from moss_perception.training.decoding import decode_clips
    from moss_perception.training.results import scores_of
    import torch
    if plan.threads:
        torch.set_num_threads(plan.threads)
    scenes, decoded = load_scenes(plan.out / 'scenes' / 'test'), None
    (plan.out / 'scores').mkdir(exist_ok=True)
    for name in (plans.SHIPPED, *(x.name for x in plan.trainings())):
        out = score_file(plan, name)
        if out.exists():
            continue
        network = load_checkpoint(plan.checkpoint(name)).to(plan.device)
        decoded = decoded or decode_clips(scenes, network.config)
        scores = scores_of(network, GraspClips(scenes, network.config, decoded), 8, plan.device)
        np.save(out, scores)
        log.info('%s: %d scores', name, len(scores))


def score_file(plan: Plan, name: str) -> Path:
    """Return the file of a model's scores: float64, shape ``(candidates of all scenes,)``."""
    # Scores of a checkpoint that was there before are not those of this one.
    digest = file_digest(plan.checkpoint(name))
    return plan.out / 'scores' / f'{name}_{digest[:12]}.npy'


STAGES: dict[str, Callable[[Plan], None]] = {
    'record': record, 'import': import_attempts, 'scenes': make_scenes, 'train': train,
    'adapt': adapt, 'evaluate': evaluate}


@contextmanager
def timed(plan: Plan, stage: str) -> Iterator[None]:
    """Add the time that a stage takes to that of earlier runs, in ``seconds.json``."""
    began = time.monotonic()
    try:
        yield
    finally:
        known = seconds(plan)
        known[stage] = round(known.get(stage, 0.0) + time.monotonic() - began, 1)
        (plan.out / 'seconds.json').write_text(json.dumps(known))


def seconds(plan: Plan) -> dict[str, float]:
    """Return how long each stage has taken so far, seconds."""
    path = plan.out / 'seconds.json'
    return json.loads(path.read_text()) if path.exists() else {}
