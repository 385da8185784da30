"""What is pretrained and trained, and how long it takes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moss_perception.data.scenes import load_scenes
from moss_perception.training.settings import Settings

from study.kept import digest_of, file_digest, folder_digest
from study.video.fitting import Budget
from study.video.pace import seconds

# Share of the time of a clip that one takes in the grasp model, whose head skips the first frames.
_GRASPS = 0.75
ORDINARY, PRETRAINED = 'ordinary', 'pretrained'
STARTS = {ORDINARY: 'a backbone trained on simulation, and layers over time that begin anew',
          PRETRAINED: 'the same weights, trained further on real clips'}


@dataclass(frozen=True)
class Sizes:
    """
    How much is trained.

    :ivar clips: clips that the pretraining sees.
    :ivar seeds: trainings from each start.
    :ivar epochs: of each; 0 for those of the variant.
    :ivar limit: scenes of each folder at most; ``None`` for all.
    :ivar learning_rate: highest of the pretraining.
    """

    clips: int = 20000
    seeds: int = 3
    epochs: int = 0
    limit: int | None = None
    learning_rate: float = Budget().learning_rate


SMALL = Sizes(clips=48, seeds=1, epochs=1, limit=40)
"""Sizes to try the command: the figures mean nothing."""


@dataclass(frozen=True)
class Plan:
    """
    A run of the study.

    :ivar out: folder of everything that it writes; what is there is not done again.
    :ivar clips: folder of the clips, and ``table`` their table.
    :ivar scenes: folders to train the grasp model on.
    :ivar tests: folders to compare it on, by name.
    :ivar settings: of the grasp model that is trained.
    :ivar initial: checkpoint whose backbone both starts have.
    """

    out: Path
    clips: Path
    table: Path
    scenes: tuple[str, ...]
    tests: Mapping[str, str]
    settings: Settings
    initial: str
    sizes: Sizes = Sizes()
    device: str = 'cpu'
    threads: int = 0

    @property
    def budget(self) -> Budget:
        """Return the budget of the pretraining."""
        return Budget(self.sizes.clips, learning_rate=self.sizes.learning_rate,
                      device=self.device)

    @property
    def conditions(self) -> dict[str, Any]:
        """Return what all that the study keeps depends on."""
        ordinary = self.settings_of(ORDINARY, 0)
        parts = [self.settings.config().to_dict(), ordinary.recipe()]
        return {'variant': self.settings.name, 'epochs': ordinary.recipe().epochs,
                'settings': digest_of([repr(parts).encode()]),
                'initial': file_digest(self.initial),
                'clips': folder_digest(self.clips), 'table': file_digest(self.table),
                'scenes': [folder_digest(folder) for folder in self.scenes],
                'limit': self.sizes.limit, 'clips seen': self.sizes.clips,
                'learning rate': self.sizes.learning_rate}

    @property
    def pretrained(self) -> Path:
        """Return the checkpoint that the pretraining writes."""
        return self.initial_of(PRETRAINED)

    @property
    def runs(self) -> Path:
        """Return the folder of the trainings."""
        return self.out / 'runs'

    def trainings(self) -> Iterator[tuple[str, int]]:
        """Yield the start and seed of each training; both starts of a seed come together."""
        for seed in range(self.sizes.seeds):
            for start in STARTS:
                yield start, seed

    def settings_of(self, start: str, seed: int) -> Settings:
        """Return the settings of a training: those of the variant, called after its start."""
        changed = self.settings.changed(seed=seed)
        if self.sizes.epochs:
            changed = changed.changed(epochs=self.sizes.epochs)
        return Settings(start, changed.network, changed.training, changed.model)

    def initial_of(self, start: str) -> Path:
        """Return the checkpoint that trainings from a start begin with."""
        return self.out / start / f'{self.settings.name}.safetensors'


def estimate(plan: Plan) -> dict[str, float]:
    """
    Estimate how long each stage takes from the beginning, seconds.

    :raises DataError: if the scenes can't be read.
    """
    name, recipe = plan.settings.name, plan.settings_of(ORDINARY, 0).recipe()
    scenes = sum(len(load_scenes(folder, plan.sizes.limit)) for folder in plan.scenes)
    tested = sum(len(load_scenes(folder, plan.sizes.limit)) for folder in plan.tests.values())
    trainings = len(STARTS) * plan.sizes.seeds
    # A tenth of the scenes is held out; attempts in progress come on top.
    seen = round(0.9 * scenes * (1 + recipe.monitor) * recipe.epochs)
    return {'pretrain': seconds(name, plan.sizes.clips, 0, plan.device),
            'train': _GRASPS * trainings * seconds(name, seen, scenes // 10, plan.device),
            'compare': _GRASPS * trainings * seconds(name, 0, tested, plan.device)}
