"""Maps of frames that stay as they are while others are trained, computed once for all of them."""

from collections.abc import Sequence
import hashlib
import json
import os
from pathlib import Path

from moss_perception.core.errors import ConfigError
from moss_perception.models.build import ClipNetwork
from moss_perception.models.network import GraspNetwork
from moss_perception.training.dataset import GraspScenes
import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

# So many of the backbone's stages must stay as they are: their maps are what is written.
_STAGES = 2
_CLIPS = 8
_NAMES = ('grasps', 'outcomes', 'places')


class KeptMaps(Dataset):
    """
    The items of some scenes, with the backbone's maps of stride 4 in place of images.

    The maps of an epoch are written to a folder when it is first asked for, and read from there
    by every other training of the same seed: decoding, augmentation and two of the backbone's
    stages are most of what trainings have in common. Maps are rounded to float16.

    :param scenes: whose items are computed.
    :param network: whose backbone is used.
    :param folder: of the files, one pair an epoch.
    :param workers: processes that compute the items; 0 for this one.
    :raises ConfigError: if the backbone's first stages are trained or the network needs the
        images themselves; or if the folder holds maps of something else or can't be written.
    """

    def __init__(self, scenes: GraspScenes, network: GraspNetwork | ClipNetwork,
                 folder: str | Path, workers: int = 0):
        if network.backbone.kept < _STAGES:
            raise ConfigError(f'maps of kept_stages={network.backbone.kept} cannot be kept: '
                              f'expected {_STAGES} or more, which make them')
        if network.needs_images:
            raise ConfigError(f'temporal={network.config.temporal!r} looks at the images '
                              'themselves: expected a training without kept maps')
        self._scenes, self._network, self._folder = scenes, network, Path(folder)
        self._workers = workers
        self._maps, self._others = np.empty(0), {}
        self._claim(_digest(scenes, network))

    def __len__(self) -> int:
        return len(self._scenes)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        if not 0 <= index < len(self):
            raise IndexError(f'there is no item {index}: expected one of {len(self)}')
        count = int(self._others['count'][index])
        others = (self._others[name][index, :count] for name in _NAMES)
        return tuple(torch.from_numpy(np.array(values)) for values in (
            self._maps[index], *others))

    @property
    def epoch(self) -> int:
        """The epoch whose items are given; to set it makes them if they are not there."""
        return self._scenes.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._scenes.epoch = epoch
        maps, others = _files(self._folder, epoch)
        try:
            if not others.exists():
                self._make(maps, others)
            self._maps = np.load(maps, mmap_mode='r')
            with np.load(others) as file:
                self._others = {name: file[name] for name in (*_NAMES, 'count')}
        except (OSError, ValueError) as error:
            raise ConfigError(f"the maps in {self._folder} can't be kept: {error}") from error

    def make(self, epochs: int) -> None:
        """Make what is missing of so many epochs."""
        for epoch in range(epochs):
            self.epoch = epoch

    def _claim(self, digest: str) -> None:
        """Say what the folder's maps are of, or find that it says the same."""
        says = self._folder / 'maps.json'
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if not says.exists():
                # As a whole: another training may begin at this very moment.
                partial = _partial(says)
                partial.write_text(json.dumps({'sha256': digest}) + '\n')
                partial.replace(says)
            found = json.loads(says.read_text())['sha256']
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"{says} can't be used: {error}") from error
        if found != digest:
            raise ConfigError(f'{self._folder} holds maps of other scenes, another seed, '
                              'augmentation or backbone: expected another folder')

    def _make(self, maps: Path, others: Path) -> None:
        """Write an epoch; the second file last, so that it stands for both."""
        # Another training may be at it as well: the last one wins, with the same numbers.
        partial = [_partial(path) for path in (maps, others)]
        values: list[Sequence[torch.Tensor]] = []
        written = None
        loader = DataLoader(self._scenes, _CLIPS, collate_fn=list, num_workers=self._workers)
        for items in tqdm(loader, desc=f'maps of epoch {self.epoch + 1}', mininterval=5):
            found = self._see(torch.stack([images for images, *_ in items]))
            if written is None:
                written = np.lib.format.open_memmap(partial[0], 'w+', np.float16,
                                                    (len(self), *found.shape[1:]))
            written[len(values):len(values) + len(found)] = found
            values += [rest for _, *rest in items]
        written.flush()
        padded = {name: pad_sequence(column, batch_first=True).numpy()
                  for name, column in zip(_NAMES, zip(*values, strict=True), strict=True)}
        np.savez(partial[1], count=[len(grasps) for grasps, *_ in values], **padded)
        partial[0].replace(maps)
        partial[1].replace(others)

    def _see(self, images: torch.Tensor) -> np.ndarray:
        return _see(self._network, images).half().cpu().numpy()


class MapsInMemory(Dataset):
    """
    The items of some scenes, unchanged, with the maps of stride 4 of one backbone in memory.

    For many networks that have the same first stages, each of which sees the same clips.

    :param scenes: whose items are computed; nothing of them is drawn.
    :param network: whose backbone is used, in evaluation.
    """

    def __init__(self, scenes: GraspScenes, network: GraspNetwork | ClipNetwork):
        network.eval()
        self._items: list[tuple[torch.Tensor, ...]] = []
        for items in DataLoader(scenes, 2 * _CLIPS, collate_fn=list):
            found = _see(network, torch.stack([images for images, *_ in items])).cpu()
            self._items += [(maps, *others) for maps, (_, *others)
                            in zip(found, items, strict=True)]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        return self._items[index]


@torch.no_grad()
def _see(network: GraspNetwork | ClipNetwork, images: torch.Tensor) -> torch.Tensor:
    """Turn uint8 ``(N, T, S, S, 3)`` into float32 ``(N, T, H, W, C)``."""
    return network.fine_maps(images.to(network.mean.device)).movedim(2, -1)


def early_digest(network: GraspNetwork | ClipNetwork) -> str:
    """Tell backbones apart by the weights that make the maps of stride 4, and by their input."""
    digest = hashlib.sha256(repr((network.config.mean, network.config.std)).encode())
    for stage in network.backbone.stages[:_STAGES]:
        for name, values in stage.state_dict().items():
            digest.update(name.encode() + values.cpu().numpy().tobytes())
    return digest.hexdigest()


def are_kept(folder: str | Path, epochs: int) -> bool:
    """Tell whether the maps of so many epochs are there, so that no image will be asked for."""
    return all(path.exists() for epoch in range(epochs) for path in _files(Path(folder), epoch))


def _files(folder: Path, epoch: int) -> tuple[Path, Path]:
    maps = folder / f'epoch_{epoch:02d}.npy'
    return maps, maps.with_suffix('.npz')


def _partial(path: Path) -> Path:
    return path.with_name(f'.{os.getpid()}_{path.name}')


def _digest(scenes: GraspScenes, network: GraspNetwork | ClipNetwork) -> str:
    """Tell maps apart: by the weights that make them, and by all that the items depend on."""
    config = network.config
    return hashlib.sha256(repr((
        early_digest(network), config.image_size, config.window_frames, config.frames_seen,
        config.frame_rate_hz, config.gripper_half_width_m, scenes.drawn_from,
        [scene.seed for scene in scenes.scenes])).encode()).hexdigest()
