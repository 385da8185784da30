"""Play a recording through the nodes, each in its own process, and watch them."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
import os
from pathlib import Path
import re
import time
from typing import Any

from moss_perception.cli.demo.source import CANDIDATES_TOPIC, Source
from moss_perception.core.errors import MossError
from moss_perception.ros.observer import Observer
from moss_perception.ros.system.grasp import grasp_system
from moss_perception.ros.system.processes import FASTEST, JOB, Process, WATCHER
from moss_perception.ros.system.supervisor import Supervisor

_COMPRESSED = '/compressed'
_POLL_S = 0.1
_CONNECT_S = 10.0
# Diagnostics come once a second.
_SETTLE_S = 10.0
_LOG_LINE = re.compile(r'\[(ERROR|FATAL)\] \[[\d.]+\] \[([^\]]*)\]: (.*)')
# Without the gate: in lock step the clock may run ahead of it, which makes it warn needlessly.
_WARNING = re.compile(r'\[WARN\] \[[\d.]+\] \[((?:grasp_predictor|bag_player)[^\]]*)\]: (.*)')
_PLAIN_ERROR = re.compile(r'(\w+): (.*\b(expected|error)\b.*)', re.IGNORECASE)


@dataclass(frozen=True)
class RunSettings:
    """
    The settings of a run.

    :ivar rate: 1.0 is as recorded; ``None`` for lock step, as fast as possible.
    :ivar model: checkpoint; empty for the shipped one.
    :ivar sha256: expected digest of the checkpoint; empty to read SHA256SUMS beside it.
    :ivar stall_s: seconds without progress before giving up.
    :ivar domain_id: ROS_DOMAIN_ID of the run.
    :ivar budget: level of the model's budget, such as ``1,2``; empty: as the time allows.
    :ivar watch: port of a page that shows the run and is opened in a browser; 0 for none.
    """

    rate: float | None = None
    model: str = ''
    sha256: str = ''
    stall_s: float = 60.0
    domain_id: int = 0
    budget: str = ''
    watch: int = 0

    @property
    def pace(self) -> str:
        """The playback speed in words."""
        return f'rate {self.rate:g}' if self.rate else 'lock step'


def choose_domain() -> int:
    """Choose a ROS domain that other systems on this machine are unlikely to use."""
    return 1 + os.getpid() % 100


def describe_run(source: Source, settings: RunSettings, timing_log: Path) -> list[Process]:
    """
    Describe the processes of a run.

    :param source: recording to play.
    :param settings: settings of the run.
    :param timing_log: CSV file for the player to write.
    :raises ConfigError: if a setting is not allowed.
    """
    values = {
        'bag': str(source.path), 'image_topic': source.image_topic.removesuffix(_COMPRESSED),
        'image_transport': 'compressed' if source.compressed else 'raw',
        'candidates_topic': CANDIDATES_TOPIC, 'model': settings.model,
        'bag_rate': str(settings.rate or FASTEST),
        'lock_step': 'false' if settings.rate else 'true', 'console': 'false',
        'web': 'true' if settings.watch else 'false'}
    if settings.watch:
        values['web_port'] = str(settings.watch)
    if source.camera_topic is not None:
        values['camera_info_topic'] = source.camera_topic
    extra = {
        'grasp_predictor': {'qos_reliability': 'reliable', 'publish_features': False},
        'bag_player': {
            'topics': source.topics, 'qos_reliability': 'reliable',
            'timing_log': str(timing_log), 'start_delay': 30.0}}
    if settings.budget:
        extra['grasp_predictor']['budget'] = settings.budget
    if settings.sha256:
        extra['grasp_predictor']['model_sha256'] = settings.sha256
    return [replace(p, parameters={**p.parameters, **extra.get(p.executable, {})},
                    arguments=(*p.arguments, '--open') if p.role == WATCHER else p.arguments)
            for p in grasp_system(values)]


class _Nodes(Supervisor):
    """
    A supervisor that waits before the recording is played and after it has ended.

    :param ready: called before the jobs start.
    :param settle: called once at the end, after a success.
    """

    def __init__(self, processes: list[Process], ready: Callable[[], None],
                 settle: Callable[[], None], **options: Any):
        super().__init__(processes, **options)
        self._ready = ready
        self._settle: Callable[[], None] | None = settle

    def _start_role(self, role: str) -> None:
        if role == JOB:
            self._ready()
        super()._start_role(role)

    def stop(self) -> None:
        """End every process; after a success, wait for the last diagnostics first."""
        settle, self._settle = self._settle, None
        if self._status == 0 and settle is not None:
            settle()
        super().stop()


class Log:
    """Keep the log lines of the nodes, and find errors and warnings in them."""

    def __init__(self, show: Callable[[str], None] | None = None):
        self.lines: list[tuple[str, str]] = []
        self._show = show

    def __call__(self, name: str, line: str) -> None:
        """Keep a line; may be called from any thread."""
        self.lines.append((name, line))
        if self._show is not None:
            # The terminal may be gone, but the nodes still have to be stopped.
            with suppress(OSError):
                self._show(f'[{name}] {line}')

    def warnings(self) -> list[str]:
        """List the warnings of the predictor and the player, each once."""
        found = [_WARNING.search(line) for _, line in self.lines]
        return list(dict.fromkeys(f'{x[1]}: {x[2]}' for x in found if x))

    def reason(self) -> str:
        """Return the first logged error of a node, or else the last lines."""
        spoken = [(name, line) for name, line in self.lines if name != 'run']
        for pattern, node, text in ((_LOG_LINE, 2, 3), (_PLAIN_ERROR, 1, 2)):
            for _, line in spoken:
                if found := pattern.search(line):
                    return f'{found[node]}: {found[text]}'
        ends = [line for name, line in self.lines if name == 'run']
        last = [f'{name}: {line}' for name, line in spoken if line.strip()]
        return '; '.join(ends[:1] + last[-1:]) or 'the nodes ended without a message'


def play(source: Source, settings: RunSettings, timing_log: Path, observer: Observer,
         on_tick: Callable[[], None], log: Log) -> None:
    """
    Play a recording through the nodes, and stop all nodes at its end.

    :param observer: observer that is already subscribed.
    :param on_tick: called several times a second.
    :param log: collects the log lines of the nodes.
    :raises MossError: if a node failed, or no frame was processed for too long.
    """
    def ready() -> None:
        # A short recording could end before discovery does, so that its scores would be lost.
        deadline = time.monotonic() + _CONNECT_S
        while not observer.connected and time.monotonic() < deadline:
            time.sleep(_POLL_S / 2)

    def settle() -> None:
        ended, deadline = time.monotonic(), time.monotonic() + _SETTLE_S
        while time.monotonic() < deadline and not (
                len(observer.statuses) >= source.frames and not observer.awaited
                and observer.diagnosed_at > max(ended, observer.progressed_at)):
            time.sleep(_POLL_S / 2)
            on_tick()

    nodes = _Nodes(
        describe_run(source, settings, timing_log), ready, settle, show=log,
        environment={'ROS_DOMAIN_ID': str(settings.domain_id),
                     'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'})
    try:
        nodes.start()
        while (status := nodes.wait(_POLL_S)) is None:
            on_tick()
            if time.monotonic() - observer.progressed_at > settings.stall_s:
                raise MossError(
                    f'no frame was processed for {settings.stall_s:g} s, after '
                    f'{len(observer.statuses)} of {source.frames}: giving up; {log.reason()}')
    finally:
        nodes.stop()
    on_tick()
    if status != 0:
        raise MossError(log.reason())
