# SPDX-License-Identifier: Apache-2.0
"""As much of ZMTP 3.1 (rfc.zeromq.org/spec/37) and MessagePack as it takes to be a strange worker or
a strange coordinator: the NULL mechanism over TCP, messages of one or two frames. Standard library
only."""

import socket
import struct

# Message numbers of proto/PROTOCOL.md.
HELLO, CREDIT, WELCOME, REFUSED, TASKS, END, ECHO = 1, 2, 17, 18, 19, 22, 23
ATTACH, ATTACHED, GET, BLOB, PIECE, FETCH, NOT_HERE = 33, 34, 35, 36, 37, 39, 41


def pack(value):
    """MessagePack of None-free plain values: int, float, str, bytes, list."""
    if isinstance(value, int):
        return struct.pack(">BQ", 0xCF, value) if value > 127 else bytes([value])
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, str):
        text = value.encode()
        return struct.pack(">BH", 0xDA, len(text)) + text
    if isinstance(value, bytes):
        return struct.pack(">BH", 0xC5, len(value)) + value
    return struct.pack(">BH", 0xDC, len(value)) + b"".join(pack(item) for item in value)


def unpack(data):
    """The value, of what pack and msgpack-c write for our messages."""
    value, end = _unpack(data, 0)
    if end != len(data):
        raise ValueError("bytes left over")
    return value


def _unpack(data, at):
    tag = data[at]
    at += 1
    if tag <= 0x7F:
        return tag, at
    if tag & 0xF0 == 0x90:
        return _unpack_list(data, at, tag & 0x0F)
    if tag & 0xE0 == 0xA0:
        return data[at : at + (tag & 0x1F)].decode(), at + (tag & 0x1F)
    forms = {0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xCA: ">f", 0xCB: ">d"}
    if tag in forms:
        size = struct.calcsize(forms[tag])
        return struct.unpack(forms[tag], data[at : at + size])[0], at + size
    lengths = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I", 0xDC: ">H"}
    size = struct.calcsize(lengths[tag])
    length = struct.unpack(lengths[tag], data[at : at + size])[0]
    at += size
    if tag == 0xDC:
        return _unpack_list(data, at, length)
    piece = data[at : at + length]
    return (piece.decode() if tag >= 0xD9 else piece), at + length


def _unpack_list(data, at, count):
    items = []
    for _ in range(count):
        item, at = _unpack(data, at)
        items.append(item)
    return items, at


class Peer:
    """One ZMTP connection, already made."""

    def __init__(self, connection, socket_type):
        self.socket = connection
        self.socket.settimeout(20)
        self.buffer = b""
        self.socket.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32))
        greeting = self._take(64)
        if greeting[:1] != b"\xff" or greeting[12:16] != b"NULL":
            raise ConnectionError(f"strange greeting {greeting!r}")
        name, kind = b"Socket-Type", socket_type.encode()
        ready = b"\x05READY" + bytes([len(name)]) + name + struct.pack(">I", len(kind)) + kind
        self._send_frame(0x04, ready)
        flags, body = self._take_frame()
        if not flags & 0x04 or not body.startswith(b"\x05READY"):
            raise ConnectionError(f"no READY: {body!r}")

    def _take(self, size):
        while len(self.buffer) < size:
            got = self.socket.recv(65536)
            if not got:
                raise ConnectionError("the other side hung up")
            self.buffer += got
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def _take_frame(self):
        flags = self._take(1)[0]
        size = struct.unpack(">Q", self._take(8))[0] if flags & 0x02 else self._take(1)[0]
        return flags, self._take(size)

    def _send_frame(self, flags, body):
        if len(body) > 255:
            self.socket.sendall(bytes([flags | 0x02]) + struct.pack(">Q", len(body)) + body)
        else:
            self.socket.sendall(bytes([flags, len(body)]) + body)

    def send_bytes(self, data):
        self._send_frame(0, data)

    def send(self, *fields):
        self.send_bytes(pack(list(fields)))

    def send_with(self, payload, *fields):
        """A message with a payload frame."""
        self._send_frame(1, pack(list(fields)))
        self._send_frame(0, payload)

    def receive(self):
        """The fields of the next message; answers PINGs on the way."""
        while True:
            flags, body = self._take_frame()
            if not flags & 0x04:
                return unpack(body)
            if body.startswith(b"\x04PING"):
                self._send_frame(0x04, b"\x04PONG" + body[7:])

    def serve(self):
        """Takes what is there: answers PINGs, drops messages."""
        while True:
            flags, body = self._take_frame()
            if flags & 0x04 and body.startswith(b"\x04PING"):
                self._send_frame(0x04, b"\x04PONG" + body[7:])
            if not self.buffer:
                return

    def close(self):
        self.socket.close()


def connect(host, port):
    """As a worker does, on control."""
    connection = socket.create_connection((host, port), 20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Peer(connection, "DEALER")


def listen():
    """A listening socket for a strange coordinator; Peer(accept()[0], "ROUTER") goes on."""
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(30)
    return server
