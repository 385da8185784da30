"""Run a view of a system until it ends: the page, the terminal, lines, or one snapshot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
import json
import os
import shutil
import sys
import time

from moss_perception.core.errors import MossError
from moss_perception.core.resources import share_directory
from moss_perception.ros.monitor.access import Access
from moss_perception.ros.monitor.interface import SERVICES, TOPICS
from moss_perception.ros.monitor.lines import LineLog
from moss_perception.ros.monitor.state import WAITING
from moss_perception.ros.monitor.watcher import SystemWatcher

PERIOD_S = 0.5
# One more round of the diagnostics, so that the snapshot has rates and scores.
_SETTLE_S = 1.2


@dataclass(frozen=True)
class ViewSettings:
    """
    What to show, and of which system.

    :ivar predictor: name of its node.
    :ivar ros_args: ``--ros-args`` and the arguments for ROS.
    :ivar timeout_s: longest wait for the predictor, of :func:`show_once`, seconds.
    """

    predictor: str = 'grasp_predictor'
    ros_args: Sequence[str] = ()
    timeout_s: float = 10.0

    def watcher(self) -> SystemWatcher:
        """Make the node that watches."""
        return SystemWatcher(self.predictor, list(self.ros_args))


def show_once(settings: ViewSettings, as_json: bool) -> int:
    """
    Print the state once.

    :returns: 0; 1 if the predictor does not appear within the timeout.
    """
    with settings.watcher() as watcher:
        deadline_s = time.monotonic() + settings.timeout_s
        while watcher.state.phase == WAITING and time.monotonic() < deadline_s:
            watcher.changed.wait(0.1)
            watcher.changed.clear()
        found = watcher.state.phase != WAITING
        if found:
            time.sleep(_SETTLE_S)
        _print(watcher, as_json)
    return 0 if found else 1


def show_json(settings: ViewSettings) -> int:
    """Print the state as a line of JSON a second, until interrupted."""
    with settings.watcher() as watcher:
        _repeat(1.0, lambda: _print(watcher, as_json=True))
    return 0


def show_lines(settings: ViewSettings) -> int:
    """Log a line when something has changed, at most one a second, until interrupted."""
    with settings.watcher() as watcher:
        log = LineLog(watcher)
        _repeat(1.0, log.tick)
    return 0


def show_terminal(settings: ViewSettings) -> int:
    """Show the state full screen until interrupted."""
    from moss_perception.ros.monitor.terminal import live
    with settings.watcher() as watcher, live(watcher.state) as refresh:
        _repeat(PERIOD_S, refresh)
    return 0


def show_page(settings: ViewSettings, access: Access, lines: bool = False,
              opened: Callable[[str], None] = lambda url: None) -> int:
    """
    Serve the page until SIGINT or SIGTERM.

    :param lines: also log as :func:`show_lines` does.
    :param opened: called with the page's address once it is served.
    :raises MossError: if the port is taken.
    """
    from moss_perception.ros.monitor.server import serve
    with access.listen() as listening, settings.watcher() as watcher:
        url = access.url(listening.getsockname()[1])
        print(f'the page is on {url}', flush=True)
        if lines:
            LineLog(watcher).start()
        opened(url)
        serve(watcher, access, listening)
    return 0


def show_foxglove(settings: ViewSettings, host: str, port: int,
                  services: bool | None = None) -> int:
    """
    Serve Foxglove until interrupted.

    :param services: whether clients may call services; ``None`` for those of this machine alone.
    :raises MossError: if the port is taken.
    """
    from moss_perception.ros.monitor.foxglove_bridge import FoxgloveBridge
    with FoxgloveBridge(host, port, services, list(settings.ros_args)) as bridge:
        layout = share_directory() / 'foxglove' / 'grasp.json'
        print(f'connect Foxglove to ws://{host}:{bridge.port} and import the layout {layout}',
              flush=True)
        _repeat(1.0, lambda: None)
    return 0


def show_rviz(settings: ViewSettings) -> int:
    """
    Replace this process by RViz with the layout of this package.

    :raises MossError: if there is no RViz.
    """
    path = shutil.which('rviz2')
    if path is None:
        raise MossError('rviz2 is not on the PATH: expected RViz, such as the Debian package '
                        'ros-jazzy-rviz2, in a sourced ROS 2')
    space = _namespace(settings.ros_args)
    names = [f'/{name}' for name in (*TOPICS, *SERVICES) if space and not name.startswith('/')]
    remappings = [word for name in names for word in ('-r', f'{name}:={space}{name}')]
    os.execv(path, [path, '-d', str(share_directory() / 'rviz' / 'grasp.rviz'),
                    *(['--ros-args', *remappings] if remappings else [])])


def _namespace(ros_args: Sequence[str]) -> str:
    """Read the namespace from arguments for ROS; empty for none."""
    given = [word.partition(':=')[2] for word in ros_args if word.startswith('__ns:=')]
    return given[-1].rstrip('/') if given else ''


def _print(watcher: SystemWatcher, as_json: bool) -> None:
    if as_json:
        state = watcher.state
        print(json.dumps(state.snapshot() | {'history': state.history()}, allow_nan=False),
              flush=True)
        return
    from moss_perception.ros.monitor.terminal import print_screen
    print_screen(watcher.state, sys.stdout)


def _repeat(period_s: float, action: Callable[[], None]) -> None:
    """Act at once and then regularly, until Ctrl-C."""
    try:
        while True:
            action()
            time.sleep(period_s)
    except KeyboardInterrupt:
        return
