"""``moss monitor``: watch a running system in a terminal, on a page, or from a script."""

import argparse
import os
import signal
from typing import Any, TYPE_CHECKING
import webbrowser

from moss_perception.cli.common import UsageError
from moss_perception.core.errors import ConfigError
from moss_perception.ros.monitor.access import (
    Access,
    FOXGLOVE_PORT,
    LOOPBACK,
    PORT,
    TOKEN_VARIABLE,
)

if TYPE_CHECKING:
    from moss_perception.ros.monitor.session import ViewSettings

_VIEWS = ('web', 'once', 'json', 'lines', 'foxglove', 'rviz')
_TOGETHER = ({'once', 'json'}, {'web', 'lines'})


def add_monitor(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss monitor``."""
    parser.set_defaults(handler=watch)
    parser.description = (parser.description or '') + (
        ' Without an option it shows the terminal view; Ctrl-C ends it. It subscribes like any '
        'other node, and to images and motion features only while somebody looks at the page.')
    parser.add_argument('--node', default='grasp_predictor', metavar='NAME',
                        help='name of the predictor (default: %(default)s)')
    parser.add_argument('--once', action='store_true', help='print the state once and exit')
    parser.add_argument('--json', action='store_true',
                        help='print JSON: a line a second, or one with --once')
    parser.add_argument('--lines', action='store_true',
                        help='log a line when something changes, at most one a second; with '
                             '--web, too')
    parser.add_argument('--timeout', type=float, default=10.0, metavar='S',
                        help='with --once: longest wait for the predictor in seconds (default: '
                             '%(default)g)')
    page = parser.add_argument_group('page')
    page.add_argument('--web', action='store_true', help='serve a page')
    page.add_argument('--port', type=int, metavar='N',
                      help=f'port of the page; 0: any free one (default: {PORT})')
    page.add_argument('--host', metavar='ADDRESS',
                      help='address to serve on; others than loopback need a token (default: '
                           f'{LOOPBACK})')
    page.add_argument('--token', metavar='SECRET',
                      help=f'what viewers must know, 16 characters or more (default: '
                           f'{TOKEN_VARIABLE}, which other users of this machine cannot see)')
    page.add_argument('--open', action='store_true', help='open the page in a browser')
    others = parser.add_argument_group('other programs')
    others.add_argument('--foxglove', action='store_true',
                        help=f'serve Foxglove on --host and --port (default: {FOXGLOVE_PORT})')
    others.add_argument('--services', action='store_true',
                        help='with --foxglove --host ADDRESS: let whoever connects call services, '
                             'such as to pause or reset the predictor; there is no token '
                             '(default: on loopback only)')
    others.add_argument('--rviz', action='store_true', help='start RViz with its layout')
    parser.add_argument('--ros-args', nargs=argparse.REMAINDER, default=[], metavar='...',
                        help='arguments for ROS, such as -r __ns:=/arm')


def watch(arguments: argparse.Namespace) -> int:
    """
    Show the state of a system.

    :returns: 0; 1 if the predictor does not appear in time, with ``--once``.
    :raises UsageError: if the options contradict one another.
    :raises MossError: if the page's port is taken.
    """
    _check(arguments)
    # During the import of rclpy, Python's own handler would print a traceback.
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from moss_perception.ros.monitor import session
    signal.signal(signal.SIGINT, before)
    # A launch file ends its processes with either.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = session.ViewSettings(
        arguments.node, ['--ros-args', *arguments.ros_args], arguments.timeout)
    try:
        return _show(session, settings, arguments)
    except KeyboardInterrupt:
        # This is how a view ends.
        return 0


def _check(arguments: argparse.Namespace) -> None:
    chosen = {name for name in _VIEWS if getattr(arguments, name)}
    if len(chosen) > 1 and chosen not in _TOGETHER:
        raise UsageError(f'{", ".join(f"--{name}" for name in _VIEWS)}: expected one of them, '
                         '--once with --json, or --web with --lines')
    if not arguments.web and (arguments.open or arguments.token is not None):
        raise UsageError('--token and --open go with --web')
    if not (arguments.web or arguments.foxglove) and (
            arguments.port is not None or arguments.host is not None):
        raise UsageError('--port and --host go with --web or --foxglove')
    if arguments.services and not arguments.foxglove:
        raise UsageError('--services goes with --foxglove')


def _show(session: Any, settings: 'ViewSettings', arguments: argparse.Namespace) -> int:
    if arguments.web:
        return session.show_page(settings, _access(arguments), arguments.lines,
                                 webbrowser.open if arguments.open else lambda _: None)
    if arguments.foxglove:
        return session.show_foxglove(settings, arguments.host or LOOPBACK,
                                     FOXGLOVE_PORT if arguments.port is None else arguments.port,
                                     arguments.services or None)
    if arguments.rviz:
        return session.show_rviz(settings)
    if arguments.once:
        return session.show_once(settings, arguments.json)
    if arguments.lines:
        return session.show_lines(settings)
    return session.show_json(settings) if arguments.json else session.show_terminal(settings)


def _access(arguments: argparse.Namespace) -> Access:
    port = PORT if arguments.port is None else arguments.port
    token = os.environ.get(TOKEN_VARIABLE, '') if arguments.token is None else arguments.token
    try:
        return Access(arguments.host or LOOPBACK, port, token)
    except ConfigError as error:
        raise UsageError(str(error)) from error
