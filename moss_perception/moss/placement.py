"""One MOSS in one module of a host: checks, the clip that is made of its features, the stream."""

from typing import Any

from moss_perception.core.errors import ConfigError, MossError, ShapeError
from moss_perception.moss.block import MOSS, MossState
from moss_perception.moss.checks import autocasts
from moss_perception.moss.layouts import find_layout
import torch
from torch import Tensor


class Stream:
    """
    The frames that one attached MOSS has seen of its streams.

    :param batch: number of streams.
    """

    def __init__(self, batch: int):
        self.batch = batch
        self.reset()

    def reset(self) -> None:
        """Forget every frame."""
        self._state: MossState | None = None
        self._began: tuple[Any, ...] = ()

    def run(self, moss: MOSS, clip: Tensor) -> Tensor:
        """
        Take the next frames.

        :param moss: the causal block.
        :param clip: float tensor, shape ``(B, T, C, H, W)``: ``T`` frames of each stream.
        :returns: the same shape.
        :raises ShapeError: if the map's size changed since the first frame.
        :raises ConfigError: if its dtype or device did.
        """
        size = tuple(clip.shape[-2:])
        began = size, clip.dtype, clip.device
        if self._state is None:
            self._state, self._began = moss.initial_state(self.batch, *size), began
        if size != self._began[0]:
            raise ShapeError(f'expected maps of {self._began[0]} (H, W), as the stream began, '
                             f'got {size}: reset() begins a new one')
        if began != self._began:
            raise ConfigError(f'expected {self._began[1]} on {self._began[2]}, as the stream '
                              f'began, got {clip.dtype} on {clip.device}: reset() begins a new '
                              'one')
        outputs, state = [], self._state
        for frame in clip.unbind(dim=1):
            output, state = moss.step(frame, state)
            outputs.append(output)
        self._state = state
        return torch.stack(outputs, dim=1)


class Placement:
    """
    How the features of one host module reach their MOSS.

    :param name: the module's name in the host, for messages.
    :param layout: one of :data:`~moss_perception.moss.layouts.LAYOUTS`.
    :param frames: ``T``, where ``N`` and ``T`` share an axis.
    :param grid: ``(T, H, W)``, where the tokens of a map share an axis.
    :raises ConfigError: if the layout is not known, or needs a size that is not given.
    :ivar stream: the running stream, or None.
    """

    def __init__(self, name: str, layout: str, frames: int | None = None,
                 grid: tuple[int, int, int] | None = None):
        self.name = name
        self.layout = find_layout(layout)
        self.grid = self._check_grid(grid)
        if frames is None and self.grid is not None:
            frames = self.grid[0]
        self.frames = self._check_frames(frames)
        self.stream: Stream | None = None

    def __getstate__(self) -> dict:
        # A copy of the host must not stream: nothing would end the stream.
        return {**self.__dict__, 'stream': None}

    def run(self, moss: MOSS, tensor: Tensor) -> Tensor:
        """
        Add what MOSS sees to the module's features.

        :param moss: the block.
        :param tensor: float tensor in the layout.
        :returns: the same shape, dtype and strides.
        :raises ShapeError: if the tensor does not fit.
        :raises ConfigError: if dtype or device differ from the block's.
        """
        try:
            self._check_tensor(moss, tensor)
            streams = self.stream.batch if self.stream else None
            sizes = self.layout.sizes(tuple(tensor.shape), self.frames, self.grid, streams)
            clip = self.layout.to_clip(tensor, sizes)
            clip = self.stream.run(moss, clip) if self.stream else moss(clip)
        except MossError as error:
            raise type(error)(f'host module {self.name!r}: {error}') from None
        output = self.layout.from_clip(clip.to(tensor.dtype), tensor)
        # The host's next operation may round differently in another memory format.
        if output.stride() != tensor.stride():
            output = torch.empty_like(tensor).copy_(output)
        return output

    def _check_tensor(self, moss: MOSS, tensor: Tensor) -> None:
        layout, weight = self.layout, moss.out.weight
        if tensor.device != weight.device:
            raise ConfigError(f"expected features on the MOSS's device {weight.device}, "
                              f'got {tensor.device}')
        if tensor.dtype != weight.dtype and not autocasts(tensor.device):
            raise ConfigError(f"expected features of the MOSS's dtype {weight.dtype}, "
                              f'got {tensor.dtype}')
        if tensor.dim() == len(layout.axes):
            channels = tensor.shape[layout.channel_axis]
            if channels != moss.in_channels:
                raise ShapeError(
                    f'expected {moss.in_channels} channels, as of MOSS({moss.in_channels}), got '
                    f'{channels} on axis {layout.channel_axis} of {tuple(tensor.shape)} in layout '
                    f'{layout.name}')

    def _check_grid(self, grid: tuple | None) -> tuple[int, int, int] | None:
        if grid is None:
            if self.layout.needs_grid:
                raise ConfigError(f'{self.name!r}: layout {self.layout.name} needs '
                                  'grid=(T, H, W), got None')
            return None
        if (not isinstance(grid, (tuple, list)) or len(grid) != 3
                or any(not _is_count(size) for size in grid)):
            raise ConfigError(f'{self.name!r}: grid must be three whole numbers (T, H, W) above '
                              f'0, got {grid!r}')
        frames, height, width = (int(size) for size in grid)
        return frames, height, width

    def _check_frames(self, frames: int | None) -> int | None:
        if frames is None:
            if self.layout.needs_frames:
                raise ConfigError(f'{self.name!r}: layout {self.layout.name} needs frames=T (or '
                                  'grid=(T, H, W)), got None')
            return None
        if not _is_count(frames):
            raise ConfigError(f'{self.name!r}: frames must be a whole number above 0, '
                              f'got {frames!r}')
        if self.grid is not None and self.grid[0] != frames:
            raise ConfigError(f'{self.name!r}: frames={frames} and grid={self.grid} differ: '
                              'expected the same T')
        return int(frames)


def _is_count(size: object) -> bool:
    return isinstance(size, int) and size >= 1
