"""JSON of which is known that it is whole: looked at once, where it came in. Pure."""


class JsonObject(bytes):
    """One whole JSON object in UTF-8 that every reader can take back.

    Whoever looked at the bytes makes one (`gitlab.pages` does), so that nobody has to look again.
    """

    __slots__ = ()
