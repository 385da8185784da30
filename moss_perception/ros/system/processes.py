"""The arguments and processes of a system, as ``moss run`` and the launch files start them."""

from dataclasses import dataclass, field
from difflib import get_close_matches
import json
from pathlib import Path
import re
from typing import Any

from moss_perception.core.errors import ConfigError

SERVICE = 'service'
"""Role of a process that runs until the shutdown: if it ends earlier, the system has failed."""
STARTER = 'starter'
"""Role of a process that prepares the services: jobs start after its exit status 0."""
JOB = 'job'
"""Role of a process with a task: the system ends when it ends, with its exit status."""
WATCHER = 'watcher'
"""Role of a process that shows the system: it runs along, and its end changes nothing."""

BOOLEAN = ('true', 'false')
_TOPIC = re.compile(r'/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*', re.ASCII)
# The player's highest rate: in lock step the predictor's speed sets the pace.
FASTEST = 100.0


@dataclass(frozen=True)
class Argument:
    """
    One argument of a system, given as ``name:=value``.

    :ivar description: one line for the help text.
    :ivar choices: the allowed values; empty if they can't be listed.
    """

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()


LOG_LEVEL = Argument('log_level', 'info', 'lowest level that is logged',
                     ('debug', 'info', 'warn', 'error', 'fatal'))
MODEL = Argument('model', '', 'checkpoint (.safetensors); empty: the shipped one')
PARAMS_FILE = Argument(
    'params_file', '', 'YAML file of parameters that override config/grasp.yaml')


@dataclass(frozen=True)
class Process:
    """
    One process of a system: a node of this package, or a command.

    :ivar executable: name of the executable, as for ``ros2 run moss_perception``.
    :ivar name: the node's name.
    :ivar role: ``service``, ``starter``, ``job`` or ``watcher``.
    :ivar namespace: the node's namespace, absolute, or empty for none.
    :ivar arguments: arguments before ``--ros-args``.
    :ivar parameter_files: paths of YAML files; a later file overrides an earlier one.
    :ivar parameters: booleans, numbers, strings or lists of strings; they override the files.
    :ivar remappings: pairs (from, to).
    :ivar log_level: level of the process's loggers.
    :ivar lifecycle: whether it is a lifecycle node.
    :ivar early: whether a job starts with the services, so that it misses none of their messages.
    :ivar namespaces: absolute namespaces of several nodes of this name in one process, in place of
        ``namespace``.
    :ivar respawn: whether a service that ends is started again, and its lifecycle nodes are then
        activated again.
    :ivar plain: whether it is a command and not a node, so that it takes no ROS arguments.
    """

    executable: str
    name: str
    role: str = SERVICE
    namespace: str = ''
    arguments: tuple[str, ...] = ()
    parameter_files: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    remappings: tuple[tuple[str, str], ...] = ()
    log_level: str = 'info'
    lifecycle: bool = False
    early: bool = False
    namespaces: tuple[str, ...] = ()
    respawn: bool = False
    plain: bool = False

    @property
    def label(self) -> str:
        """The node's name, unique in a system: with its namespace, if it has one."""
        return f'{self.namespace}/{self.name}'.strip('/')

    @property
    def starts_with(self) -> str:
        """The role whose processes start at the same time."""
        return SERVICE if self.early else self.role

    def activates(self, other: 'Process') -> bool:
        """Whether this is the starter of another process, one of whose namespaces it is in."""
        return self.role == STARTER and other.lifecycle and (
            self.namespace in (other.namespaces or (other.namespace,)))

    def command_arguments(self) -> list[str]:
        """Return ``arguments``, and for a node ``--ros-args`` and the arguments for ROS."""
        if self.plain:
            return list(self.arguments)
        several = ['--namespaces', *self.namespaces] if self.namespaces else []
        words = [*self.arguments, *several, '--ros-args', '-r', f'__node:={self.name}']
        if self.namespace:
            words += ['-r', f'__ns:={self.namespace}']
        for source, target in self.remappings:
            words += ['-r', f'{source}:={target}']
        for path in self.parameter_files:
            words += ['--params-file', path]
        for key, value in self.parameters.items():
            # JSON is YAML: a path that looks like a number stays a string.
            words += ['-p', f'{key}:={json.dumps(value, ensure_ascii=False)}']
        return words + ['--log-level', self.log_level]


def check_values(arguments: list[Argument], values: dict[str, str]) -> dict[str, str]:
    """
    Check the given arguments, and add the defaults of the missing ones.

    :raises ConfigError: if a name is unknown, or a value is not one of its choices.
    """
    known = {argument.name: argument for argument in arguments}
    for name in values:
        if name not in known:
            near = get_close_matches(name, known, n=3, cutoff=0.5)
            raise ConfigError(f"unknown argument '{name}': expected "
                              + (' or '.join(near) if near else 'one of ' + ', '.join(known)))
    complete = {name: str(values.get(name, known[name].default)) for name in known}
    for name, argument in known.items():
        if argument.choices and complete[name] not in argument.choices:
            choices = ', '.join(choice or "''" for choice in argument.choices)
            raise not_allowed(name, complete[name], f'expected one of {choices}')
    return complete


def not_allowed(name: str, value: str, expected: str) -> ConfigError:
    """Return the error that an argument has a wrong value."""
    return ConfigError(f"argument '{name}' is '{value}': {expected}")


def check_topic(name: str, value: str) -> None:
    """
    Check an argument that names a topic.

    :raises ConfigError: if the value can't be a topic's name.
    """
    if not _TOPIC.fullmatch(value):
        raise not_allowed(name, value, 'expected a topic name')


def file_of(name: str, path: str) -> str:
    """
    Return the absolute path of an argument's file; empty for none.

    :raises ConfigError: if there is no such file.
    """
    if path and not Path(path).expanduser().is_file():
        raise not_allowed(name, path, 'there is no such file')
    return absolute(path) if path else ''


def absolute(path: str) -> str:
    """Return an absolute path without ``~`` and links."""
    return str(Path(path).expanduser().resolve())


def whole_number(name: str, text: str, lowest: int = 0) -> int:
    """
    Read an argument that is a whole number.

    :raises ConfigError: if it is none, or below the lowest.
    """
    if not (text.isascii() and text.isdigit() and lowest <= int(text) < 2**31):
        raise not_allowed(name, text, f'expected a whole number from {lowest}')
    return int(text)
