"""The networks and answers that a folder keeps, whichever commands gave them."""

from collections.abc import Mapping, Sequence
from functools import cache
import json
from pathlib import Path

from moss_perception.cli.common import read_text, write_text

from study.questions.model import TEXT_ONLY
from study.video.answers import kept_variants
from study.video.models import variant_digest

# By variant and seed, the answers by phrasing.
Answers = dict[str, dict[int, dict[str, list[int]]]]


class KeptNetworks:
    """
    A network for each variant and seed, and beside it a file of answers for each test set.

    They are found again only if all they depend on is the same.

    :param folder: of the networks of all commands.
    :param trained_on: digest of the training, see :func:`study.kept.digest_of`.
    :param asked: digest of the questions of each test set, by its name.
    :param initial: see :func:`study.video.models.initial_of`.
    """

    def __init__(self, folder: Path, trained_on: str, asked: Mapping[str, str], initial: str):
        self.folder, self.asked = folder / trained_on, asked
        # What sees no clip begins with nothing.
        self._digest_of = cache(lambda variant: '' if variant == TEXT_ONLY
                                else variant_digest(variant, initial))

    def network(self, variant: str, seed: int) -> Path:
        """
        Return the file of a network.

        :raises ConfigError: if there is no such variant, or nothing that it begins with.
        """
        folder = self.folder / f'{variant}_{self._digest_of(variant)}'
        return folder / f'seed_{seed}.safetensors'

    def complete(self, variant: str, seed: int) -> bool:
        """Tell whether a network's answers to all test sets are there."""
        return all(self._answers(variant, seed, name).exists() for name in self.asked)

    def write(self, variant: str, seed: int, name: str,
              found: Mapping[str, Sequence[int]]) -> None:
        """Keep a network's answers to a test set, by phrasing."""
        write_text(self._answers(variant, seed, name), json.dumps(found))

    def whole(self) -> dict[str, Answers]:
        """Return by test set the answers of all networks that have been asked about all sets."""
        found: dict[str, Answers] = {name: {} for name in self.asked}
        for variant, folder in kept_variants(self.folder,
                                             lambda one: self.network(one, 0).parent):
            seeds = {int(path.stem.split('_')[1]) for path in folder.glob('seed_*.json')}
            for seed in sorted(seed for seed in seeds if self.complete(variant, seed)):
                for name in self.asked:
                    found[name].setdefault(variant, {})[seed] = json.loads(
                        read_text(self._answers(variant, seed, name)))
        return found if any(found.values()) else {}

    def _answers(self, variant: str, seed: int, name: str) -> Path:
        path = self.network(variant, seed)
        return path.with_name(f'{path.stem}_{self.asked[name]}.json')
