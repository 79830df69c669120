"""A connection whose address was checked: to the public internet, unless more is allowed."""

import http.client
import ipaddress
import socket
import ssl
from contextlib import suppress

from manuscript_restore.errors import UserError

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Connection(http.client.HTTPConnection):
    """Connects to addresses that were checked themselves: a name that is looked up twice can change its mind."""

    def __init__(
        self, host: str, port: int | None, tls: ssl.SSLContext | None, timeout_s: float, allow_private: bool
    ) -> None:
        self.default_port = http.client.HTTPS_PORT if tls else http.client.HTTP_PORT
        super().__init__(host, port or self.default_port, timeout=timeout_s)
        self._tls, self._timeout_s, self._allow_private = tls, timeout_s, allow_private
        self._wire: socket.socket | None = None
        self.abandoned = False

    def connect(self) -> None:
        """Connect to the first of the host's addresses that answers."""
        self._wire = self.sock = self._reach()
        if self._tls:
            self._wire = self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)

    def _reach(self) -> socket.socket:
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        fault: OSError | None = None
        for family, kind, protocol, _, address in found:
            if not self._allow_private and not is_public(str(address[0])):
                raise UserError(
                    f"{self.host}: is on this machine or a local network ({address[0]}); "
                    "if that is meant, give --allow-private"
                )
            wire = socket.socket(family, kind, protocol)
            try:
                wire.settimeout(self._timeout_s)
                wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                wire.connect(address)  # an address in numbers: nothing is looked up again
                return wire
            except OSError as error:
                wire.close()
                fault = error
        raise fault or OSError("the name has no address")

    def abandon(self) -> None:
        """Give up, from another thread, whatever it is waiting for."""
        self.abandoned = True
        if self._wire:
            with suppress(OSError):
                socket.socket.shutdown(self._wire, socket.SHUT_RDWR)  # below TLS, which would wait for an answer


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also behind the forms in which IPv6 holds IPv4.

    >>> [is_public(a) for a in ("93.184.215.14", "127.0.0.1", "169.254.169.254", "::ffff:10.0.0.1", "fd00::1")]
    [True, False, False, False, False]
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
