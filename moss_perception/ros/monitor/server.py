"""The page: a static file, and a WebSocket that brings the state and takes the buttons."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
import json
from pathlib import Path
import socket
from typing import Any

from moss_perception.ros.monitor.access import Access, same_origin
from moss_perception.ros.monitor.feed import dumps, Feed, Frame
from moss_perception.ros.monitor.watcher import SystemWatcher
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
import uvicorn

PAGE = Path(__file__).parent / 'page'
WRONG_TOKEN, FOREIGN = 4401, 4403
"""Codes with which the WebSocket is closed."""
_TYPES = {'.html': 'text/html', '.css': 'text/css', '.js': 'text/javascript'}
_HEADERS = {
    'Content-Security-Policy': "default-src 'none'; script-src 'self'; style-src 'self'; "
                               "img-src 'self' blob: data:; connect-src 'self'; "
                               "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    'X-Content-Type-Options': 'nosniff', 'Referrer-Policy': 'no-referrer',
    'Cache-Control': 'no-cache'}
_HELLO_S, _ANSWER_S = 5.0, 5.0
_LONGEST_MESSAGE = 4096
_MOST_CONNECTIONS = 100


def build_app(watcher: SystemWatcher, access: Access) -> Starlette:
    """
    Build the application.

    :param watcher: a running one.
    """
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        app.state.feed = Feed(watcher)
        task = asyncio.create_task(app.state.feed.run())
        yield
        task.cancel()

    async def live(socket: WebSocket) -> None:
        await _serve_viewer(socket, watcher, access, socket.app.state.feed)

    async def state(request: Request) -> Response:
        kind, _, token = request.headers.get('authorization', '').partition(' ')
        if not access.knows(token if kind == 'Bearer' else ''):
            return JSONResponse({'error': 'expected the header Authorization: Bearer TOKEN'}, 401)
        return Response(dumps(watcher.state.snapshot()), media_type='application/json')

    routes = [Route('/state', state), WebSocketRoute('/live', live)]
    for name in ('index.html', 'page.css', 'page.js', 'draw.js', 'icon.svg'):
        routes.append(Route('/' if name == 'index.html' else f'/{name}', _file(PAGE / name)))
    return Starlette(routes=routes, middleware=[Middleware(_OwnNames, access=access)],
                     lifespan=lifespan)


class _OwnNames:
    """
    Refuses requests for foreign names.

    Starlette's TrustedHostMiddleware takes no IPv6 address: it cuts the name at the first colon.
    """

    def __init__(self, app: ASGIApp, access: Access):
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope['type'] in ('http', 'websocket'):
            host = Headers(scope=scope).get('host', '')
            if not self._access.is_asked_for(host):
                refusal = PlainTextResponse(
                    f'Host {host[:100]!r} is not a name of this page: expected the address that '
                    'moss monitor has printed', 400)
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _file(path: Path) -> Any:
    async def send(_: Request) -> Response:
        return FileResponse(path, media_type=_TYPES.get(path.suffix, 'image/svg+xml'),
                            headers=_HEADERS)
    return send


async def _serve_viewer(socket: WebSocket, watcher: SystemWatcher, access: Access,
                        feed: Feed) -> None:
    await socket.accept()
    # A viewer may leave at any time, amid a message too.
    with suppress(WebSocketDisconnect, RuntimeError, OSError):
        if not same_origin(socket.headers):
            await socket.close(FOREIGN, 'expected the page of this server')
        elif not access.knows(await _token(socket)):
            await socket.close(WRONG_TOKEN, 'expected the token')
        else:
            await _Viewer(socket, watcher).serve(feed)


async def _token(socket: WebSocket) -> object:
    try:
        message = _read(await asyncio.wait_for(socket.receive_text(), _HELLO_S))
    except asyncio.TimeoutError:
        return None
    return message.get('token')


def _read(text: str) -> dict[str, Any]:
    """Read a message of the page; whatever else comes is an empty one."""
    try:
        message = json.loads(text)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}


class _Viewer:
    """
    One open page. It asks for each frame, so that a slow one gets fewer and not late ones.

    :param socket: accepted.
    """

    def __init__(self, socket: WebSocket, watcher: SystemWatcher):
        self._socket, self._watcher = socket, watcher
        self._wanted, self._sending = asyncio.Event(), asyncio.Lock()
        self._seen = Frame()

    async def serve(self, feed: Feed) -> None:
        """Send frames and carry out actions until the viewer leaves."""
        feed.join()
        sender = asyncio.create_task(self._send_frames(feed))
        actions: set[asyncio.Task] = set()
        try:
            while True:
                message = _read(await self._socket.receive_text())
                if message.get('next'):
                    self._wanted.set()
                if isinstance(action := message.get('do'), str) and not actions:
                    actions.add(task := asyncio.create_task(self._act(action)))
                    task.add_done_callback(actions.discard)
        finally:
            feed.leave()
            for task in (sender, *actions):
                task.cancel()
            await asyncio.gather(sender, *actions, return_exceptions=True)

    async def _send_frames(self, feed: Feed) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            frame, before = await feed.after(self._seen.number), self._seen
            async with self._sending:
                if frame.history_number > before.history_number:
                    await self._socket.send_text(frame.history)
                # The picture first: the page draws when the state has come.
                if frame.jpeg_number > before.jpeg_number:
                    await self._socket.send_bytes(frame.jpeg)
                await self._socket.send_text(frame.text)
            self._seen = frame

    async def _act(self, action: str) -> None:
        done, text = await _result(self._watcher, action)
        async with self._sending:
            await self._socket.send_text(dumps(
                {'answer': {'action': action[:40], 'done': done, 'text': text}}))


async def _result(watcher: SystemWatcher, action: str) -> tuple[bool, str]:
    """Carry out an action, and wait for what the node says."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[tuple[bool, str]] = loop.create_future()

    def answer(done: bool, text: str) -> None:
        loop.call_soon_threadsafe(lambda: future.done() or future.set_result((done, text)))

    watcher.commands.call(action, answer)
    try:
        return await asyncio.wait_for(future, _ANSWER_S)
    except asyncio.TimeoutError:
        return False, f'the node did not answer within {_ANSWER_S:g} s'


def make_server(watcher: SystemWatcher, access: Access) -> uvicorn.Server:
    """
    Make the server; run it with ``run(sockets=[...])``.

    :param watcher: a running one.
    """
    return uvicorn.Server(uvicorn.Config(
        build_app(watcher, access), log_level='error', access_log=False, lifespan='on',
        ws='websockets-sansio', ws_max_size=_LONGEST_MESSAGE, ws_per_message_deflate=False,
        limit_concurrency=_MOST_CONNECTIONS, timeout_graceful_shutdown=1))


def serve(watcher: SystemWatcher, access: Access, opened: socket.socket) -> None:
    """
    Serve the page until SIGINT or SIGTERM.

    :param opened: of :meth:`moss_perception.ros.monitor.access.Access.listen`.
    """
    with suppress(KeyboardInterrupt):
        make_server(watcher, access).run(sockets=[opened])
