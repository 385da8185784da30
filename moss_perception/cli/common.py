"""Common code of the commands: options, logging, error handling, files, the CPU's name."""

import argparse
from collections.abc import Callable, Iterable, Mapping
import json
import logging
import os
from pathlib import Path
import platform
import select
import sys
from typing import Any

from moss_perception.core.errors import MossError
from moss_perception.core.files import replaced
from moss_perception.core.parallel import EXECUTORS, PROCESSES
from moss_perception.core.text import one_line

STATUSES = {0: 'done', 1: 'an error', 2: 'wrong arguments', 130: 'interrupted'}
"""Meaning of the exit statuses of all commands."""


def status_line(statuses: Mapping[int, str] | None = None) -> str:
    """
    Return the meaning of each exit status in one line, for the help text.

    :param statuses: meanings that differ from :data:`STATUSES`.
    """
    return 'Exit status: ' + ', '.join(f'{status} {meaning}' for status, meaning in sorted(
        {**STATUSES, **(statuses or {})}.items())) + '.'


class UsageError(MossError):
    """The arguments contradict one another, or one is missing: exit status 2."""


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add the options that name a checkpoint."""
    parser.add_argument('--model', default='', metavar='FILE',
                        help='checkpoint (default: the shipped one)')
    add_sha256(parser)


def add_sha256(parser, default: str | None = '') -> None:
    """Add the option for the digest of the checkpoint."""
    parser.add_argument('--sha256', default=default, metavar='HEX',
                        help='SHA-256 of the checkpoint (default: the one in SHA256SUMS)')


def add_executor(parser) -> None:
    """Add the option for what runs the workers."""
    parser.add_argument('--executor', choices=EXECUTORS,
                        help='what runs the workers: processes of this machine, or the Ray '
                             f'cluster of RAY_ADDRESS (default: {PROCESSES})')


def given_options(arguments: argparse.Namespace, names: Iterable[str]) -> set[str]:
    """
    Return which options the user gave, of those whose default is unset, false or no value.

    :param names: of options, as argparse stores them.
    """
    return {name for name in names if (value := getattr(arguments, name)) is not None
            and value is not False and value != []}


def refuse_others(given: set[str], allowed: Iterable[str], kind: str) -> None:
    """
    Refuse options that do not apply to a kind of input.

    :param given: options that the user gave, as argparse stores them.
    :raises UsageError: naming them.
    """
    if wrong := sorted(given - set(allowed)):
        named = ', '.join(f'--{name.replace("_", "-")}' for name in wrong)
        raise UsageError(f'{named}: not allowed with {kind}')


def set_defaults(arguments: argparse.Namespace, defaults: Mapping[str, Any]) -> None:
    """Set the options that the user did not give."""
    for name, value in defaults.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)


def print_json(result: Any, path: str | None) -> None:
    """
    Print a result as JSON, and write it to a file if there is a path.

    :raises MossError: if the file can't be written.
    """
    text = json.dumps(result, indent=2)
    print(text)
    if path:
        write_text(Path(path), text + '\n')


def set_up_logging() -> None:
    """Log to stderr, with the command's name before each line; messages are made harmless."""
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine('%(name)s: %(message)s'))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


class _OneLine(logging.Formatter):
    """Messages may hold names out of recordings; a traceback is our own."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, logging's name
        record.message = one_line(record.message)
        return super().formatMessage(record)


def run_command(command: Callable[[argparse.Namespace], int], arguments: argparse.Namespace,
                log: logging.Logger) -> int:
    """
    Run a command; log a known error in one line, and let an unknown one pass with its traceback.

    :returns: the command's exit status; 1 after a known error, or if what reads the output has
        ended, such as ``head``; 130 after Ctrl-C.
    """
    try:
        status = command(arguments)
        sys.stdout.flush()
        return status
    except MossError as error:
        log.error('%s', error)
        return 1
    except BrokenPipeError:
        if not _is_output_closed():
            raise
        log.error('the program that reads the output has ended, so the rest is not printed')
        return 1
    except KeyboardInterrupt:
        log.error('interrupted')
        return 130


def _is_output_closed() -> bool:
    """Tell whether nothing reads the output any more; if so, what is left of it goes nowhere."""
    state = select.poll()
    state.register(sys.stdout, select.POLLOUT)
    if not any(event & select.POLLERR for _, event in state.poll(0)):
        return False
    # Else Python complains when it flushes the output at the end.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return True


def read_text(path: Path) -> str:
    """
    Read a file.

    :raises MossError: if it can't be read.
    """
    if path.exists() and not path.is_file():
        raise MossError(f"{path} can't be read: expected a regular file")
    try:
        return path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, 'strerror', None) or 'it is not text'
        raise MossError(f"{path} can't be read: {reason}") from error


def write_text(path: Path, text: str) -> None:
    """Write a text file as :func:`write_bytes` does."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, data: bytes) -> None:
    """
    Write a file as a whole or not at all.

    :raises MossError: if it can't be written.
    """
    try:
        with replaced(path) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise MossError(f"{path} can't be written: {error.strerror}") from error


def cpu_name() -> str:
    """Return the model of this machine's processor, for the reports of measurements."""
    try:
        text = Path('/proc/cpuinfo').read_text()
    except OSError:
        return platform.processor()
    names = [line.partition(':')[2].strip() for line in text.splitlines()
             if line.startswith('model name')]
    return names[0] if names else platform.machine()
