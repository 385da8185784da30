"""The stages of the study, each of which continues where it was stopped."""

from collections.abc import Sequence
import logging
from pathlib import Path
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.data.scenes import load_sets
from moss_perception.evaluation.record_files import plain
from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.models.manifest import file_sha256, read_header
from moss_perception.training.fit import fit as fit_grasps
from moss_perception.training.fit import Plan as TrainingPlan
from moss_perception.training.selection import SampleSet
import numpy as np
import torch
from torch import Tensor
import torch.nn.functional as F

from study.measuring import find_checkpoints, Measurement
from study.pretraining.plan import ORDINARY, Plan, STARTS
from study.video.clips import Clip, load_clips, read_table
from study.video.fitting import batches, Budget, fit
from study.video.models import ClipClassifier, config_of
from study.video.options import PRETRAINED_ON
from study.video.tasks import asked, folds_of, frames_needed, FREE, Item, Task
from study.video.training import images_of, most_frequent, questions

log = logging.getLogger('pretraining')
# So many parts of the groups; one is held out, to see whether the tasks were learnt.
_PARTS = 5


class JointClassifier(ClipClassifier):
    """
    A network whose head answers several tasks, each by some of its outputs.

    :param variant: name of a file of ``study/variants``.
    :param tasks: in the order of their outputs.
    :param initial: checkpoint whose backbone it starts from.
    """

    def __init__(self, variant: str, tasks: Sequence[Task], initial: str):
        super().__init__(variant, sum(len(task.classes) for task in tasks), initial)
        self.sizes = [len(task.classes) for task in tasks]

    def loss(self, images: Tensor, tasks: Tensor, labels: Tensor) -> Tensor:
        """
        Compute the mean loss over clips of mixed tasks.

        :param images: uint8, RGB, shape ``(B, T, S, S, 3)``.
        :param tasks: index of each clip's task, int64 ``(B,)``.
        :param labels: index among the classes of its task, int64 ``(B,)``.
        """
        parts = self(images).split(self.sizes, 1)
        losses = [F.cross_entropy(part[tasks == n], labels[tasks == n], reduction='sum')
                  for n, part in enumerate(parts)]
        return torch.stack(losses).sum() / len(labels)

    @torch.inference_mode()
    def answers(self, images: Tensor, task: int) -> list[int]:
        """Answer one task."""
        return self(images).split(self.sizes, 1)[task].argmax(1).tolist()


def pretrain(plan: Plan) -> None:
    """
    Train the backbone and MOSS on real clips, and write both starts as checkpoints.

    The ordinary start has the very weights, and the normalisation of images, that the pretraining
    begins with: so the training on real clips is all in which the starts differ.

    :raises ConfigError: if the clips, their table or the variant can't be used.
    """
    starts = [plan.initial_of(start) for start in STARTS]
    there = [path for path in starts if path.exists()]
    for path in there:
        read_header(path)  # a damaged one is named before anything is trained
    if there == starts:
        return
    size = config_of(plan.settings.name).image_size
    clips, skipped = load_clips(plan.clips, read_table(plan.table), plan.out / 'frames', size,
                                lambda rate_hz: min(frames_needed(task, rate_hz)
                                                    for task in FREE))
    groups = {clip.group for clip in clips}
    if len(groups) < 2:
        raise ConfigError(f'{plan.table} has clips of the group {groups.pop()} only: expected two '
                          'groups or more, since some are held out')
    held_out = folds_of(clips, min(_PARTS, len(groups)))[0]
    tasks = [asked(name, clips) for name in FREE]
    shares = [questions(task, held_out) for task in tasks]
    known = [(n, item) for n, (items, _) in enumerate(shares) for item in items]
    log.info('pretraining on %d clips, with %d held out', len(clips) - len(held_out),
             len(held_out))
    torch.manual_seed(0)
    model = JointClassifier(plan.settings.name, tasks, plan.initial)
    initial = file_sha256(Path(plan.initial)) if plan.initial else ''
    _save(plan.initial_of(ORDINARY), model, {'initial': initial})
    model.to(plan.device)
    drawn = batches(len(known), plan.budget.batch, 0)

    def loss_of(step: int) -> Tensor:
        chosen = [known[n] for n in drawn(step)]
        images = images_of(clips, [item for _, item in chosen], np.random.default_rng(
            (0, 1, step))).to(plan.device)
        numbers, labels = (torch.tensor(values, device=plan.device) for values in zip(
            *((n, item.label) for n, item in chosen), strict=True))
        return model.loss(images, numbers, labels)

    fit(model, loss_of, plan.budget, plan.pretrained.with_name('state.safetensors'))
    notes = {
        PRETRAINED_ON: {
            'clips': len(clips) - len(held_out), 'seen': plan.sizes.clips, 'tasks': list(FREE),
            'learning_rate': plan.sizes.learning_rate, 'held_out': len(held_out),
            'groups': len(groups),
            'left_out': {why: len(names) for why, names in skipped.items()},
            'digests': sorted({clips[item.clip].digest for _, item in known})},
        'accuracy': {task.name: _accuracy(model, n, clips, items, test, plan.budget, task)
                     for n, (task, (items, test)) in enumerate(zip(tasks, shares, strict=True))},
        'initial': initial}
    _save(plan.pretrained, model.cpu(), notes)
    log.info('wrote %s; held out: %s', plan.pretrained, notes['accuracy'])


