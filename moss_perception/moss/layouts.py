"""How a host lays out its features, and the way to a clip ``(B, T, C, H, W)`` and back."""

from dataclasses import dataclass
import math
import re

from moss_perception.core.errors import ConfigError, ShapeError
import torch
from torch import Tensor

# The axes of the features in order; those in one pair of brackets share one axis of the tensor.
_KINDS = {
    'NCTHW': ('N', 'C', 'T', 'H', 'W'),
    'NTHWC': ('N', 'T', 'H', 'W', 'C'),
    '(NT)CHW': ('NT', 'C', 'H', 'W'),
    '(NT)HWC': ('NT', 'H', 'W', 'C'),
    '(NT)LC': ('NT', 'HW', 'C'),
    'N(THW)C': ('N', 'THW', 'C'),
    'N(HWT)C': ('N', 'HWT', 'C'),
}
LAYOUTS = (*_KINDS, '(NT)LC+cls', 'N(THW)C+cls', 'N(HWT)C+cls')


@dataclass(frozen=True)
class Layout:
    """
    One layout of a host's features.

    :ivar name: as given to :func:`find_layout`.
    :ivar axes: the axes of each axis of the tensor, such as ``('NT', 'HW', 'C')``.
    :ivar extra: tokens before those of the map (``+cls``: 1), which pass by.
    """

    name: str
    axes: tuple[str, ...]
    extra: int

    @property
    def needs_frames(self) -> bool:
        """Whether the number of frames can't be read off the tensor."""
        return self.axes[0] == 'NT'

    @property
    def needs_grid(self) -> bool:
        """Whether the map's sizes can't be read off the tensor."""
        return 'THW' in self.axes or 'HWT' in self.axes

    @property
    def channel_axis(self) -> int:
        """The tensor's axis of the channels."""
        return self.axes.index('C')

    def sizes(self, shape: tuple[int, ...], frames: int | None,
              grid: tuple[int, int, int] | None, streams: int | None) -> dict[str, int]:
        """
        Read the sizes of the axes N, T, C, H and W.

        :param shape: shape of the host's tensor.
        :param frames: ``T`` of a layout that needs it.
        :param grid: ``(T, H, W)``, or None where it isn't needed.
        :param streams: in a stream, ``N``: ``T`` then follows from the tensor; else None.
        :returns: size by axis.
        :raises ShapeError: if the tensor does not fit.
        """
        if len(shape) != len(self.axes):
            raise ShapeError(f'layout {self.name} expects {len(self.axes)} axes, got {shape}')
        found = {}
        for size, axes in zip(shape, self.axes, strict=True):
            if axes == 'NT':
                found.update(_split_rows(size, frames, streams))
            elif axes == 'HW':
                found.update(self._split_tokens(size - self.extra, grid))
            elif len(axes) == 3:
                found.update(self._split_joint(size - self.extra, grid, streams))
            else:
                found[axes] = size
        if streams is not None and found['N'] != streams:
            raise ShapeError(f'expected {streams} streams (batch={streams}), got {found["N"]}')
        return found

    def to_clip(self, tensor: Tensor, sizes: dict[str, int]) -> Tensor:
        """Bring the host's tensor to ``(B, T, C, H, W)``, without the extra tokens."""
        axes = ''.join(self.axes)
        body = tensor[:, self.extra:] if self.extra else tensor
        return body.reshape([sizes[axis] for axis in axes]).permute(
            [axes.index(axis) for axis in 'NTCHW'])

    def from_clip(self, clip: Tensor, tensor: Tensor) -> Tensor:
        """Bring a clip back to the host's layout; the extra tokens are those of ``tensor``."""
        body = clip.permute(['NTCHW'.index(axis) for axis in ''.join(self.axes)])
        shape = list(tensor.shape)
        if self.extra:
            shape[1] -= self.extra
        body = body.reshape(shape)
        return torch.cat([tensor[:, :self.extra], body], dim=1) if self.extra else body

    def _split_tokens(self, tokens: int,
                      grid: tuple[int, int, int] | None) -> dict[str, int]:
        if grid is not None:
            _, height, width = grid
        else:
            height = width = math.isqrt(max(tokens, 0))
        if height * width != tokens:
            expected = ('a square number, or grid=(T, H, W)' if grid is None
                        else f'H x W = {height} x {width} = {height * width} from grid={grid}')
            raise ShapeError(f'expected {expected}, got {tokens} tokens of the map'
                             f'{self._besides()}')
        return {'H': height, 'W': width}

    def _split_joint(self, tokens: int, grid: tuple[int, int, int] | None,
                     streams: int | None) -> dict[str, int]:
        assert grid is not None  # Placement has it, or refuses the layout
        frames, height, width = grid
        if streams is not None and tokens % (height * width) == 0:
            frames = tokens // (height * width)
        if frames * height * width != tokens:
            raise ShapeError(f'expected T x H x W = {frames} x {height} x {width} = '
                             f'{frames * height * width} tokens from grid={grid}, got {tokens}'
                             f'{self._besides()}')
        return {'T': frames, 'H': height, 'W': width}

    def _besides(self) -> str:
        return f' besides the {self.extra} extra' if self.extra else ''


def _split_rows(rows: int, frames: int | None, streams: int | None) -> dict[str, int]:
    if streams is not None:
        if rows % streams:
            raise ShapeError(f'expected rows of {streams} streams (batch={streams}), got {rows}')
        return {'N': streams, 'T': rows // streams}
    assert frames is not None  # Placement has it, or refuses the layout
    if rows % frames:
        raise ShapeError(f'expected whole clips of {frames} rows (frames={frames}), got {rows}')
    return {'N': rows // frames, 'T': frames}


def find_layout(name: str) -> Layout:
    """
    Return a layout by its name.

    :param name: one of :data:`LAYOUTS`; the layouts of tokens also take ``+n`` for ``n`` tokens
        before the map's, such as ``(NT)LC+5``: a class token and four registers.
    :returns: the layout.
    :raises ConfigError: if there is none of that name.
    """
    kind, _, suffix = str(name).partition('+')
    axes = _KINDS.get(kind)
    tokens = axes is not None and len(axes) == 3
    extra = 1 if suffix == 'cls' else int(suffix) if re.fullmatch('[1-9][0-9]*', suffix) else 0
    if axes is None or ('+' in str(name) and not (tokens and extra)):
        raise ConfigError(f'layout={name!r} is not known: expected one of {", ".join(LAYOUTS)}, '
                          'or +n in place of +cls for n tokens before those of the map')
    return Layout(str(name), axes, extra)
