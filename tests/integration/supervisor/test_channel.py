"""The control channel and the child's side of it, over a socketpair in one event loop."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import msgspec
import pytest
import uvloop

from labtrawl.errors import BadMessage, ConfigError, ProtocolError
from labtrawl.supervisor.channel import (
    UP_DECODER,
    Begin,
    Channel,
    Heartbeat,
    Hello,
    Peer,
    PeerGone,
    Ready,
    Stop,
    Stopping,
    Up,
    fingerprint,
)
from labtrawl.supervisor.child import Child

BEGIN = Begin(
    name="crawler-1",
    token="ab" * 32,
    settings=msgspec.Raw(b'{"a":1}'),
    heartbeat_seconds=0.01,
)


class Ends:
    """The supervisor's end as a channel, and the child's socket."""

    def __init__(self, channel: Channel[Up], theirs: socket.socket) -> None:
        self.channel = channel
        self.theirs = theirs

    async def next(self) -> Up | None:
        """Return the next frame that is no heartbeat."""
        async with asyncio.timeout(5):
            while isinstance(frame := await self.channel.receive(), Heartbeat):
                pass
            return frame


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    ours, theirs = socket.socketpair()
    channel = await Channel.open(ours, UP_DECODER)
    yield Ends(channel, theirs)
    await channel.close()
    theirs.close()


async def test_child_says_hello_is_ready_and_beats_until_it_stops(ends: Ends) -> None:
    ends.channel.send(BEGIN)
    async with Child(ends.theirs) as child:
        assert child.begin == BEGIN
        assert await ends.next() == Hello(pid=os.getpid())
        await child.ready(address="x")
        assert await ends.next() == Ready(details={"address": "x"})
        assert await ends.channel.receive() == Heartbeat()
        ends.channel.send(Stop())
        await asyncio.wait_for(child.stopping.wait(), 5)
        assert await ends.next() == Stopping()
    assert await ends.next() is None


async def test_child_hears_of_peers_and_their_end_until_the_supervisor_is_gone(ends: Ends) -> None:
    frames: list[Peer | PeerGone] = [
        Peer(name="crawler-1", pid=5, token_sha256=fingerprint(BEGIN.token)),
        PeerGone(name="crawler-1", pid=5),
    ]
    for frame in (BEGIN, *frames):
        ends.channel.send(frame)
    async with Child(ends.theirs) as child:
        peers = child.peers()
        assert [await anext(peers), await anext(peers)] == frames
        await ends.channel.close()
        assert [frame async for frame in peers] == []
        assert child.stopping.is_set()


async def test_end_of_the_supervisor_is_told_to_who_ends_descendants(ends: Ends) -> None:
    ends.channel.send(BEGIN)
    told: list[str] = []
    async with Child(ends.theirs, lambda: told.append("orphaned")) as child:
        await ends.channel.close()
        await asyncio.wait_for(child.stopping.wait(), 5)
        assert told == []
    assert told == ["orphaned"]


async def test_broken_frame_stops_the_child_as_if_orphaned(ends: Ends) -> None:
    ends.channel.send(BEGIN)
    async with Child(ends.theirs) as child:
        ends.channel.send(Hello(pid=1))
        await asyncio.wait_for(child.stopping.wait(), 5)


async def test_child_without_a_first_frame_gives_up(ends: Ends) -> None:
    ends.channel.send(Stop())
    with pytest.raises(ProtocolError, match="ended before this process had begun"):
        async with Child(ends.theirs):
            pass


async def test_child_asked_for_a_listener_that_it_was_not_given_says_so(ends: Ends) -> None:
    ends.channel.send(BEGIN)
    async with Child(ends.theirs) as child:
        with pytest.raises(ConfigError, match="gave crawler-1 no listener 'web'"):
            child.listener("web")


async def test_rubbish_from_a_child_is_a_bad_message(ends: Ends) -> None:
    ends.theirs.sendall(b'{"type":"begin"}\n')
    with pytest.raises(BadMessage, match="could not be read"):
        await ends.channel.receive()


def test_child_works_on_uvloop_too() -> None:
    async def scene() -> list[object]:
        ours, theirs = socket.socketpair()
        channel = await Channel.open(ours, UP_DECODER)
        channel.send(BEGIN)
        async with Child(theirs) as child:
            hello = await channel.receive()
            channel.send(Stop())
            await asyncio.wait_for(child.stopping.wait(), 5)
        await channel.close()
        return [hello, child.begin.name]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(scene()) == [Hello(pid=os.getpid()), "crawler-1"]


def test_program_started_by_hand_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labtrawl.supervisor.child.protect", lambda: None)
    with pytest.raises(ConfigError, match="run `labtrawl start`"):
        Child.from_environment()
