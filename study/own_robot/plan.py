"""What is recorded and trained: the robot's cell, the sizes, and the trainings of each curve."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moss_perception.core.resources import model_path, share_directory
from moss_perception.training.settings import read_settings, Settings
import yaml

from study.kept import file_digest

SHIPPED, CEILING, PRETRAINED = 'shipped', 'ceiling', 'pretrained'
FINETUNED, SCRATCH, ADAPTED, MIXED = 'finetuned', 'scratch', 'adapted', 'mixed'
PRETRAINED_FINETUNED = 'pretrained and finetuned'
CURVES = {
    FINETUNED: 'the shipped model, fine-tuned on the attempts',
    PRETRAINED_FINETUNED: 'the shipped model, trained on scenes of your cell file, then '
                          'fine-tuned on the attempts',
    MIXED: 'as before, with a tenth of the scenes of your cell file mixed in',
    ADAPTED: 'the shipped model, with the last layer refitted by moss adapt --head',
    SCRATCH: 'the same network, trained on the attempts alone'}

RECORDING_SEED, TEST_SEED = 3_000_000, 4_000_000
CEILING_SEED, PRETRAINING_SEED = 5_000_000, 6_000_000

_ON_SCENES, _ON_ATTEMPTS = 'pretrain.yaml', 'finetune.yaml'
_TABLE = Path('config') / 'cells' / 'oblique_table.yaml'
# The robot's gripper, which is neither that of the shipped model nor that of the cell's file.
_GRIPPER = {'opening': 0.1, 'force': 8.0,
            'pads': {'thickness': 0.012, 'width': 0.03, 'height': 0.035, 'friction': 0.5},
            'times': {'approach': 0.5, 'descend': 0.4, 'close': 0.3}}
# The cell runs as fast as the nodes follow, at the rate of the model, since rendering takes the
# most time; the gate tries every kind of grasp.
PARAMETERS = {
    '/**/sim_cell': {'ros__parameters': {
        'real_time': False, 'lock_step': True, 'lead_times': True, 'rate': 10.0}},
    # The first score comes at 1.5 s of an attempt, and scenes are decided at 1.9 s.
    '/**/grasp_gate': {'ros__parameters': {'explore': 1.0, 'hold_time': 0.4}},
    # By the wall clock: on a busy machine an attempt takes many times as long as its stamps say.
    '/**/attempt_recorder': {'ros__parameters': {'longest_attempt': 600.0}}}
# What you can't measure on your robot, so that your cell file has the defaults of these.
_UNKNOWN = ('force', 'friction')


@dataclass(frozen=True)
class Sizes:
    """
    How much is recorded and trained.

    :ivar attempts: numbers of attempts of the curves, ascending.
    :ivar seeds: number of trainings of each point; each draws its own attempts from those that
        were recorded, nested by number. At the largest number they share nearly all.
    :ivar scenes: number of scenes for the ceiling, and of scenes of the cell file.
    :ivar test: number of new scenes that all models are measured on.
    :ivar spare: attempts that are recorded beside the largest number, as some can't be used.
    :ivar epochs: of trainings on scenes, on attempts, and on attempts from scratch.
    :ivar resolution: width and height of the images; ``None`` for that of the cell file.
    :ivar domain: look of the robot's scenes; ``own_domain`` of those of the user's cell file.
    """

    attempts: tuple[int, ...] = (25, 50, 100, 200, 400)
    seeds: int = 3
    scenes: int = 4000
    test: int = 400
    spare: int = 20
    epochs: tuple[int, int, int] = (6, 10, 20)
    resolution: tuple[int, int] | None = None
    domain: str = 'shifted.visual'
    own_domain: str = 'sim'


SMALL = Sizes(attempts=(10,), seeds=1, scenes=11, test=4, spare=1, epochs=(1, 1, 1),
              resolution=(64, 48), domain='sim')
"""Sizes for a test of the whole: the figures mean nothing."""


@dataclass(frozen=True)
class Training:
    """
    One training.

    :ivar curve: one of :data:`CURVES`, ``ceiling`` or ``pretrained``.
    :ivar attempts: number of attempts; 0 for a training on scenes.
    :ivar seed: of the draw of attempts, and of the training.
    """

    curve: str
    attempts: int = 0
    seed: int = 0

    @property
    def name(self) -> str:
        """Return the name of its files."""
        words = [self.curve.replace(' ', '_')]
        return '_'.join([*words, str(self.attempts), 'seed', str(self.seed)]
                        if self.attempts else words)

    @property
    def initial(self) -> str:
        """Return the name of the model that it begins with; empty for none."""
        if self.curve in (PRETRAINED_FINETUNED, MIXED):
            return PRETRAINED
        return '' if self.curve == SCRATCH else SHIPPED


@dataclass(frozen=True)
class Plan:
    """
    A run of the study.

    :ivar out: folder of everything that it writes; what is there is not done again.
    :ivar initial: the shipped model, or another checkpoint in its place.
    :ivar curves: names of the curves.
    """

    out: Path
    sizes: Sizes = Sizes()
    initial: str = ''
    curves: tuple[str, ...] = (FINETUNED, PRETRAINED_FINETUNED, ADAPTED, SCRATCH)
    workers: int = 2
    device: str = 'cpu'
    threads: int = 0

    @property
    def robot(self) -> Path:
        """Return the file of the robot's cell, as it is."""
        return self.out / 'robot.yaml'

    @property
    def own(self) -> Path:
        """Return the cell file that the robot's owner writes."""
        return self.out / 'own.yaml'

    @property
    def recording(self) -> Path:
        """Return the folder of the recorded attempts."""
        return self.out / 'attempts'

    @property
    def conditions(self) -> dict[str, Any]:
        """Return what all that the study keeps depends on; other curves and seeds can come."""
        sizes = self.sizes
        config = share_directory() / 'config'
        return {'initial': file_digest(self.checkpoint(SHIPPED)), 'gripper': _GRIPPER,
                'parameters': PARAMETERS,
                'files': {str(x): file_digest(config.parent / x) for x in (
                    _TABLE, *(Path('config') / x for x in (_ON_SCENES, _ON_ATTEMPTS)))},
                'attempts': sizes.attempts[-1] + sizes.spare, 'scenes': sizes.scenes,
                'test': sizes.test, 'epochs': sizes.epochs, 'resolution': sizes.resolution,
                'domain': sizes.domain, 'own domain': sizes.own_domain}

    def checkpoint(self, name: str) -> Path:
        """Return the checkpoint of a training, or the shipped one."""
        return model_path(self.initial) if name == SHIPPED else (
            self.out / 'models' / f'{name}.safetensors')

    def trainings(self) -> Iterator[Training]:
        """Yield the trainings in an order in which each has its initial model."""
        yield Training(CEILING)
        yield Training(PRETRAINED)
        for curve in self.curves:
            for count in self.sizes.attempts:
                for seed in range(self.sizes.seeds):
                    yield Training(curve, count, seed)

    def settings(self, training: Training, shipped: Any) -> Settings:
        """
        Return the settings of a training.

        :param shipped: configuration of the shipped model, whose network all have.
        """
        scenes, attempts, scratch = self.sizes.epochs
        # As the tutorial trains: on scenes first, then on attempts.
        file = _ON_ATTEMPTS if training.attempts else _ON_SCENES
        tuned = read_settings(share_directory() / 'config' / file)
        if not training.attempts:
            tuned = tuned.changed(epochs=scenes)
        elif training.curve == SCRATCH:
            tuned = tuned.changed(epochs=scratch, learning_rate=3e-3)
        else:
            tuned = tuned.changed(epochs=attempts)
        half_m = _GRIPPER['opening'] / 2
        return tuned.changed(seed=training.seed, gripper_half_width_m=half_m).of_checkpoint(
            shipped)

    def write_cells(self) -> None:
        """Write the robot's cell file, and the one of its owner."""
        cell = yaml.safe_load((share_directory() / _TABLE).read_text(encoding='utf-8'))
        cell |= {'name': 'somebodys_robot', 'gripper': _GRIPPER}
        if self.sizes.resolution:
            scale = self.sizes.resolution[0] / cell['camera']['resolution'][0]
            cell['camera'] |= {'resolution': list(self.sizes.resolution),
                               'focal_length': cell['camera']['focal_length'] * scale}
        self.out.mkdir(parents=True, exist_ok=True)
        self.robot.write_text(yaml.safe_dump(cell, sort_keys=False))
        gripper = {name: value for name, value in _GRIPPER.items() if name not in _UNKNOWN}
        gripper['pads'] = {name: value for name, value in _GRIPPER['pads'].items()
                           if name not in _UNKNOWN}
        self.own.write_text(yaml.safe_dump(cell | {'name': 'own', 'gripper': gripper},
                                           sort_keys=False))


