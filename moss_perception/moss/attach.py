"""MOSS in any host: put into its modules by name, without hooks, and taken out again."""

from collections import OrderedDict
from collections.abc import Mapping
import copy
import copyreg
import difflib
import functools
import types
from typing import Any, cast, SupportsIndex, TYPE_CHECKING

from moss_perception.core.errors import ConfigError
from moss_perception.moss.block import MOSS
from moss_perception.moss.placement import Placement
import torch
from torch import nn, Tensor

# For a type checker the extension is what it becomes: a module.
_Module = nn.Module if TYPE_CHECKING else object


class Attached(_Module):
    """
    What a host module's class is extended by while a MOSS is attached to it.

    The MOSS is the module's submodule ``moss``, so that it is saved, moved and trained with the
    host, whose own keys stay as they are.
    """

    moss: MOSS
    moss_placement: Placement
    moss_base: type[nn.Module]

    def __reduce_ex__(self, protocol: SupportsIndex):
        # The class is made on the fly, so a pickle has to name the host's own.
        make, arguments, *rest = super().__reduce_ex__(protocol)
        plain = copyreg.__newobj__  # pyright: ignore[reportAttributeAccessIssue]  not in typeshed
        if make is plain and arguments == (_attached_class(self.moss_base),):
            make, arguments = _new_attached, (self.moss_base,)
        return (make, arguments, *rest)


class AttachedSequential(Attached):
    """The same for :class:`torch.nn.Sequential`, in whose sequence the MOSS is no part."""

    def _own(self) -> OrderedDict[str, nn.Module]:
        own = ((name, module) for name, module in self._modules.items() if name != 'moss')
        return cast(OrderedDict[str, nn.Module], OrderedDict(own))

    def __iter__(self):
        return iter(self._own().values())

    def __len__(self) -> int:
        return len(self._own())

    def __getitem__(self, index):
        return nn.Sequential(self._own())[index]


def _new_attached(base: type[nn.Module]) -> nn.Module:
    cls = _attached_class(base)
    return cls.__new__(cls)


@functools.cache
def _attached_class(base: type[nn.Module]) -> type[nn.Module]:
    """Extend a module's class: the same name and signature, and MOSS after its forward."""
    mixin = AttachedSequential if issubclass(base, nn.Sequential) else Attached

    @functools.wraps(base.forward)
    def forward(self, *args, **kwargs):
        return _replace_first(self, base.forward(self, *args, **kwargs))

    members = {'forward': forward, 'moss_base': base, '__doc__': base.__doc__,
               '__module__': base.__module__, '__qualname__': base.__qualname__}
    return types.new_class(base.__name__, (mixin, base), {}, lambda body: body.update(members))


def _replace_first(module: Attached, output: Any) -> Any:
    """Pass a module's output, or the first tensor in it, through its MOSS."""
    placement, moss = module.moss_placement, module.moss
    if isinstance(output, Tensor):
        return placement.run(moss, output)
    if isinstance(output, Mapping):
        items = output.items()
    elif isinstance(output, (tuple, list)):
        items = enumerate(output)
    else:
        items = ()
    for key, value in items:
        if isinstance(value, Tensor):
            return _with_item(output, key, placement.run(moss, value))
    raise ConfigError(f'host module {placement.name!r}: expected a tensor, or a tuple, list or '
                      f'mapping with one, got {type(output).__name__} without a tensor')


def _with_item(output: Any, key: Any, value: Tensor) -> Any:
    """Copy an output with one item replaced."""
    if isinstance(output, tuple):
        items = [*output[:key], value, *output[key + 1:]]
        # A named tuple is made by its own method.
        return getattr(output, '_make', tuple)(items)
    changed = copy.copy(output)
    changed[key] = value
    return changed


