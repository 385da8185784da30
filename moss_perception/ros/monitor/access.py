"""Who may open the page: this machine, or whoever knows the token."""

from collections.abc import Mapping
from dataclasses import dataclass
import hmac
import ipaddress
import re
import socket
from urllib.parse import urlsplit

from moss_perception.core.errors import ConfigError, MossError

PORT, FOXGLOVE_PORT = 8470, 8765
TOKEN_VARIABLE = 'MOSS_MONITOR_TOKEN'
LOOPBACK = '127.0.0.1'
_SHORTEST_TOKEN = 16
_LOCAL_NAMES = ('localhost', LOOPBACK, '::1')
# A name or an IPv6 address in brackets, and a port.
_HOST = re.compile(r'(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::\d*)?')


@dataclass(frozen=True)
class Access:
    """
    The address of the page, and its token.

    :ivar host: address to listen on.
    :ivar port: 1 to 65535; 0 for any free one.
    :ivar token: secret that viewers need; empty for none, on loopback only.
    :raises ConfigError: if the port is not allowed, or another address than loopback has no
        token of 16 characters or more.
    """

    host: str = LOOPBACK
    port: int = PORT
    token: str = ''

    def __post_init__(self):
        if not 0 <= self.port <= 65535:
            raise ConfigError(f'port {self.port} is not allowed: expected 0 to 65535')
        if not self.is_local and not self.token:
            raise ConfigError(
                f'host {self.host} is not loopback, so others can open the page and press its '
                f'buttons: expected a token, by the variable {TOKEN_VARIABLE} or --token')
        if self.token and len(self.token) < _SHORTEST_TOKEN:
            raise ConfigError(f'a token of {len(self.token)} characters is not allowed: expected '
                              f'{_SHORTEST_TOKEN} or more')

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        return is_loopback(self.host)

    def is_asked_for(self, host: str) -> bool:
        """
        Whether the page may be asked for by this name.

        Without a token, a foreign name that somebody has pointed to this machine is refused.

        :param host: the header ``Host``, such as ``localhost:8470`` or ``[::1]:8470``.
        """
        if self.token:
            return True
        found = _HOST.fullmatch(host)
        return found is not None and _plain(found[1] or found[2]) in {
            _plain(name) for name in (*_LOCAL_NAMES, self.host)}

    def knows(self, token: object) -> bool:
        """Whether a viewer's token is the right one."""
        if not self.token:
            return True
        return isinstance(token, str) and hmac.compare_digest(token.encode(), self.token.encode())

    def listen(self) -> socket.socket:
        """
        Open the socket.

        :raises MossError: if the port is taken, or the address is not of this machine.
        """
        try:
            family, kind, number, _, address = socket.getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM)[0]
            opened = socket.socket(family, kind, number)
            try:
                # A page that ended a moment ago does not keep the port.
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                opened.bind(address)
                opened.listen()
            except OSError:
                opened.close()
                raise
        except OSError as error:
            raise MossError(f'the page cannot be served on {self.host} port {self.port}: '
                            f'{error.strerror or error}; expected a free port of this machine, '
                            'so end what uses this one, or choose another: moss '
                            'monitor --port, moss demo --watch, web_port:=') from error
        return opened

    def url(self, port: int) -> str:
        """
        Return the address to open.

        The token stands after #, which browsers keep to themselves.

        :param port: of the open socket.
        """
        host = f'[{self.host}]' if ':' in self.host else self.host
        return f'http://{host}:{port}/' + (f'#token={self.token}' if self.token else '')


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to an address."""
    if host == 'localhost':
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _plain(host: str) -> str:
    """Write a name, or an IP address of which there are several spellings, as browsers do."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host.lower()


def same_origin(headers: Mapping[str, str]) -> bool:
    """Whether a connection comes from the page itself, or from no browser at all."""
    origin = headers.get('origin')
    return origin is None or urlsplit(origin).netloc == headers.get('host')
