"""Features of the backbone's frozen stages, computed once for all trainings that share them."""

from collections.abc import Sequence
import hashlib
import json
from pathlib import Path
from typing import Any, cast

from moss_perception.core.errors import ConfigError
from moss_perception.core.files import replaced
from moss_perception.models.checkpoint import Network
from moss_perception.models.layers.reading import GraspReader
from moss_perception.training.dataset import Clip, GraspClips
from moss_perception.training.samples import content_of
import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

# So many of the backbone's stages must be frozen: the cache holds their maps.
_STAGES = 2
_CLIPS = 8
_NAMES = Clip._fields[1:]
# Of each clip, and not of each of its grasps.
_OF_CLIPS = ('gaps', 'motion', 'cover')


class FeatureCache(Dataset):
    """
    The items of some clips, with the backbone's maps of stride 4 in place of images.

    The first training that needs an epoch writes its maps to a folder, rounded to float16. Other
    trainings with the same seed read them, and save the time of decoding, augmentation and two
    stages of the backbone.

    :param clips: whose items are computed.
    :param network: whose backbone is used.
    :param folder: of the files, two for each epoch.
    :param workers: processes that compute the items; 0 for this one.
    :raises ConfigError: if the backbone's first stages are trained or the network needs the
        images themselves; or if the folder holds features of something else or can't be written.
    """

    def __init__(self, clips: GraspClips, network: Network,
                 folder: str | Path, workers: int = 0):
        # A model of another package need not have this package's backbone.
        if getattr(network, 'needs_images', True):
            raise ConfigError(f'model {network.config.model!r} needs the images themselves: '
                              'expected a training without a feature cache')
        reader = cast(GraspReader, network)
        if reader.backbone.frozen < _STAGES:
            raise ConfigError(f'a feature cache with frozen_stages={reader.backbone.frozen} is '
                              f'not allowed: expected {_STAGES} or more, whose features it holds')
        self._clips, self._network, self._folder = clips, reader, Path(folder)
        self._workers = workers
        self._maps, self._others = np.empty(0), {}
        self._claim(_digest(clips, reader))

    def __len__(self) -> int:
        return len(self._clips)

    def sample_index(self, index: int) -> int:
        """Return the sample's index; see :meth:`GraspClips.sample_index`."""
        return self._clips.sample_index(index)

    def __getitem__(self, index: int) -> Clip:
        if not 0 <= index < len(self):
            raise IndexError(f'there is no item {index}: expected one of {len(self)}')
        count = int(self._others['count'][index])
        others = {name: values[index] if name in _OF_CLIPS else values[index, :count]
                  for name, values in self._others.items() if name in _NAMES}
        return Clip(torch.from_numpy(np.array(self._maps[index])), **{
            name: torch.from_numpy(np.array(values)) for name, values in others.items()})

    @property
    def epoch(self) -> int:
        """The epoch of the items; setting it computes those that are not in the folder."""
        return self._clips.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._clips.epoch = epoch
        maps, others = _files(self._folder, epoch)
        try:
            if not others.exists():
                # The second file is put in its place last: it completes the epoch. Another
                # training may write the same numbers at the same time.
                with replaced(others) as new_others, replaced(maps) as new_maps:
                    self._make(new_maps, new_others)
            self._maps = np.load(maps, mmap_mode='r')
            with np.load(others) as file:
                self._others = {name: file[name] for name in file.files}
        except (OSError, ValueError) as error:
            raise ConfigError(f"the feature cache {self._folder} can't be used: {error}"
                              ) from error

    def make(self, epochs: int) -> None:
        """Compute what is missing of the first ``epochs`` epochs."""
        for epoch in range(epochs):
            self.epoch = epoch

    def _claim(self, digest: str) -> None:
        """Write the digest of the folder's features, or check the one it has."""
        path = self._folder / 'features.json'
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            if (self._folder / 'maps.json').exists():
                raise ConfigError(f'{self._folder} holds features of an older version, which knew '
                                  'nothing of labels: expected another folder')
            if not path.exists():
                # As a whole: another training may begin at this very moment.
                with replaced(path) as partial:
                    partial.write_text(json.dumps({'sha256': digest}) + '\n')
            found = json.loads(path.read_text())['sha256']
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"{path} can't be used: {error}") from error
        if found != digest:
            raise ConfigError(f'{self._folder} holds features of other samples or labels, another '
                              'seed, augmentation or backbone: expected another folder')

    def _make(self, maps: Path, others: Path) -> None:
        """Write the maps of an epoch, and the other values."""
        values: list[Sequence[torch.Tensor]] = []
        written: np.ndarray | None = None
        loader = DataLoader(self._clips, _CLIPS, collate_fn=list, num_workers=self._workers)
        for items in tqdm(loader, desc=f'features of epoch {self.epoch + 1}', mininterval=5):
            found = backbone_maps(self._network, items).half().numpy()
            if written is None:
                written = np.lib.format.open_memmap(maps, 'w+', np.float16,
                                                    (len(self), *found.shape[1:]))
            written[len(values):len(values) + len(found)] = found
            values += [rest for _, *rest in items]
        assert isinstance(written, np.memmap)  # there are clips
        written.flush()
        padded: Any = {name: pad_sequence(list(column), batch_first=True).numpy()
                       for name, column in zip(_NAMES, zip(*values, strict=True), strict=True)
                       if column[0] is not None}
        # NumPy would add a suffix to a name.
        with others.open('wb') as file:
            np.savez(file, count=[len(grasps) for grasps, *_ in values], **padded)


@torch.no_grad()
def backbone_maps(network: GraspReader, items: list[Clip]) -> torch.Tensor:
    """Return the maps of stride 4 of some clips: float32, on the CPU, ``(N, T, H, W, C)``."""
    images = torch.stack([clip.images for clip in items])
    return network.fine_maps(images.to(network.mean.device)).movedim(2, -1).cpu()


def frozen_digest(network: GraspReader) -> str:
    """Hash the backbone's input scaling and the weights that compute the maps of stride 4."""
    digest = hashlib.sha256(repr((network.config.mean, network.config.std)).encode())
    for stage in network.backbone.stages[:_STAGES]:
        for name, values in stage.state_dict().items():
            digest.update(name.encode() + values.cpu().numpy().tobytes())
    return digest.hexdigest()


def is_complete(folder: str | Path, epochs: int) -> bool:
    """Tell whether a cache has the features of so many epochs, so that no image is needed."""
    return all(path.exists() for epoch in range(epochs) for path in _files(Path(folder), epoch))


def _files(folder: Path, epoch: int) -> tuple[Path, Path]:
    maps = folder / f'epoch_{epoch:02d}.npy'
    return maps, maps.with_suffix('.npz')


def _digest(clips: GraspClips, network: GraspReader) -> str:
    """Hash the weights that compute the features, and all that the items depend on."""
    config = network.config
    digest = hashlib.sha256(repr((
        frozen_digest(network), config.image_size, config.window_frames, config.frames_seen,
        config.frame_rate_hz, config.gripper_half_width_m, clips.drawn_from,
        len(clips.samples))).encode())
    for sample in clips.samples:
        for part in content_of(sample, clips.moving or config.time_inputs, clips.covering):
            digest.update(part)
    return digest.hexdigest()