def attach(model: nn.Module, modules: Mapping[str, MOSS], layout: str | Mapping[str, str], *,
           frames: int | Mapping[str, int] | None = None,
           grid: tuple[int, int, int] | Mapping[str, tuple[int, int, int]] | None = None,
           ) -> nn.Module:
    """
    Put MOSS after modules of a host, in place; at first the host computes what it did before.

    Each output, or the first tensor in it, passes through its MOSS. Nothing is hooked: the named
    modules get a class of the same name, extended, and a submodule ``moss``, so the keys of the
    host's ``state_dict`` stay and ``<name>.moss.*`` are added. A module that the host reads but
    does not call, as fused attention does, is not seen. Example::

        model = timm.create_model('vit_small_patch16_224')
        attach(model, {'blocks.3': MOSS(384), 'blocks.7': MOSS(384)}, '(NT)LC+cls', frames=8)
        logits = model(clips.flatten(0, 1))     # clips (N, 8, 3, 224, 224)
        with streaming(model), torch.no_grad():
            logits = model(frame)               # frame (1, 3, 224, 224): the next of the stream

    :param model: the host.
    :param modules: a block for each name, as of ``model.named_modules()``.
    :param layout: one of :data:`~moss_perception.moss.layouts.LAYOUTS`, or one by name.
        ``N(THW)C`` are joint tokens frame by frame, as in VideoMAE; ``N(HWT)C`` place by place,
        as in TimeSformer.
    :param frames: ``T`` of ``(NT)…`` layouts, or one by name.
    :param grid: ``(T, H, W)`` of joint tokens, and of ``(NT)LC`` whose map is not square; or one
        by name.
    :returns: the same host.
    :raises ConfigError: if a name or layout is not known, a size is missing, or a block or module
        can't be used; the host is then unchanged. What does not fit the features, such as the
        number of channels, is raised by the host's forward: :class:`ShapeError`, or ConfigError
        for mixed devices or dtypes.
    """
    if not modules:
        raise ConfigError('expected at least one name with a MOSS, got none')
    plan = []
    for name, moss in modules.items():
        module = _find(model, name)
        _check_module(name, module)
        _check_moss(model, name, moss, modules)
        if any(module is other for other, _, _ in plan):
            raise ConfigError(f'{name!r} is a module that has another of the names as well: '
                              f'expected each module once, got {list(modules)}')
        sizes = (_of(value, name, what) for value, what in
                 ((layout, 'layout'), (frames, 'frames'), (grid, 'grid')))
        plan.append((module, moss, Placement(name, *sizes)))
    for module, moss, placement in plan:
        _change_class(module, _attached_class(type(module)))
        module.moss_placement = placement
        module.moss = moss.train(module.training)
    return model


# Which class a module has is decided while the program runs, which type checkers don't follow.
def _change_class(module: Any, cls: type[nn.Module]) -> None:
    module.__class__ = cls


def detach(model: nn.Module, names: list[str] | None = None) -> dict[str, MOSS]:
    """
    Remove MOSS from a host and restore the host.

    :param model: the host.
    :param names: of modules that have one; default: all.
    :returns: the blocks by name, ready to be attached again.
    :raises ConfigError: if a module has none, or its class was changed since, as by a
        parametrization; the host is then unchanged.
    """
    there = attached(model)
    modules = there if names is None else {name: _find(model, name) for name in names}
    for name, module in modules.items():
        if not isinstance(module, Attached):
            raise ConfigError(f'no MOSS is attached to {name!r}: expected one of {list(there)}')
        if type(module) is not _attached_class(module.moss_base):
            raise ConfigError(f'the class of {name!r} was changed since its MOSS was attached, to '
                              f'{type(module).__name__}: expected that to be undone first')
    removed = {}
    for name, module in modules.items():
        removed[name] = module.moss
        base: Any = module.moss_base
        del module.moss, module.moss_placement
        _change_class(module, base)
    return removed


def attached(model: nn.Module) -> dict[str, Attached]:
    """Return the modules of a host that have a MOSS, by name."""
    return {name: module for name, module in model.named_modules()
            if isinstance(module, Attached)}


def _find(model: nn.Module, name: str) -> nn.Module:
    modules = dict(model.named_modules(remove_duplicate=False))
    if name in modules:
        return modules[name]
    near = difflib.get_close_matches(str(name), modules, n=3, cutoff=0.4)
    known = near or [name for name, _ in model.named_children()]
    raise ConfigError(f'the host {type(model).__name__} has no module {name!r}: '
                      f'{"nearest are" if near else "it has"} {", ".join(map(repr, known))}')


def _check_module(name: str, module: nn.Module) -> None:
    kind = type(module).__name__
    if isinstance(module, Attached):
        raise ConfigError(f'{name!r} has a MOSS already: detach it first')
    if isinstance(module, (MOSS, torch.jit.ScriptModule)):
        raise ConfigError(f'{name!r} is a {kind}, which nothing can be attached to: '
                          'expected a module of the host, in eager mode')
    if isinstance(module, nn.ModuleDict) or type(module).forward is nn.Module.forward:
        raise ConfigError(f'{name!r} is a {kind}, a container that is not called itself: '
                          f'expected a module with a forward, such as {name}.0')
    for attribute in ('moss', 'moss_placement'):
        if hasattr(module, attribute):
            raise ConfigError(f'{name!r} ({kind}) has an attribute {attribute!r} of its own: '
                              'expected a module without')
    if 'forward' in vars(module):
        raise ConfigError(f"{name!r} ({kind}) has a forward put over its class's, which would "
                          'bypass the MOSS: expected it to be removed first')


def _check_moss(model: nn.Module, name: str, moss: MOSS, modules: Mapping[str, MOSS]) -> None:
    if not isinstance(moss, MOSS):
        raise ConfigError(f'{name!r}: expected a MOSS, got {type(moss).__name__}')
    users = [other for other, block in modules.items() if block is moss]
    users += [other for other, module in model.named_modules() if module is moss]
    if len(users) > 1:
        raise ConfigError(f'one MOSS was given for {users}: expected one of its own for each '
                          'module')


def _of(value: Any, name: str, what: str) -> Any:
    """Return the value for one name, from one value for all or a mapping by name."""
    if not isinstance(value, Mapping):
        return value
    if name not in value and what == 'layout':
        raise ConfigError(f'{what} has no entry for {name!r}: it has {list(value)}')
    return value.get(name)
