"""Settings: what can be set, where it was set, and the frozen values that rooms are handed.

Read once, in `cli`, and handed down; a supervised child gets the same values over its control
channel. Everybody may import the structs; only `cli` calls `load`.
"""

from labtrawl.config.care import Backup, Notices
from labtrawl.config.connections import Account, Instance
from labtrawl.config.layers import CONTROL_VARIABLE
from labtrawl.config.load import defaults, from_words, load
from labtrawl.config.settings import (
    AuthSocket,
    Budget,
    Crawler,
    Lease,
    Logs,
    Retry,
    Scope,
    Segment,
    Settings,
    Socket,
    Website,
    dump,
    restore,
)
from labtrawl.config.table import SETTINGS, TABLES, Setting
from labtrawl.config.talking import Breaker, Dedup, Flood, Heartbeat
from labtrawl.config.timetable import Timetable

__all__ = [
    "CONTROL_VARIABLE",
    "SETTINGS",
    "TABLES",
    "Account",
    "AuthSocket",
    "Backup",
    "Breaker",
    "Budget",
    "Crawler",
    "Dedup",
    "Flood",
    "Heartbeat",
    "Instance",
    "Lease",
    "Logs",
    "Notices",
    "Retry",
    "Scope",
    "Segment",
    "Setting",
    "Settings",
    "Socket",
    "Timetable",
    "Website",
    "defaults",
    "dump",
    "from_words",
    "load",
    "restore",
]
