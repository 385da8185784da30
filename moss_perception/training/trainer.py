"""The training loop and its losses: plain torch, resumable, logged to a CSV file."""

import csv
from dataclasses import asdict
import json
import math
from pathlib import Path
import sys
import time

from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.core.files import replaced
from moss_perception.models.checkpoint import Network
from moss_perception.models.layers.reading import ensemble_probability
from moss_perception.models.manifest import config_from_header, header
from moss_perception.training.auxiliary import mask_loss, motion_loss, Probes
from moss_perception.training.dataset import Clip, collate, GraspClips
from moss_perception.training.feature_cache import FeatureCache
from moss_perception.training.optimizing import (
    optimizer_tensors,
    restore_optimizer,
    set_learning_rate,
)
from moss_perception.training.pace import Pace
from moss_perception.training.processes import Group
from moss_perception.training.settings import Recipe
import numpy as np
from safetensors import safe_open, SafetensorError
from safetensors.torch import save_file
import torch
from torch import Tensor
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

Clips = GraspClips | FeatureCache


class Trainer:
    """
    Trains a network, and writes its state after each epoch so that it can be resumed.

    :param network: a :class:`moss_perception.models.checkpoint.Network`, trained in place.
    :param recipe: how to train.
    :param folder: holds ``log.csv`` and ``state.safetensors``.
    :param group: the processes that train together, and this one's device; ``None`` to train in
        this process alone, on the CPU.
    :param workers: number of subprocesses that prepare the clips; 0 for none.
    :param data: digest of the samples, to resume only with the same ones; empty if not known.
    :raises ConfigError: if a batch has fewer clips than there are processes.
    """

    def __init__(self, network: Network, recipe: Recipe, folder: str | Path,
                 group: Group | None = None, workers: int = 0, data: str = ''):
        self.group = group or Group()
        if recipe.batch < self.group.size:
            raise ConfigError(f'batch={recipe.batch} is not allowed with {self.group.size} '
                              'processes: expected at least one clip for each')
        self.device = self.group.device
        self.network = network.to(self.device)
        network.freeze(recipe.frozen_stages)
        self.recipe = recipe
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.probes = None
        if recipe.motion_weight or recipe.mask_weight:
            self.probes = Probes(network, motion=recipe.motion_weight > 0,
                                 mask=recipe.mask_weight > 0).to(self.device)
        self.parallel = self.group.wrap(self.probes or network)
        # The network's come first: that is their order in stored states.
        trained = [*network.parameters()]
        if self.probes is not None:
            trained += self.probes.layers.parameters()
        self.optimizer = torch.optim.AdamW(
            [p for p in trained if p.requires_grad], lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay)
        self.workers = workers
        self.data = data
        self.epoch = 0

    def fit(self, clips: Clips, held_out: Dataset) -> None:
        """
        Train for the epochs of the recipe that are left.

        :param clips: to train on.
        :param held_out: to report the loss of, after each epoch.
        :raises ConfigError: if the loss is no longer finite.
        """
        pace = Pace(len(clips) * (self.recipe.epochs - self.epoch))
        for epoch in range(self.epoch, self.recipe.epochs):
            started = time.monotonic()
            train_loss = self._train_epoch(clips, epoch, pace)
            self.epoch = epoch + 1
            if self.group.leads:
                logits, labels = predict(self.network, held_out, self.recipe.batch, self.device)
                loss = F.binary_cross_entropy(ensemble_probability(logits)[0], labels).item()
                self._log(epoch, train_loss, loss, time.monotonic() - started, pace)
                self._save()
            self.group.wait()

    def _train_epoch(self, clips: Clips, epoch: int, pace: Pace | None = None) -> float:
        clips.epoch = epoch
        self.network.train()
        generator = torch.Generator().manual_seed(self.recipe.seed * 1000 + epoch)
        order = torch.randperm(len(clips), generator=generator).tolist()
        chosen = [self.group.share(order[n:n + self.recipe.batch])
                  for n in range(0, len(order), self.recipe.batch)]
        loader = DataLoader(clips, batch_sampler=chosen, collate_fn=collate,
                            num_workers=self.workers)
        losses, steps = [], len(chosen)
        for n, batch in enumerate(tqdm(loader, desc=f'epoch {epoch + 1}', mininterval=5,
                                       disable=not self.group.leads)):
            set_learning_rate(self.optimizer, self.recipe.learning_rate,
                              (epoch * steps + n) / (self.recipe.epochs * steps),
                              self.recipe.warm_up)
            samples = [clips.sample_index(index) for index in chosen[n]]
            losses.append(self._train_step(batch, samples, generator))
            if not math.isfinite(losses[-1]):
                raise ConfigError(
                    f'the loss is {losses[-1]} in step {n + 1} of epoch {epoch + 1}: expected a '
                    f'finite number; choose a learning_rate below {self.recipe.learning_rate:g}, '
                    'and another folder for the run')
            if pace and (line := pace.count(len(samples) * self.group.size)) and self.group.leads:
                tqdm.write(line, file=sys.stdout)
        return self.group.mean(float(np.mean(losses)))

    def _train_step(self, batch: Clip, samples: list[int], generator: torch.Generator) -> float:
        batch, level = batch.to(self.device), self._draw_level(generator)
        moves = cover = None
        if self.probes is not None:
            logits, located, moves, cover = self.parallel(
                batch.images, batch.grasps, level, batch.gaps, batch.motion)
        else:
            logits, located = self.parallel(batch.images, batch.grasps, level,
                                            *(() if batch.gaps is None else (batch.gaps,)))
        weights = self._bagging(samples).to(self.device)[:, None] * batch.mask[..., None]
        loss = label_loss(logits, batch.labels, weights)
        if self.recipe.place_weight and located is not None:
            loss = loss + self.recipe.place_weight * place_loss(
                located, batch.places, self.recipe.near)
        if moves is not None:
            assert batch.motion is not None  # the clips tell what the recipe weights
            loss = loss + self.recipe.motion_weight * motion_loss(moves, batch.motion)
        if cover is not None:
            assert batch.cover is not None  # as above
            loss = loss + self.recipe.mask_weight * mask_loss(cover, batch.cover)
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        return loss.item()

    def _draw_level(self, generator: torch.Generator) -> int | None:
        """Draw the budget's level of a step, so that the model learns each."""
        highest = len(self.network.config.levels)
        if highest == 1:
            return None
        if torch.rand((), generator=generator) < self.recipe.full_orders:
            return highest
        return int(torch.randint(1, highest, (), generator=generator))

    def _bagging(self, samples: list[int]) -> Tensor:
        """
        Draw a Poisson weight of each sample for each ensemble member.

        All clips of a sample, including those of its attempt, have the same weights, so that a
        member with weight 0 has seen nothing of the sample.

        :param samples: the sample of each clip.
        :returns: shape ``(B, M)``.
        """
        members = self.network.config.ensemble
        if members == 1:
            return torch.ones(len(samples), 1)
        draws = [np.random.default_rng((self.recipe.seed, index)).poisson(1.0, members)
                 for index in samples]
        return torch.tensor(np.array(draws), dtype=torch.float32)

    def _log(self, epoch: int, train_loss: float, held_out_loss: float, seconds: float,
             pace: Pace) -> None:
        path = self.folder / 'log.csv'
        new = not path.exists()
        with path.open('a', newline='') as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(['epoch', 'train_loss', 'held_out_loss', 'seconds'])
            writer.writerow([epoch + 1, f'{train_loss:.5f}', f'{held_out_loss:.5f}',
                             f'{seconds:.1f}'])
        left = pace.left()
        print(f'epoch {epoch + 1}: train loss {train_loss:.4f}, held-out loss '
              f'{held_out_loss:.4f}, {seconds:.0f} s{", " * bool(left)}{left}', flush=True)

    def _save(self) -> None:
        tensors = {f'network.{k}': v.contiguous() for k, v in self.network.state_dict().items()}
        if self.probes is not None:
            tensors |= {k: v.contiguous() for k, v in self.probes.layers.state_dict().items()}
        tensors |= optimizer_tensors(self.optimizer)
        metadata = {'epoch': str(self.epoch), 'recipe': json.dumps(asdict(self.recipe)),
                    'data': self.data, **header(self.network.config)}
        with replaced(self.folder / 'state.safetensors') as partial:
            save_file(tensors, partial, metadata)

    def resume(self) -> bool:
        """
        Resume from the folder's state, if there is one.

        :returns: whether there is one.
        :raises CheckpointError: if it is damaged, or has another recipe, configuration or data.
        """
        path = self.folder / 'state.safetensors'
        if not path.exists():
            return False
        try:
            with safe_open(path, framework='pt') as file:
                metadata = file.metadata()
                tensors = {name: file.get_tensor(name) for name in list(file.keys())}
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f'{path} is damaged: {error}') from error
        if self.data and metadata.get('data') and metadata['data'] != self.data:
            raise CheckpointError(f'{path} belongs to a training on other samples, weights or '
                                  'initial weights: choose another folder (--run) to start anew')
        for name, stored, mine in (
                ('recipe', Recipe.from_stored(json.loads(metadata['recipe'])), self.recipe),
                ('config', config_from_header(metadata), self.network.config)):
            if stored != mine:
                raise CheckpointError(f'{path} belongs to another {name}: expected '
                                      f'{asdict(mine)}; choose another folder to start anew')
        self._restore(tensors)
        self.epoch = int(metadata['epoch'])
        return True

    def _restore(self, tensors: dict[str, Tensor]) -> None:
        self.network.load_state_dict({name.removeprefix('network.'): tensor
                                      for name, tensor in tensors.items()
                                      if name.startswith('network.')})
        if self.probes is not None:
            self.probes.layers.load_state_dict({
                name: tensor for name, tensor in tensors.items()
                if not name.startswith(('network.', 'optimizer.'))})
        restore_optimizer(self.optimizer, tensors)


