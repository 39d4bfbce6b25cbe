"""What a crawler says of itself with each sign of life."""

from typing import cast

import msgspec

from labtrawl.crawler.engine import Engine, Pace
from labtrawl.domain.traffic import Traffic
from labtrawl.protocol.client import DirectCommunicationClient
from labtrawl.protocol.messages import EndpointTraffic, Heartbeat
from tests.unit.crawler.website import Time, Website


def test_heartbeat_tells_room_retries_and_traffic_by_endpoint() -> None:
    said: list[Heartbeat] = []
    website = cast("DirectCommunicationClient", Website())
    pace = Pace(8, 15.0, 5.0, 5.0)
    engine = Engine(website, lambda _running: None, pace, Time().clock(), lambda: 0, lambda: 9)  # type: ignore[arg-type, return-value]
    engine.retries = lambda: 2
    engine.traffic = lambda: {"graphql": Traffic(9, 1, 0, 70, {4: 8})}
    said.append(engine._heartbeat([(0.0, 0), (1.0, 9)]))
    wire = msgspec.json.decode(msgspec.json.encode(said[0]), type=Heartbeat)
    assert (wire.max_jobs, wire.retries, wire.requests_per_minute) == (8, 2, 540.0)
    told = EndpointTraffic(requests=9, limited=1, bytes=70, latency={4: 8})
    assert wire.traffic == {"graphql": told}


def test_heartbeat_of_an_earlier_release_tells_nothing_of_it() -> None:
    beat = msgspec.json.decode(b'{"timestamp": 1, "activeJobs": 2}', type=Heartbeat)
    assert (beat.active_jobs, beat.max_jobs, beat.retries, beat.traffic) == (2, 0, 0, {})
