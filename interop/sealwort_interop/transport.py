"""TLS 1.3 and HTTP/2 towards one neighbour (`spec/protocol.md`, section 3).

Blocking, one thread: whoever waits for a stream pumps the connection, which serves all its streams. Every wait ends at
`TIMEOUT_SECONDS`.
"""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events
from cryptography import x509
from OpenSSL import SSL

TIMEOUT_SECONDS = 20.0
BODY_BYTES_MAX = 64 * 2**20
EXPORTER_LABEL = b"EXPORTER-sealwort-hop"


class TransportFault(Exception):
    """The connection failed; nothing that the protocol has a code for."""


@dataclass
class Stream:
    """One request and its response; both may flow at the same time."""

    connection: Connection
    number: int
    status: int | None = None
    received: bytearray = field(default_factory=bytearray)
    ended: bool = False
    fault: str | None = None

    def send(self, data: bytes, end: bool = False) -> None:
        self.connection.send(self, data, end)

    def wait_status(self) -> int:
        self.connection.pump(lambda: self.status is not None or self.fault)
        if self.status is None:
            raise TransportFault(f"stream {self.number}: {self.fault}")
        return self.status

    def read(self, length: int) -> bytes:
        """Exactly `length` bytes of the response's body."""
        self.connection.pump(lambda: len(self.received) >= length or self.ended or self.fault)
        if len(self.received) < length:
            raise TransportFault(f"stream {self.number} ended within a message: {self.fault or 'end of body'}")
        data = bytes(self.received[:length])
        del self.received[:length]
        return data

    def read_to_end(self) -> bytes:
        self.connection.pump(lambda: self.ended or self.fault)
        if self.fault:
            raise TransportFault(f"stream {self.number}: {self.fault}")
        return bytes(self.received)


class Connection:
    """A hop. `verify_peer` gets the peer's chain, leaf first, before anything is sent, and raises on refusal.

    `certificate` and `key` are ours, or None towards a server that asks for none.
    """

    def __init__(
        self,
        url: str,
        verify_peer: Callable[[list[x509.Certificate]], None],
        certificate: list[x509.Certificate] | None = None,
        key=None,
    ):
        parts = urlsplit(url)
        if parts.scheme != "https" or not parts.hostname or not parts.port:
            raise TransportFault(f"not https://host:port: {url}")
        self.authority = parts.netloc
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=TIMEOUT_SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._tls = SSL.Connection(_context(certificate, key), self._socket)
        self._tls.set_connect_state()
        try:
            self._wait(self._tls.do_handshake)
            if self._tls.get_protocol_version_name() != "TLSv1.3":
                raise TransportFault("not TLS 1.3")
            if self._tls.get_alpn_proto_negotiated() != b"h2":
                raise TransportFault("the server does not speak HTTP/2")
            chain = self._tls.get_peer_cert_chain(as_cryptography=True) or []
            verify_peer(list(chain))
        except BaseException:
            self._socket.close()
            raise
        self.group = self._tls.get_group_name()
        self.hop = self._tls.export_keying_material(EXPORTER_LABEL, 32)
        self._streams: dict[int, Stream] = {}
        self._closed: str | None = None
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(2**26)
        self._flush()

    def request(self, path: str, body: bytes | None = None, method: str = "POST") -> tuple[int, bytes]:
        """Status and body of a whole exchange."""
        stream = self.open(path, method, end=body is None)
        if body is not None:
            stream.send(body, end=True)
        return stream.wait_status(), stream.read_to_end()

    def open(self, path: str, method: str = "POST", end: bool = False) -> Stream:
        number = self._h2.get_next_available_stream_id()
        headers = [(":method", method), (":scheme", "https"), (":authority", self.authority), (":path", path)]
        self._h2.send_headers(number, headers, end_stream=end)
        stream = self._streams[number] = Stream(self, number)
        self._flush()
        return stream

    def send(self, stream: Stream, data: bytes, end: bool) -> None:
        view = memoryview(data)
        while len(view):
            self.pump(lambda: self._h2.local_flow_control_window(stream.number) > 0 or stream.fault or stream.ended)
            if stream.fault or stream.ended:
                return  # the answer came early; whoever reads it learns why
            room = min(self._h2.local_flow_control_window(stream.number), self._h2.max_outbound_frame_size, len(view))
            self._h2.send_data(stream.number, bytes(view[:room]))
            view = view[room:]
            self._flush()
        if end and not stream.fault:
            self._h2.end_stream(stream.number)
        self._flush()

    def pump(self, done: Callable[[], object]) -> None:
        """Serves the connection until `done`."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not done():
            if self._closed:
                raise TransportFault(self._closed)
            try:
                data = self._wait(lambda: self._tls.recv(65536), deadline)
            except (SSL.ZeroReturnError, SSL.SysCallError, ConnectionError) as error:
                self._closed = f"the peer closed the connection ({error!r})"
                for stream in self._streams.values():
                    stream.fault = stream.fault or (None if stream.ended else self._closed)
                continue
            for event in self._h2.receive_data(data):
                self._take(event)
            self._flush()

    def close(self) -> None:
        try:
            self._h2.close_connection()
            self._flush()
            self._tls.shutdown()
        except Exception:  # it is closed either way
            pass
        self._socket.close()

    def _take(self, event: h2.events.Event) -> None:
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, h2.events.ConnectionTerminated):
            self._closed = f"the peer ended the connection ({event.error_code!r})"
            for each in self._streams.values():
                each.fault = each.fault or (None if each.ended else self._closed)
        if stream is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            stream.status = int(dict(event.headers)[":status"])
        elif isinstance(event, h2.events.DataReceived):
            stream.received += event.data
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if len(stream.received) > BODY_BYTES_MAX:
                stream.fault = "a body that is too long"
        elif isinstance(event, h2.events.StreamEnded):
            stream.ended = True
        elif isinstance(event, h2.events.StreamReset):
            stream.fault = None if stream.ended else f"reset by the peer ({event.error_code!r})"

    def _flush(self) -> None:
        data = memoryview(self._h2.data_to_send())
        while len(data):
            piece = bytes(data[:16384])
            sent = self._wait(partial(self._tls.send, piece))
            data = data[sent:]

    def _wait(self, action: Callable, deadline: float | None = None):
        deadline = deadline or time.monotonic() + TIMEOUT_SECONDS
        while True:
            try:
                return action()
            except SSL.WantReadError:
                ready = select.select([self._socket], [], [], max(0, deadline - time.monotonic()))
            except SSL.WantWriteError:
                ready = select.select([], [self._socket], [], max(0, deadline - time.monotonic()))
            except SSL.Error as error:
                raise TransportFault(f"TLS: {error}") from error
            if not any(ready):
                raise TransportFault(f"no answer within {TIMEOUT_SECONDS} seconds")


def _context(certificate: list[x509.Certificate] | None, key) -> SSL.Context:
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_alpn_protos([b"h2"])
    # OpenSSL checks that the peer holds the key of its certificate; path, names and revocation are checked by
    # `verify_peer`, before the first request.
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    if certificate:
        context.use_certificate(certificate[0])
        for issuing in certificate[1:]:
            context.add_extra_chain_cert(issuing)
        context.use_privatekey(key)
        context.check_privatekey()
    return context
