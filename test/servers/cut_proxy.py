#!/usr/bin/python3
"""A TCP proxy in front of a server's Unix socket, whose network can be cut.

usage: cut_proxy.py FILE SOCKET     writes port and pid to FILE when it listens

SIGUSR1: of the connections that are there nothing comes back any more, and of half of them
nothing goes to the server either; neither end is told.  Three seconds later they are closed.
New connections work."""
import asyncio
import os
import random
import signal
import sys

CUT_SECONDS = 3


class Connection:
    """One client, and its session of the server"""

    def __init__(self, writers):
        self.writers = writers
        self.carries = {"to": True, "from": True}

    async def pump(self, reader, writer, direction):
        try:
            while data := await reader.read(65536):
                if self.carries[direction]:
                    writer.write(data)
                    await writer.drain()
        except OSError:
            pass
        if all(self.carries.values()):
            self.close()

    def cut(self):
        self.carries["from"] = False
        self.carries["to"] = random.random() < 0.5
        asyncio.get_running_loop().call_later(CUT_SECONDS, self.close)

    def close(self):
        for writer in self.writers:
            writer.close()


class Proxy:
    def __init__(self, path):
        self.path = path
        self.connections = set()

    async def serve(self, reader, writer):
        try:
            from_server, to_server = await asyncio.open_unix_connection(self.path)
        except OSError:                 # the server is down
            writer.close()
            return
        connection = Connection([writer, to_server])
        self.connections.add(connection)
        await asyncio.gather(connection.pump(reader, to_server, "to"), connection.pump(from_server, writer, "from"))
        self.connections.discard(connection)

    def cut(self):
        for connection in self.connections:
            connection.cut()


async def main(file, path):
    proxy = Proxy(path)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, proxy.cut)
    with open(f"{file}.new", "w", encoding="ascii") as out:
        print(server.sockets[0].getsockname()[1], os.getpid(), file=out)
    os.rename(f"{file}.new", file)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
