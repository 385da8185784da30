"""Checks of a MOSS block's settings and of its input."""

from dataclasses import dataclass
import operator
from typing import Any
import warnings

from moss_perception.core.errors import ConfigError, NotFiniteWarning, ShapeError
from moss_perception.moss.kernels import holds_numbers
import torch
from torch import nn, Tensor


@dataclass(frozen=True)
class Lags:
    """
    The frames of a window that one frame is compared with.

    :ivar frames: how many frames back each is, ascending; below 0 if it is still to come.
    :ivar offsets: the same as offsets to the frame's own place: ``-frames``.
    :ivar places: the places of these frames in the window, whose oldest frame has place 0.
    """

    frames: tuple[int, ...]
    offsets: tuple[int, ...]
    places: tuple[int, ...]


def choose_lags(lags: tuple[int, ...] | None, length: int, causal: bool) -> Lags:
    """
    Find the frames for given lags.

    :param lags: ascending numbers of frames; ``None`` for all that the window holds but the frame
        itself. In a centred window each looks back and ahead.
    :param length: temporal size ``L`` of the window.
    :param causal: whether the window ends at the frame.
    :raises ConfigError: if they do not ascend from 1 on, or one is not in the window.
    """
    reach = length - 1 if causal else length // 2
    if lags is None:
        chosen = tuple(range(1, reach + 1))
    else:
        chosen = _ascending('lags', lags, '(1, 2, 4, 7)')
        if chosen[-1] > reach:
            raise ConfigError(f'lags={lags!r} look {chosen[-1]} frames away, which a window of '
                              f'L={length} does not hold: expected at most {reach}')
    if not chosen:
        raise ConfigError(f'a window of L={length} holds no other frame to find displacements '
                          'from: expected 2 or more, 3 if it is centred')
    frames = chosen if causal else (*(-lag for lag in reversed(chosen)), *chosen)
    return Lags(frames, tuple(-lag for lag in frames), tuple(reach - lag for lag in frames))


def check_orders(orders: tuple[int, ...]) -> tuple[int, ...]:
    """
    Check orders.

    :raises ConfigError: if they do not ascend from 1 or more.
    """
    return _ascending('orders', orders, '(1, 2, 3)')


def _ascending(name: str, numbers: tuple[int, ...], example: str) -> tuple[int, ...]:
    try:
        found = tuple(numbers)
        if found and found[0] >= 1 and all(
                a < b for a, b in zip(found, found[1:], strict=False)) and all(
                isinstance(n, int) and not isinstance(n, bool) for n in found):
            return found
    except TypeError:
        pass
    raise ConfigError(f'{name} must be whole numbers that ascend from 1 or more, such as '
                      f'{example}, got {numbers!r}')


def check_window(window: tuple[int, int, int], causal: bool) -> tuple[int, int, int]:
    """
    Check a similarity window.

    :param window: ``(L, U, V)``: temporal, vertical and horizontal size.
    :param causal: ``L`` may be even only for a causal window.
    :returns: the window, as a tuple of ints.
    :raises ConfigError: if a size is below 1, or even where it has to be centred.
    """
    try:
        length, height, width = (operator.index(size) for size in window)
    except (TypeError, ValueError):
        length = height = width = 0
    if length < 1 or height < 1 or width < 1:
        raise ConfigError(f'window must be three whole numbers (L, U, V) above 0, got {window!r}')
    if height % 2 == 0 or width % 2 == 0:
        raise ConfigError(f'window (L, U, V) needs odd U and V to be centred, got {window!r}')
    if not causal and length % 2 == 0:
        raise ConfigError(f'a centred window (L, U, V) needs an odd L, got {window!r}')
    return length, height, width


def check_choices(**given: tuple[Any, tuple]) -> None:
    """
    Check settings, each with its choices.

    :raises ConfigError: if one is none of them.
    """
    for name, (choice, choices) in given.items():
        if choice not in choices:
            raise ConfigError(f'{name}={choice!r} is not allowed: expected one of {choices}')


def check_sizes(**given: tuple[float, int]) -> None:
    """
    Check sizes, each with the least that is allowed.

    :raises ConfigError: if one is smaller.
    """
    for name, (size, least) in given.items():
        if not (isinstance(size, (int, float)) and size >= least):
            raise ConfigError(f'{name}={size!r} is not allowed: expected {least} or more')


def check_unused(**given: tuple[float, float]) -> None:
    """
    Check settings of displacements in a block that reads none, each with its default.

    :raises ConfigError: if one is another.
    """
    for name, (value, default) in given.items():
        if value != default:
            raise ConfigError(f"{name}={value!r} has no effect with readout='encoding': expected "
                              f"{default}, or readout='displacement' or 'both'")