def estimate(plan: Plan) -> dict[str, float]:
    """
    Estimate how long each stage takes from the beginning, seconds.

    The times of one attempt, scene and clip are those of two cores of 2.5 GHz.
    """
    sizes, clip_s = plan.sizes, 0.01 if plan.device.startswith('cuda') else 0.06
    recorded = sizes.attempts[-1] + sizes.spare
    scenes, attempts, scratch = sizes.epochs
    clips = {curve: scratch if curve == SCRATCH else attempts for curve in plan.curves
             if curve != ADAPTED}
    models = 3 + len(plan.curves) * len(sizes.attempts) * sizes.seeds
    mixed_in = 0.1 * sizes.scenes * len(sizes.attempts) if MIXED in plan.curves else 0.0
    per_seed = sum(clips.values()) * sum(sizes.attempts) + attempts * mixed_in
    return {
        'record': 15 + 2.5 * recorded, 'import': 0.1 * recorded,
        'scenes': (3.0 * (sizes.scenes + sizes.test) + 1.2 * sizes.scenes) / plan.workers,
        'train': clip_s * (sizes.seeds * per_seed + 2 * scenes * sizes.scenes * 1.25),
        'adapt': 1.0 * recorded if ADAPTED in plan.curves else 0.0,
        'evaluate': clip_s / 2 * sizes.test * models}
