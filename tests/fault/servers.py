"""servers.py - a POP3 and an IMAP server, an SMTP and an LMTP sink that keep a ledger of what they did, in one process.

Plain text on loopback, ports chosen by the kernel. Usable as a module, or by hand: servers.py LEDGER PORTS-FILE [MESSAGES], until it is stopped.
"""
import os
import socket
import sys
import threading

from imap_server import serve_imap
from messages import make_messages
from pop3_server import serve_pop3
from sink_server import serve_sink
from wire import Cut, Wire
from world import World

SERVICES = {
    "pop3": lambda wire, world, options: serve_pop3(wire, world),
    "imap": lambda wire, world, options: serve_imap(wire, world),
    "smtp": lambda wire, world, options: serve_sink(wire, world, options, "smtp"),
    "lmtp": lambda wire, world, options: serve_sink(wire, world, options, "lmtp"),
}


class Servers:
    """All services; what they serve is the world set last, each connection that of its birth."""

    def __init__(self):
        self.world, self.ports, self.options = None, {}, {}
        self.faults, self.connections = {}, {}
        self.traffic = {}   # (service, connection) -> {"in": bytes, "out": bytes}
        self.idle = threading.Condition()
        self.busy = 0
        for name in SERVICES:
            listener = socket.create_server(("127.0.0.1", 0), backlog=64)
            self.ports[name] = listener.getsockname()[1]
            threading.Thread(target=self._listen, args=(name, listener), daemon=True).start()

    def begin(self, world, faults=None, options=None):
        """FAULTS: service -> Fault. Nobody may be connected."""
        self.drain()
        self.world, self.faults, self.options, self.connections, self.traffic = world, faults or {}, options or {}, {}, {}

    def drain(self):
        """Until every connection is closed and everything in it has been dealt with."""
        with self.idle:
            if not self.idle.wait_for(lambda: self.busy == 0, timeout=60):
                raise RuntimeError("a connection stays open")

    def _listen(self, name, listener):
        while True:
            sock, _ = listener.accept()
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.idle:
                self.busy += 1
            number = self.connections[name] = self.connections.get(name, 0) + 1
            fault = self.faults.get(name)
            wire = Wire(sock, fault if fault is not None and fault.connection == number else None)
            self.traffic[name, number] = wire.moved
            threading.Thread(target=self._serve, args=(name, wire, self.world), daemon=True).start()

    def _serve(self, name, wire, world):
        try:
            SERVICES[name](wire, world, self.options)
        except (Cut, OSError):
            pass
        finally:
            wire.sock.close()
            with self.idle:
                self.busy -= 1
                self.idle.notify_all()


def main():
    ledger, ports_file = sys.argv[1:3]
    servers = Servers()
    servers.begin(World(ledger, make_messages(int(sys.argv[3]) if len(sys.argv) > 3 else 20)))
    with open(ports_file + ".new", "w", encoding="utf-8") as file:
        file.writelines(f"{name} {port}\n" for name, port in servers.ports.items())
    os.rename(ports_file + ".new", ports_file)
    threading.Event().wait()


if __name__ == "__main__":
    main()
