"""What the package knows of the network of any model."""

from typing import Generic

from moss_perception.models.base import C
from torch import nn


class Network(nn.Module, Generic[C]):
    """
    The :class:`moss_perception.models.base.TrainableModel` as a torch module.

    A network of another package need not derive from it; it has the same attributes.

    :ivar config: its configuration; training replaces it to set the temperature.
    :ivar sha256: digest of its checkpoint, if it was loaded from one.
    """

    config: C
    sha256: str

    def freeze(self, stages: int) -> None:
        """
        Keep the first stages of the backbone as they are during training.

        :raises NotImplementedError: unless a model overrides it.
        """
        raise NotImplementedError(f'{type(self).__name__} cannot freeze {stages} stages')
