"""The auxiliary losses on the object's motion and mask, for networks of all kinds alike."""

from moss_perception.core.errors import ConfigError, DataError
from moss_perception.core.geometry import GROUND, letterbox
from moss_perception.data.schema import Sample
from moss_perception.models.checkpoint import Network
from moss_perception.models.layers.reading import GraspReader
import numpy as np
import torch
from torch import nn, Tensor
import torch.nn.functional as F

# The way of an object is its motion if it is seen for so long, seconds.
_SHORTEST_MOTION_S = 0.3
# Two of its ways tell its acceleration if their lead times differ by so much, seconds.
_SHORTEST_CHANGE_S = 0.1
# Of the maps that the masks are read from, pixels.
_STRIDE = 4
# Log odds, at first, that the object covers a cell: it covers few.
_SELDOM = -3.0
# What stands for the object in a frame; the ground is what letterbox and warps fill in.
_OBJECT = 255


class Probes(nn.Module):
    """
    Reads the object's motion and mask from the features of a network, by a layer for each.

    Velocity and acceleration are read from the features where the object is, the mask from those
    of each cell. The layers only exist in training: the checkpoint is that of the network.

    :param network: whose features are read.
    :param motion: whether to read velocity and acceleration.
    :param mask: whether to read the mask.
    :ivar layers: the layers by the name that they have in a training's state.
    :raises ConfigError: if it is a model of another kind than this package's.
    """

    def __init__(self, network: Network, *, motion: bool = False, mask: bool = False):
        super().__init__()
        if not isinstance(network, GraspReader):
            option = 'motion_weight' if motion else 'mask_weight'
            raise ConfigError(f'{option} needs a network with the features of this package, '
                              f'which model {network.config.model!r} is not: expected 0')
        self.network, wide = network, network.config.head_channels
        self.layers = nn.ModuleDict()
        if motion:
            self.layers['probe'] = nn.Linear(wide, 4)
        if mask:
            self.layers['mask_probe'] = layer = nn.Conv2d(wide, 1, 1)
            nn.init.constant_(layer.get_parameter('bias'), _SELDOM)

    def forward(self, images: Tensor, grasps: Tensor, used: int | None, gaps: Tensor | None,
                motion: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """
        Score grasps, and read what the layers read.

        :param motion: see :class:`moss_perception.training.dataset.Clip`; needed to read it.
        :returns: logits and places as the network has them; velocity and acceleration,
            ``(B, 4)``; and logits of the mask, ``(B, H, W)``.
        """
        seen: list[Tensor] = []
        hook = self.network.smooth.register_forward_hook(
            lambda *call: seen.append(call[-1]))
        try:
            logits, located = self.network(images, grasps, used,
                                           *(() if gaps is None else (gaps,)))
        finally:
            hook.remove()
        features, moves, cover = F.relu(seen[0]), None, None
        if 'probe' in self.layers:
            assert motion is not None  # the clips tell what the recipe weights
            places = motion[:, None, None, :2].nan_to_num()
            read = F.grid_sample(features, places, align_corners=False, padding_mode='border')
            moves = self.layers['probe'](read.flatten(1))
        if 'mask_probe' in self.layers:
            cover = self.layers['mask_probe'](features).squeeze(1)
        return logits, located, moves, cover


def motion_of(track: np.ndarray, lead_times: np.ndarray) -> np.ndarray:
    """
    Return where the object is, how fast it moves, and how fast that changes.

    The velocity is the mean until the sample's own lead time. The acceleration is that of the
    parabola through the object's places at the decision, at this lead time and at another.

    :param track: the object at the decision and at each lead time, as encoded grasps; or empty.
    :param lead_times: the sample's own first, shape ``(L,)``, seconds.
    :returns: float32, shape ``(6,)``, NaN for what is not known; see
        :class:`moss_perception.training.dataset.Clip`.
    """
    motion = np.full(6, np.nan, np.float32)
    # Of what is left of a grasp under way, little tells of motion, and its fingers of the end.
    if not len(track) or not lead_times[0] >= _SHORTEST_MOTION_S:
        return motion
    now, ways = track[0, :2], track[1:, :2] - track[0, :2]
    motion[:4] = *now, *ways[0] / lead_times[0]
    spans = np.where(lead_times >= _SHORTEST_CHANGE_S, lead_times - lead_times[0], 0)
    other = np.abs(spans).argmax()
    if abs(spans[other]) >= _SHORTEST_CHANGE_S:
        motion[4:] = (ways[other] / lead_times[other] - motion[2:4]) * 2 / spans[other]
    return motion


def motion_loss(found: Tensor, motion: Tensor) -> Tensor:
    """
    Return the error of velocities, plus that of accelerations.

    :param found: shape ``(B, 4)``.
    :param motion: see :class:`moss_perception.training.dataset.Clip`, shape ``(B, 6)``.
    :returns: a scalar; 0 if no motion is known.
    """
    seen = (motion[:, :2].abs() <= 1).all(dim=1)
    misses = F.smooth_l1_loss(found, motion[:, 2:].nan_to_num(), reduction='none')
    loss = found.new_zeros(())
    for part in (slice(0, 2), slice(2, 4)):
        known = seen & motion[:, 2:][:, part].isfinite().all(dim=1)
        errors = torch.where(known, misses[:, part].sum(dim=1), 0)
        loss = loss + errors.sum() / known.sum().clamp(min=1)
    return loss


def mask_frame(sample: Sample, size: int) -> np.ndarray:
    """
    Draw the object's mask as a frame of the clip, which can be mirrored and moved with it.

    :param size: side of the network's images, pixels.
    :returns: uint8, shape ``(size, size, 3)``; without an object if no mask is known.
    :raises DataError: if the mask does not fit the images.
    """
    mask = sample.object_mask
    if mask is None:
        return np.full((size, size, 3), GROUND, np.uint8)
    if mask.shape != sample.image_size[::-1]:
        raise DataError(f'{sample.title}: object_mask of shape {mask.shape}: expected that of the '
                        f'images, {sample.image_size[::-1]}')
    frame = np.where(mask[..., None], _OBJECT, GROUND).astype(np.uint8)
    return letterbox(np.repeat(frame, 3, axis=2), size)[0]


def cover_of(frame: np.ndarray, known: bool) -> np.ndarray:
    """
    Return the share of each cell of the maps that the object covers.

    :param frame: from :func:`mask_frame`, mirrored and moved.
    :param known: whether the sample has a mask.
    :returns: float32, shape ``(size / 4, size / 4)``, in [0, 1]; NaN if the mask is not known.
    """
    cells = len(frame) // _STRIDE
    if not known:
        return np.full((cells, cells), np.nan, np.float32)
    share = (frame[..., 0].astype(np.float32) - GROUND) / (_OBJECT - GROUND)
    return share.reshape(cells, _STRIDE, cells, _STRIDE).mean(axis=(1, 3))


def mask_loss(found: Tensor, cover: Tensor) -> Tensor:
    """
    Return the cross-entropy of masks, the mean over their cells.

    :param found: logits, shape ``(B, H, W)``.
    :param cover: see :class:`moss_perception.training.dataset.Clip`, shape ``(B, H, W)``.
    :returns: a scalar; 0 if no mask is known.
    """
    known = cover.isfinite().all(dim=(1, 2))
    losses = F.binary_cross_entropy_with_logits(found, cover.nan_to_num(), reduction='none')
    return torch.where(known, losses.mean(dim=(1, 2)), 0).sum() / known.sum().clamp(min=1)
