"""A small CNN that sees each frame by itself, so a stream computes each frame once."""

from torch import nn, Tensor


def _stage(in_channels: int, out_channels: int, convolutions: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n in range(convolutions):
        layers += [nn.Conv2d(out_channels if n else in_channels, out_channels, 3,
                             stride=1 if n else 2, padding=1, bias=False),
                   nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class Backbone(nn.Module):
    """
    Three stages of 3 x 3 convolutions, at strides 2, 4 and 8.

    :param channels: output channels of the three stages.
    :ivar frozen: how many of the first stages are frozen, see :meth:`freeze`.
    """

    def __init__(self, channels: tuple[int, int, int]):
        super().__init__()
        self.stages = nn.ModuleList(
            _stage(*sizes) for sizes in zip((3, *channels[:2]), channels, (1, 2, 3), strict=True))
        self.frozen = 0

    def freeze(self, count: int) -> None:
        """
        Keep the first stages as they are during training, statistics included.

        :param count: how many stages.
        """
        self.frozen = count
        for stage in self.stages[:count]:
            stage.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> 'Backbone':
        """Set the mode of all but the frozen stages; see :meth:`freeze`."""
        super().train(mode)
        for stage in self.stages[:self.frozen]:
            stage.eval()
        return self

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """
        Compute the features of each frame by itself.

        :param images: float tensor, normalised RGB, shape ``(N, 3, S, S)``.
        :returns: features at stride 4 and at stride 8.
        """
        fine = self.early(images)
        return fine, self.late(fine)

    def early(self, images: Tensor) -> Tensor:
        """Compute the features at stride 4."""
        return self.stages[1](self.stages[0](images))

    def late(self, fine: Tensor) -> Tensor:
        """Compute those at stride 8 from them."""
        return self.stages[2](fine)
