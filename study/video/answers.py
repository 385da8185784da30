"""The answers that a folder keeps, whichever commands gave them."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
import json
from pathlib import Path

from moss_perception.cli.common import read_text, write_text
from moss_perception.core.errors import ConfigError

from study.kept import digest_of
from study.video.clips import Clip
from study.video.fitting import Budget
from study.video.models import variant_digest
from study.video.tasks import Task


def kept_variants(folder: Path, kept_in: Callable[[str], Path]) -> Iterator[tuple[str, Path]]:
    """
    Yield the variants that a folder keeps, each with the folder of what is kept of it.

    :param folder: with folders whose names are a variant and a digest.
    :param kept_in: returns the folder of a variant as it is now; raises ConfigError if no command
        could train it now, and it is left out.
    """
    for variant in sorted({one.name.rpartition('_')[0] for one in folder.glob('*')}):
        try:
            yield variant, kept_in(variant)
        except ConfigError:
            continue


class KeptAnswers:
    """
    Answers to tasks about clips, a file for each variant, seed and fold.

    Answers are found again only if all they depend on is the same: the clips and the questions
    about them, the folds, the budget, and what the variant is.

    :param folder: of the answers of all commands.
    :param clips: that are asked about.
    :param tasks: what is asked.
    :param folds: number of parts, each tested once.
    :param budget: of every training.
    :param initial: see :func:`study.video.models.initial_of`.
    """

    def __init__(self, folder: Path, clips: Sequence[Clip], tasks: Sequence[Task], folds: int,
                 budget: Budget, initial: str):
        about = [(clip.name, clip.group, clip.digest) for clip in clips]
        digests = {task.name: digest_of([repr([about, task, folds, budget]).encode()])
                   for task in tasks}
        self.folders = {name: folder / f'{name}_{digest}' for name, digest in digests.items()}
        self.folds = folds
        self._digest_of = cache(lambda variant: variant_digest(variant, initial))

    def path(self, task: str, variant: str, seed: int, fold: int) -> Path:
        """
        Return the file of the answers of one training.

        :raises ConfigError: if there is no such variant, or nothing that it begins with.
        """
        name = f'{variant}_{self._digest_of(variant)}'
        return self.folders[task] / name / f'seed_{seed}_fold_{fold}.json'

    def write(self, task: str, variant: str, seed: int, fold: int, found: Sequence[int]) -> None:
        """Keep the answers of one training to the questions of its fold."""
        write_text(self.path(task, variant, seed, fold), json.dumps(list(found)))

    def whole(self, task: str) -> dict[str, dict[int, list[int]]]:
        """
        Return by variant and seed all answers to a task, fold after fold.

        Trainings whose other folds are missing are left out.
        """
        found: dict[str, dict[int, list[int]]] = {}
        for variant, folder in kept_variants(
                self.folders[task], lambda name: self.path(task, name, 0, 0).parent):
            for seed in sorted(int(path.name.split('_')[1])
                               for path in folder.glob('seed_*_fold_0.json')):
                paths = [self.path(task, variant, seed, fold) for fold in range(self.folds)]
                if all(path.exists() for path in paths):
                    found.setdefault(variant, {})[seed] = sum(
                        (json.loads(read_text(path)) for path in paths), [])
        return found