def label_loss(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """
    Return the weighted mean cross-entropy of each ensemble member by itself.

    :param logits: shape ``(B, K, M)``.
    :param labels: 0 or 1, shape ``(B, K)``.
    :param weights: 0 or more, shape ``(B, K, M)``; 0 where there is no label.
    """
    losses = F.binary_cross_entropy_with_logits(
        logits, labels[..., None].expand_as(logits), reduction='none')
    return (losses * weights).sum() / weights.sum().clamp(min=1)


def place_loss(located: Tensor, places: Tensor, near: float) -> Tensor:
    """
    Return the error of the object's places: the auxiliary loss.

    :param located: the head's estimate, shape ``(B, K, 4)``.
    :param places: the truth, shape ``(B, K, 4)``, NaN if it is not known.
    :param near: finger distances; the head cannot see an object further away from the grasp.
    :returns: a scalar; 0 if no object is known to be near.
    """
    counts = (places.abs().amax(dim=-1) < near).float()
    misses = F.smooth_l1_loss(located, places.nan_to_num(), reduction='none').sum(dim=-1)
    return (misses * counts).sum() / counts.sum().clamp(min=1)


@torch.inference_mode()
def predict(network: Network, clips: Dataset, batch: int = 8,
            device: str = 'cpu', used: int | None = None) -> tuple[Tensor, Tensor]:
    """
    Score all labelled grasps of some clips.

    :param clips: items of :class:`moss_perception.training.dataset.Clip`, or a list of them.
    :param used: the budget's level; ``None`` for the highest.
    :returns: logits, shape ``(N, M)``, and labels, float32, shape ``(N,)``, clip by clip.
    """
    network.eval()
    logits, outcomes = [], []
    for clip in DataLoader(clips, batch, collate_fn=collate):
        clip = clip.to(device)
        timed = () if clip.gaps is None else (clip.gaps,)
        scored, known = network(clip.images, clip.grasps, used, *timed)[0], clip.mask.bool()
        logits.append(scored[known].cpu())
        outcomes.append(clip.labels[known].cpu())
    return torch.cat(logits), torch.cat(outcomes)