def check_times(times: Tensor | None, shape: tuple[int, ...], readout: str) -> None:
    """
    Check the stamps of frames; NaN stands for the frames before the first.

    :param times: seconds, expected shape ``(B, T)``, or ``None``.
    :param shape: that shape.
    :param readout: of the block, which may not use times.
    :raises ShapeError: if the shape is another.
    :raises ConfigError: if one is infinite, or NaN after a frame that has a stamp, or they do not
        increase, or are not used. What a compiler traces is not checked.
    """
    if times is None:
        return
    if readout == 'encoding':
        raise ConfigError("readout='encoding' does not use times: expected "
                          "readout='displacement' or 'both'")
    if not isinstance(times, Tensor):
        raise ShapeError(f'expected times as a tensor, {tuple(shape)}, got {type(times).__name__}')
    if tuple(times.shape) != tuple(shape) or not times.is_floating_point():
        raise ShapeError(f'expected times of floating point, {tuple(shape)}, as there are streams '
                         f'and frames, got {times.dtype}, {tuple(times.shape)}')
    if torch.compiler.is_compiling() or times.device.type == 'meta':
        return
    for row in times.detach().cpu():
        known = row[int((~row.isnan()).cumsum(0).eq(0).sum()):]
        if not len(known) or not known.isfinite().all():
            raise ConfigError('times must increase from frame to frame and be finite, with NaN '
                              f'only for those before the first, got {row.tolist()}')
        wrong = (known.diff() <= 0).nonzero()
        if len(wrong):
            first = int(wrong[0])
            raise ConfigError('times must increase from frame to frame, got '
                              f'{known[first].item()} s before {known[first + 1].item()} s')


def autocasts(device: torch.device) -> bool:
    """Tell whether autocast is on for a device; those that have none may not even be asked."""
    return (torch.amp.is_autocast_available(device.type)
            and torch.is_autocast_enabled(device.type))


def check_kind(name: str, tensor: Tensor, other: str, like: Tensor) -> None:
    """
    Check that two tensors can be computed with.

    :raises ShapeError: if they differ in device or dtype, and autocast does not mend it.
    """
    if tensor.device == like.device and autocasts(tensor.device):
        return
    if (tensor.device, tensor.dtype) != (like.device, like.dtype):
        raise ShapeError(f'{name} and {other} must be of one device and dtype: expected '
                         f'{like.dtype} on {like.device}, got {tensor.dtype} on {tensor.device}')


def check_features(features: Tensor, expected: str, out: nn.Linear) -> None:
    """
    Check features, and warn of what is not finite.

    :param features: to be checked.
    :param expected: their shape in words, the number of channels left open.
    :param out: the block's last layer, which gives such features.
    :raises ShapeError: if they do not fit.
    """
    axes = expected.count(',') + 1
    if features.dim() != axes or features.shape[-3] != out.out_features:
        raise ShapeError(f'expected features {expected.format(out.out_features)}, '
                         f'got {tuple(features.shape)}')
    if torch.compiler.is_compiling():
        return
    check_kind('features', features, 'the block', out.weight)
    # A sum is far cheaper than a look at each number, and not finite if one of them is not.
    wide = torch.promote_types(features.dtype, torch.float32)
    if holds_numbers(features) and not features.detach().sum(dtype=wide).isfinite():
        warnings.warn(f'features {tuple(features.shape)} hold NaN or infinity: so does what '
                      'depends on them', NotFiniteWarning, stacklevel=3)


def check_state(state: Any, x: Tensor, length: int, kept: list[int]) -> None:
    """
    Check the state of a stream.

    :param state: one cache an order, of which the maps may be apart.
    :param x: the next frame, shape ``(B, C, H, W)``.
    :param length: number of maps in a cache.
    :param kept: channels of each order's maps.
    :raises ShapeError: if they do not fit.
    """
    batch, _, rows, columns = x.shape
    together = [(batch, length, rows, columns, channels) for channels in kept]
    single = [(batch, rows * columns, channels) for channels in kept]
    # Of one shape in most blocks: then it is said once.
    expected, one = (', '.join(dict.fromkeys(map(str, shapes))) for shapes in (together, single))
    if not isinstance(state, (tuple, list)):
        raise ShapeError(f'expected a state of {len(kept)} tensors {expected}, '
                         f'such as initial_state() gives, got {type(state).__name__}')
    found = [_shape_of(cache) for cache in state]
    if len(found) != len(kept) or any(
            shape not in (whole, [apart] * length)
            for shape, whole, apart in zip(found, together, single, strict=True)):
        raise ShapeError(f'expected a state of {len(kept)} tensors {expected}, or of as many '
                         f'sequences of {length} tensors {one}, got {found}')
    if not torch.compiler.is_compiling():
        for cache in state:
            for tensor in [cache] if isinstance(cache, Tensor) else cache:
                check_kind('state', tensor, 'features', x)


def _shape_of(cache: Any) -> Any:
    """Describe a cache: its shape, a list of shapes, or the type's name where it is neither."""
    if isinstance(cache, Tensor):
        return tuple(cache.shape)
    if isinstance(cache, (tuple, list)):
        return [_shape_of(one) for one in cache]
    return type(cache).__name__
