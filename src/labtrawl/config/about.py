"""How one setting is described; the other files of this room write their settings with it."""

from typing import Any

from msgspec import Meta


def about(
    reason: str, *, unit: str = "", default: str = "", alias: str = "", **limits: float
) -> Any:
    """Describe one setting; `default` is the text for a default that depends on others."""
    extra = {"unit": unit, "default": default, "alias": alias}
    return Meta(description=reason, extra=extra, **limits)  # type: ignore[call-overload]
