"""What the commands share: one line for a known error, and where the shipped model lies."""

import argparse
from collections.abc import Callable
import logging

from moss_perception import resources
from moss_perception.errors import MossError

SHIPPED_MODEL = 'models/grasp_moss.safetensors'


def set_up_logging() -> None:
    """Log to stderr, the command's name before each line."""
    logging.basicConfig(level=logging.INFO, format='%(name)s: %(message)s')


def run_command(command: Callable[[argparse.Namespace], int], arguments: argparse.Namespace,
                log: logging.Logger) -> int:
    """
    Run a command; a known error becomes one line, an unknown one keeps its traceback.

    :returns: the command's exit status; 1 after a known error, 130 after Ctrl-C.
    """
    try:
        return command(arguments)
    except MossError as error:
        log.error('%s', error)
        return 1
    except KeyboardInterrupt:
        log.error('interrupted')
        return 130


def model_path(path: str) -> str:
    """Return the path, or the shipped model's if it is empty."""
    return path or str(resources.share_directory() / SHIPPED_MODEL)