def _save(path: Path, model: JointClassifier, notes: dict[str, Any]) -> None:
    """Write the network of a variant, without what answers the tasks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(path, model.network, notes)


def _accuracy(model: JointClassifier, number: int, clips: Sequence[Clip], known: Sequence[Item],
              test: Sequence[Item], budget: Budget, task: Task) -> dict[str, float | int]:
    """Return the share of held-out questions that are answered right, and that of one answer."""
    right = []
    for begin in range(0, len(test), budget.batch):
        items = test[begin:begin + budget.batch]
        found = model.answers(images_of(clips, items).to(budget.device), number)
        right += [answer == item.label for answer, item in zip(found, items, strict=True)]
    blind = most_frequent(task, known)
    return {'questions': len(test), 'right': float(np.mean(right)) if right else float('nan'),
            'blind': float(np.mean([item.label == blind for item in test])) if test else 0.0}


def train(plan: Plan) -> None:
    """Train the grasp model from each start with each seed, as study.train does."""
    todo = []
    for start, seed in plan.trainings():
        if not _checkpoint(plan, start, seed).exists():
            todo.append((start, seed))
    if not todo:
        return
    loaded = load_sets(list(plan.scenes), plan.sizes.limit)
    sets = [SampleSet(folder, len(samples)) for folder, samples in zip(
        plan.scenes, loaded, strict=True)]
    for start, seed in todo:
        out = _checkpoint(plan, start, seed)
        log.info('training from the %s start, seed %d', start, seed)
        fit_grasps(TrainingPlan(
            plan.settings_of(start, seed), out.parent, out, str(plan.initial_of(start)),
            device=plan.device, threads=plan.threads, deploy=False), sum(loaded, []), sets)


def _checkpoint(plan: Plan, start: str, seed: int) -> Path:
    return plan.runs / f'{start}_seed_{seed}' / f'{start}.safetensors'


def compare(plan: Plan) -> dict[str, Any]:
    """Compare the trained models, as study.compare does; return what results.json holds."""
    found = Measurement(dict(plan.tests), {}, find_checkpoints([str(plan.runs)]),
                        plan.sizes.limit, 0, plan.device).run()
    notes = read_header(plan.pretrained)[1]
    on = {name: value for name, value in notes[PRETRAINED_ON].items() if name != 'digests'}
    return plain({
        'variant': plan.settings.name,
        'pretraining': {'on': on, 'accuracy': notes['accuracy']},
        'comparison': found})
