"""Serves the page of moss monitor, and a viewer who asks for its states as the page does."""

from contextlib import contextmanager, suppress
import json
import threading
import time

from moss_perception.ros.monitor.server import make_server
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

TOKEN = 'a-secret-of-some-length'


@contextmanager
def served(watcher, access):
    """Serve the page from a thread; yields its address, such as 127.0.0.1:12345."""
    server = make_server(watcher, access)
    with access.listen() as listening:
        thread = threading.Thread(target=server.run, kwargs={'sockets': [listening]})
        thread.start()
        try:
            host = f'[{access.host}]' if ':' in access.host else access.host
            yield f'{host}:{listening.getsockname()[1]}'
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


@contextmanager
def viewer(address, token='', **headers):
    """Connect to the page as a browser does; its address is such as 127.0.0.1:12345."""
    with connect(f'ws://{address}/live', additional_headers=headers) as socket:
        # One that is refused may be closed already.
        with suppress(ConnectionClosed):
            socket.send(json.dumps({'token': token}))
        yield socket


def state_of(socket, until=lambda state: True, timeout_s=20.0, pictures=None):
    """Ask for states until one fits; the bytes of the pictures are added to a list."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        socket.send('{"next":1}')
        message = socket.recv(timeout=timeout_s)
        while isinstance(message, bytes) or 'state' not in (read := json.loads(message)):
            if isinstance(message, bytes) and pictures is not None:
                pictures.append(message)
            message = socket.recv(timeout=timeout_s)
        if until(read['state']):
            return read['state']
    raise AssertionError(f'no such state; last: {read["state"]}')
