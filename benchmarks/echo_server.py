"""A server that answers at once: every line it gets, with the version; what is in it is not read.

As fast as Python can make one, so that what a client costs is not hidden behind what a server
does. Says its port in a line of JSON; ends with its standard input.
"""

from __future__ import annotations

import select
import socket
import sys

ANSWER = b'{"return": "5.0.0"}\n'


def serve(listener: socket.socket) -> None:
    poll = select.epoll()
    clients: dict[int, socket.socket] = {}
    poll.register(listener.fileno(), select.EPOLLIN)
    poll.register(sys.stdin.fileno(), select.EPOLLIN)
    while True:
        for number, _ in poll.poll():
            client = clients.get(number)
            if client is not None:
                lines = client.recv(65_536)
                client.send(ANSWER * lines.count(b"\n"))
                if not lines:
                    poll.unregister(number)
                    clients.pop(number).close()
            elif number == listener.fileno():
                newcomer, _ = listener.accept()
                newcomer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[newcomer.fileno()] = newcomer
                poll.register(newcomer.fileno(), select.EPOLLIN)
            else:
                return


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        print(listener.getsockname()[1], flush=True)
        serve(listener)
