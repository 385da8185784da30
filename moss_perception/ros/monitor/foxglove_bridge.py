"""Serves a system's topics and services to Foxglove, by its SDK; no other bridge is needed."""

from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
import functools
from typing import Any

import foxglove
from foxglove.websocket import (
    Capability,
    MessageSchema,
    ServerListener,
    Service,
    ServiceRequest,
    ServiceSchema,
    WebSocketServer,
)
from moss_perception.core.errors import MossError
from moss_perception.data.bags.writer import definition_of
from moss_perception.ros.common.guard import guarded, read
from moss_perception.ros.common.spinning import create_steady_timer
from moss_perception.ros.common.subscriptions import message_class
from moss_perception.ros.common.threaded import ThreadedNode
from moss_perception.ros.monitor.access import FOXGLOVE_PORT, is_loopback, LOOPBACK
from moss_perception.ros.monitor.interface import (
    absolute,
    LATCHED,
    parts_of,
    SERVICES,
    SET_BOOL,
    TOPICS,
)
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from std_srvs.srv import SetBool, Trigger

_ANSWER_S = 5.0
_CHECK_S = 0.2


class FoxgloveBridge(ThreadedNode, ServerListener):
    """
    A node in its own thread with a server for Foxglove; a context manager.

    It subscribes to a topic only while a client of Foxglove does: a picture that nobody shows is
    not drawn.

    :param host: address to serve on.
    :param port: 0 for any free one.
    :param services: whether clients may call services, such as to pause or reset the predictor:
        the SDK asks them for no secret, and does not look at the Origin of a page. ``None`` for
        those of this machine alone.
    :param args: arguments for ROS.
    :raises MossError: if the port is taken.
    """

    def __init__(self, host: str = LOOPBACK, port: int = FOXGLOVE_PORT,
                 services: bool | None = None, args: list[str] | None = None):
        ThreadedNode.__init__(self, 'grasp_foxglove', args)
        self._host, self._port = host, port
        self._with_services = is_loopback(host) if services is None else services
        self._wanted: dict[str, int] = {}
        self._anew: set[str] = set()
        self._subscriptions: dict[str, Any] = {}

    def _connect(self) -> None:
        space = self._node.get_namespace().rstrip('/')
        # The server does not keep it, and advertises no topics without it.
        self._sink = context = foxglove.Context()
        self._topics = {absolute(name, space): (name, kind) for name, kind in TOPICS.items()
                        if message_class(kind) is not None}
        self._channels = {topic: foxglove.Channel(
            topic, message_encoding='cdr', schema=_schema(kind, definition_of(kind)),
            context=context) for topic, (_, kind) in self._topics.items()}
        self._clients: dict[str, Any] = {}
        services = [self._service(absolute(name, space), kind) for name, kind in SERVICES.items()
                    if self._with_services]
        try:
            self._server: WebSocketServer = foxglove.start_server(
                name='moss_perception', host=self._host, port=self._port, context=context,
                capabilities=[Capability.Services] if services else [],
                supported_encodings=['cdr'], services=services, server_listener=self)
        except RuntimeError as error:
            self._node.destroy_node()
            raise MossError(f'Foxglove cannot be served on {self._host} port {self._port}: '
                            f'{error}; expected a free port') from error
        create_steady_timer(self._node, _CHECK_S, self._follow)

    def __exit__(self, *error: object) -> None:
        self._server.stop()
        super().__exit__(*error)

    @property
    def port(self) -> int:
        """Port of the server."""
        return self._server.port

    # ---- clients: threads of the server

    def on_subscribe(self, client: Any, channel: Any) -> None:
        """Count a subscriber of a topic."""
        self._wanted[channel.topic] = self._wanted.get(channel.topic, 0) + 1
        if self._topics[channel.topic][0] in LATCHED:
            self._anew.add(channel.topic)

    def on_unsubscribe(self, client: Any, channel: Any) -> None:
        """Count a subscriber of a topic no longer."""
        self._wanted[channel.topic] = self._wanted.get(channel.topic, 1) - 1

    def _service(self, name: str, kind: str) -> Service:
        self._clients[name] = self._node.create_client(
            SetBool if kind == SET_BOOL else Trigger, name)
        request, response = (MessageSchema(encoding='cdr', schema=_schema(x.name, x.text))
                             for x in parts_of(kind))
        return Service(name=name, schema=ServiceSchema(
            name=kind, request=request, response=response),
            handler=functools.partial(self._call, name))

    def _call(self, name: str, request: ServiceRequest) -> bytes:
        client = self._clients[name]
        if not client.service_is_ready():
            raise MossError(f'{name} is not there: expected a running node')
        done: Future[Any] = Future()
        message = read(client.srv_type.Request, request.payload)
        client.call_async(message).add_done_callback(
            lambda future: done.set_result(future.result()))
        try:
            return bytes(serialize_message(done.result(_ANSWER_S)))
        except FutureTimeoutError as error:
            raise MossError(f'{name} did not answer within {_ANSWER_S:g} s') from error

    # ---- topics: the node's thread

    def _follow(self) -> None:
        for topic, (name, kind) in self._topics.items():
            if topic in self._anew:
                # A latched message comes once to each subscription: clients so far have had it.
                self._anew.discard(topic)
                self._unfollow(topic)
            is_wanted, is_followed = self._wanted.get(topic, 0) > 0, topic in self._subscriptions
            if is_wanted and not is_followed:
                # It is installed: others have no channel.
                message: Any = message_class(kind)
                self._subscriptions[topic] = self._node.create_subscription(
                    message, topic, guarded(self._node, self._passing(topic)),
                    _qos(name), raw=True)
            elif not is_wanted:
                self._unfollow(topic)

    def _unfollow(self, topic: str) -> None:
        if topic in self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop(topic))

    def _passing(self, topic: str) -> Callable[[Any], None]:
        channel = self._channels[topic]
        return lambda data: channel.log(bytes(data))


def _qos(name: str) -> QoSProfile:
    if name in LATCHED:
        return QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    return QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)


def _schema(name: str, text: str) -> foxglove.Schema:
    return foxglove.Schema(name=name, encoding='ros2msg', data=text.encode())


