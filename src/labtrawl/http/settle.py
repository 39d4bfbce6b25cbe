"""Lets the HTTP library's own thread come to rest before a program may end. For `door` only."""

from pyreqwest.client import SyncClientBuilder
from pyreqwest.exceptions import BuilderError


def settle() -> None:
    """Return when the library's thread has left the interpreter; some 3 ms, nothing is sent.

    That thread wakes our event loop while it holds a Python thread state. A program that ends right
    after its last answer would meet it there and be aborted by CPython ("PyGILState_Release: thread
    state must be current when releasing"). The thread works off its tasks in order, so one task
    that is waited for without the event loop shows that the wake-ups before it are over.
    """
    client = SyncClientBuilder().no_proxy().https_only(True).build()
    try:
        client.get("http://refused.invalid/").build().send()
    except BuilderError:
        return  # as meant: refused by its scheme, before any name is looked up
    finally:
        client.close()
