"""count-round-trips.py TARGET_PORT LOG: a relay on loopback that counts round trips. Prints the port it listens on.

For each connection a line goes to LOG when it has ended: how often the client had to wait for the server. The connect counts as one; after that each turn of
direction, so of TLS 1.3 the client's first flight, then its Finished for the greeting, and so on. The answer to what the client says last (LOGOUT, QUIT)
is not counted: nobody waits for it.
"""

import selectors
import socket
import sys

TLS_GOODBYE = 24  # bytes of a record with close_notify (RFC 8446 5.2), which crosses the server's own


def relay(client, target):
    """Moves bytes until both have hung up; returns the number of round trips."""
    server = socket.create_connection(("127.0.0.1", target))
    other = {client: server, server: client}
    answered = 0
    client_spoke = False
    selector = selectors.DefaultSelector()
    for end in other:
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        selector.register(end, selectors.EVENT_READ)
    while selector.get_map():
        for key, _ in selector.select():
            try:
                data = key.fileobj.recv(65536)
            except ConnectionResetError:
                data = b""
            if not data:
                selector.unregister(key.fileobj)
                try:
                    other[key.fileobj].shutdown(socket.SHUT_WR)
                except OSError:
                    pass
                continue
            if key.fileobj is client:
                client_spoke = client_spoke or len(data) != TLS_GOODBYE
            elif client_spoke:
                client_spoke = False
                answered += 1
            try:
                other[key.fileobj].sendall(data)
            except OSError:
                pass
    client.close()
    server.close()
    return 1 + answered - 1  # the connect; but not the answer to the farewell


def main():
    target, log = int(sys.argv[1]), sys.argv[2]
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        with open(log, "a", encoding="ascii") as out:
            out.write(f"{relay(client, target)}\n")


main()
