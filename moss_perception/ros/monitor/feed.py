"""What all viewers of the page see: one text and one picture, made once for all of them."""

import asyncio
from dataclasses import dataclass
import json
import time

from moss_perception.ros.monitor.watcher import SystemWatcher

PERIOD_S = 0.1
"""Shortest time between two frames of the feed, seconds."""
_BEAT_S, _HISTORY_S = 1.0, 0.5


@dataclass(frozen=True)
class Frame:
    """
    What is sent to a viewer.

    :ivar number: grows by one with each frame.
    :ivar text: the state as JSON.
    :ivar history: the last minute of scores as JSON.
    :ivar history_number: grows when the history changes.
    :ivar jpeg: the picture; empty for none.
    :ivar jpeg_number: grows when the picture changes.
    """

    number: int = 0
    text: str = ''
    history: str = ''
    history_number: int = 0
    jpeg: bytes = b''
    jpeg_number: int = 0


class Feed:
    """
    Makes frames while somebody looks.

    :param watcher: a running one.
    """

    def __init__(self, watcher: SystemWatcher):
        self._watcher = watcher
        self.viewers = 0
        self._frame = Frame()
        self._changed = asyncio.Condition()
        self._version, self._made_s, self._history_s = -1, 0.0, 0.0
        self._picture: object = None

    def join(self) -> None:
        """Count a viewer."""
        self.viewers += 1
        self._watcher.looking = True

    def leave(self) -> None:
        """Count a viewer no longer."""
        self.viewers -= 1
        self._watcher.looking = self.viewers > 0

    async def run(self) -> None:
        """Make frames until cancelled."""
        while True:
            if self.viewers:
                await self._refresh()
            await asyncio.sleep(PERIOD_S)

    async def after(self, number: int) -> Frame:
        """Wait for a newer frame than this one, and return it."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._frame.number > number)
            return self._frame

    async def _refresh(self) -> None:
        now_s, version = time.monotonic(), self._watcher.state.version
        if version == self._version and now_s - self._made_s < _BEAT_S:
            return
        self._version, self._made_s = version, now_s
        # Decoding may take longer than viewers want to wait for their other messages.
        frame = await asyncio.to_thread(self._make, now_s)
        async with self._changed:
            self._frame = frame
            self._changed.notify_all()

    def _make(self, now_s: float) -> Frame:
        watcher, before = self._watcher, self._frame
        snapshot = watcher.state.snapshot()
        picture = watcher.pictures.of(watcher.state.shown_stamp_ns)
        snapshot |= {'motion': watcher.heat.newest, 'viewers': self.viewers,
                     'picture': None if picture is None else {
                         'size': picture.size, 'stamp': picture.stamp_ns / 1e9},
                     'picture_problem': watcher.pictures.problem}
        history, history_number = before.history, before.history_number
        if now_s - self._history_s >= _HISTORY_S:
            self._history_s = now_s
            history, history_number = dumps({'history': watcher.state.history()}), (
                history_number + 1)
        newer = picture is not self._picture
        self._picture = picture
        return Frame(before.number + 1, dumps({'state': snapshot}), history, history_number,
                     b'' if picture is None else picture.jpeg, before.jpeg_number + newer)


def dumps(value: object) -> str:
    """Write JSON without spaces; there must be no NaN in it."""
    return json.dumps(value, separators=(',', ':'), allow_nan=False, ensure_ascii=False)
