"""wire.py - a connection that can be cut or can stall after a certain byte."""
import socket
import struct

STALL_SECONDS = 30


class Cut(Exception):
    pass


class Fault:
    """Connection K (from 1) of a service: cut, reset or stall after N bytes read from (in) or written to (out) the client."""

    def __init__(self, connection, direction, count, how):
        self.connection, self.direction, self.count, self.how = connection, direction, count, how
        self.fired = False


class Wire:
    def __init__(self, sock, fault):
        self.sock, self.fault, self.buffer = sock, fault, b""
        self.moved = {"in": 0, "out": 0}

    def _allow(self, direction, want):
        fault = self.fault
        if fault is None or fault.direction != direction:
            return want
        left = fault.count - self.moved[direction]
        if left <= 0:
            fault.fired = True
            self.end(fault.how)
        return min(want, left)

    def end(self, how):
        """Raises Cut, when the connection has been cut (FIN) or reset (RST), or the client has given up waiting (stall)."""
        if how == "stall":
            self.stall()
        elif how == "reset":
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Cut()

    def stall(self):
        """Until the client gives up."""
        self.sock.settimeout(STALL_SECONDS)
        try:
            while self.sock.recv(65536):
                pass
        except OSError:
            pass

    def fill(self):
        want = self._allow("in", 65536)
        data = self.sock.recv(want)
        if not data:
            raise Cut()
        self.moved["in"] += len(data)
        self.buffer += data

    def until(self, end):
        """What comes before END, which is taken too."""
        seen = 0
        while (at := self.buffer.find(end, seen)) < 0:
            seen = max(0, len(self.buffer) - len(end) + 1)
            self.fill()
        data, self.buffer = self.buffer[:at], self.buffer[at + len(end):]
        return data

    def line(self):
        return self.until(b"\n").rstrip(b"\r")

    def exactly(self, count):
        while len(self.buffer) < count:
            self.fill()
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def send(self, data):
        while data:
            allowed = self._allow("out", len(data))
            self.sock.sendall(data[:allowed])
            self.moved["out"] += allowed
            data = data[allowed:]

    def say(self, text):
        self.send(text.encode() + b"\r\n")
