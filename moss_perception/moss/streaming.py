"""Frame by frame through a host: the attached blocks keep their state from call to call."""

from collections.abc import Iterator
from contextlib import contextmanager

from moss_perception.core.errors import ConfigError
from moss_perception.moss.attach import Attached, attached
from moss_perception.moss.placement import Stream
from torch import nn


class Streams:
    """
    The running streams of a host.

    :ivar batch: number of streams.
    """

    def __init__(self, batch: int, streams: list[Stream]):
        self.batch = batch
        self._streams = streams

    def reset(self) -> None:
        """Forget every frame: the next call begins new streams, of any map size."""
        for stream in self._streams:
            stream.reset()


@contextmanager
def streaming(model: nn.Module, batch: int = 1) -> Iterator[Streams]:
    """
    Let each call of a host take the next frames of the same streams.

    Within the context the attached blocks run by steps and keep their state; ``frames`` and the
    ``T`` of ``grid`` are read off the tensor instead, so a call may bring one frame or several.
    If the host itself works frame by frame, as with the ``(NT)…`` layouts in evaluation mode, the
    outputs equal those of the whole clip. Afterwards the states are dropped. Example::

        with streaming(model, batch=2) as streams, torch.no_grad():
            for frames in camera:               # (2, 3, H, W): the next frame of either stream
                features = model(frames)
            streams.reset()                     # what comes next is another scene

    A call that fails midway has moved some blocks on and not others: reset() then. A module that
    the host runs more than once a call can't be streamed: each run counts as the next frames.

    :param model: the host, with MOSS attached.
    :param batch: number of streams ``N``.
    :returns: a context that yields :class:`Streams`.
    :raises ConfigError: if no MOSS is attached, a window is centred, a gradient checkpoint would
        run steps twice, or the host is streaming already. A batch or a map of another size than
        the stream's is a :class:`ShapeError` of the call.
    """
    modules = attached(model)
    _check(model, modules, batch)
    placements = [module.moss_placement for module in modules.values()]
    streams = [Stream(batch) for _ in placements]
    for placement, stream in zip(placements, streams, strict=True):
        placement.stream = stream
    try:
        yield Streams(batch, streams)
    finally:
        for placement in placements:
            placement.stream = None


def _check(model: nn.Module, modules: dict[str, Attached], batch: int) -> None:
    if not modules:
        raise ConfigError(f'no MOSS is attached to this {type(model).__name__}: '
                          'expected at least one')
    if not isinstance(batch, int) or batch < 1:
        raise ConfigError(f'batch={batch!r} is not allowed: expected 1 or more')
    for name, module in modules.items():
        if not module.moss.causal:
            raise ConfigError(f'the MOSS at {name!r} has a centred window, which needs future '
                              'frames and cannot be streamed: expected causal=True')
        if module.moss_placement.stream is not None:
            raise ConfigError(f'{name!r} is streaming already: expected that context to end first')
        if module.training and getattr(module, 'gradient_checkpointing', False):
            raise ConfigError(f'{name!r} has gradient checkpointing on, which would run steps '
                              'twice: expected model.eval()')
