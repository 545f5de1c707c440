# SPDX-License-Identifier: Apache-2.0
"""A network that misbehaves between a worker and its coordinator, in two kinds with the same faults
where they can have them: a Link is a TCP proxy on a loopback address of its own, a Cable a pair of
network devices between two namespaces (for root)."""

import asyncio
import os
import socket
import struct
import subprocess
import threading

RESET_AT_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: RST instead of FIN


def listening_ports(pid):
    """TCP ports on which a process listens, by what the kernel says."""
    sockets = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:["):
            sockets.add(target[8:-1])
    ports = set()
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as file:
        for line in file.readlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in sockets:
                ports.add(int(fields[1].split(":")[1], 16))
    return ports


class Network:
    """The thread in which all proxies of a test live."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    def call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


class Link:
    """Carries every port of a coordinator on 127.0.0.1 at another loopback address, the same port
    there: a worker that connects to `host` reaches both lanes through it and notices nothing, until
    a fault is put in."""

    def __init__(self, network, host):
        self.network, self.host = network, host
        self.servers = {}  # by port
        self.writers = set()  # of both directions
        self.tasks = set()
        self.flows = None  # cleared: nothing passes
        self.delay_seconds = 0.0
        self.piece_bytes = 65536  # passed on at once
        self.refuses = False
        self.truncates = False  # at the next bytes
        network.call(self._prepare())

    async def _prepare(self):
        self.flows = asyncio.Event()
        self.flows.set()

    # ---- for the test ----

    def carry(self, ports):
        self.network.call(self._carry(ports))

    def reset(self):
        """Every connection ends with RST, as when a router forgets it."""
        self.network.call(self._cut(True))

    def hang_up(self):
        """Every connection ends with FIN."""
        self.network.call(self._cut(False))

    def truncate(self):
        """The next bytes are passed on by half, then the connection ends."""
        self.truncates = True

    def hold(self, holds):
        """A black hole while it lasts: nothing passes, nobody is told."""
        self.network.loop.call_soon_threadsafe(self.flows.clear if holds else self.flows.set)

    def mend(self):
        self.delay_seconds, self.piece_bytes = 0.0, 65536
        self.refuses = self.truncates = False
        self.hold(False)

    def close(self):
        self.network.call(self._close())

    # ---- in the network's thread ----

    async def _carry(self, ports):
        for port in set(self.servers) - set(ports):
            self.servers.pop(port).close()
        for port in set(ports) - set(self.servers):

            async def accept(reader, writer, port=port):
                await self._accept(reader, writer, port)

            self.servers[port] = await asyncio.start_server(accept, self.host, port)

    async def _accept(self, reader, writer, port):
        self.tasks.add(asyncio.current_task())
        far = None
        try:
            if not self.refuses:
                self.writers.add(writer)
                far_reader, far = await asyncio.open_connection("127.0.0.1", port)
                self.writers.add(far)
                await asyncio.gather(self._pump(reader, far), self._pump(far_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, far):
                if end is not None:
                    end.transport.abort()
                    self.writers.discard(end)
            self.tasks.discard(asyncio.current_task())

    async def _pump(self, reader, writer):
        """Until one side ends; then OSError, so that the other direction ends too."""
        while True:
            data = await reader.read(self.piece_bytes)
            await self.flows.wait()
            if not data:
                raise ConnectionError("closed")
            if self.delay_seconds > 0:
                await asyncio.sleep(self.delay_seconds)
            if self.truncates:
                self.truncates = False
                writer.write(data[: len(data) // 2])
                await writer.drain()
                raise ConnectionError("truncated")
            writer.write(data)
            await writer.drain()

    async def _cut(self, with_reset):
        for writer in list(self.writers):
            end = writer.get_extra_info("socket")
            if with_reset and end is not None:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
            writer.transport.abort()

    async def _close(self):
        for server in self.servers.values():
            server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


# ---- real devices ----


def _ip(*args):
    done = subprocess.run(["ip", *args], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(args)}: {done.stderr.strip()}")


class Wiring:
    """A namespace for the coordinator with a bridge in it; every Cable leads from there to a
    namespace of a worker's own."""

    address = "10.77.0.1"

    def __init__(self):
        self.name = f"auscult-{os.getpid()}-{id(self) % 100000}"
        self.cables = []
        _ip("netns", "add", self.name)
        try:
            _ip("-n", self.name, "link", "set", "lo", "up")
            _ip("-n", self.name, "link", "add", "hub", "type", "bridge")
            _ip("-n", self.name, "addr", "add", self.address + "/16", "dev", "hub")
            _ip("-n", self.name, "link", "set", "hub", "up")
        except OSError:
            self.close()
            raise

    def inside(self):
        """What to put before a command so that it runs at the coordinator's end."""
        return ["ip", "netns", "exec", self.name]

    def close(self):
        for cable in self.cables:
            cable.close()
        _ip("netns", "delete", self.name)


class Cable:
    def __init__(self, wiring):
        self.wiring = wiring
        self.number = len(wiring.cables)
        self.name = f"{wiring.name}-{self.number}"
        self.device = f"port{self.number}"
        self.percent = 0
        _ip("netns", "add", self.name)
        wiring.cables.append(self)
        hub = wiring.name
        _ip("-n", hub, "link", "add", self.device, "type", "veth", "peer", "name", "eth0",
            "netns", self.name)
        _ip("-n", hub, "link", "set", self.device, "master", "hub", "up")
        _ip("-n", self.name, "addr", "add", f"10.77.1.{self.number + 1}/16", "dev", "eth0")
        _ip("-n", self.name, "link", "set", "lo", "up")
        _ip("-n", self.name, "link", "set", "eth0", "up")

    def inside(self):
        return ["ip", "netns", "exec", self.name]

    def hold(self, holds):
        """Unplugged while it lasts: no packet passes, nobody is told."""
        _ip("-n", self.wiring.name, "link", "set", self.device, "down" if holds else "up")

    def lose(self, percent):
        """So many packets of a hundred are lost on their way to the worker. False: cannot here."""
        rules = "flush ruleset\n"
        if percent > 0:
            rules += ("table inet loss { chain input { type filter hook input priority 0; "
                      f"numgen random mod 100 < {percent} drop; }} }}\n")
        try:
            done = subprocess.run([*self.inside(), "nft", "-f", "-"], input=rules, text=True,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        except FileNotFoundError:
            return False
        return done.returncode == 0

    def mend(self):
        self.lose(0)
        self.hold(False)

    def close(self):
        _ip("netns", "delete", self.name)


def why_no_wiring():
    """Why there are no namespaces here; '' when there are."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    try:
        wiring = Wiring()
        try:
            Cable(wiring)
        finally:
            wiring.close()
    except OSError as why:
        return str(why)
    return ""
