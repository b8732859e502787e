"""Lines between Trusts and the hub that can be cut: one TCP relay per Trust in front of the hub's port."""

from __future__ import annotations

import asyncio
import contextlib
import threading


class Line:
    """One Trust's way to the hub. While it is cut nothing passes and nobody is told, as with a pulled cable."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._whole = asyncio.Event()
        self._whole.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0

    async def open(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])

    def cut(self) -> None:
        self._network.call(self._whole.clear)

    def mend(self, *, broken: bool) -> None:
        """``broken``: the connections of before are gone (a router forgot them); else their bytes go on."""

        def mended() -> None:
            for writer in list(self._writers) if broken else []:
                writer.transport.abort()
            self._whole.set()

        self._network.call(mended)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._whole.wait()
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._network.hub_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, forth}
        try:
            await asyncio.gather(self._pump(reader, forth), self._pump(back, writer))
        finally:
            self._writers -= {writer, forth}
            for end in (writer, forth):
                end.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                await self._whole.wait()
                writer.write(data)
                await writer.drain()
            await self._whole.wait()
        with contextlib.suppress(OSError):
            writer.close()


class Network:
    """The lines of ``trusts``, served by a thread of their own from when this is made."""

    def __init__(self, hub_port: int, trusts: tuple[str, ...]) -> None:
        self.hub_port = hub_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="network")
        self._thread.start()
        self.lines = {trust: Line(self) for trust in trusts}
        for line in self.lines.values():
            asyncio.run_coroutine_threadsafe(line.open(), self._loop).result(10)

    def call(self, action: object) -> None:
        self._loop.call_soon_threadsafe(action)  # type: ignore[arg-type]

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
