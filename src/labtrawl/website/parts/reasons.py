"""Why somebody does something: asked for with whatever others will want to understand later."""

from labtrawl.errors import BadMessage

LONGEST_REASON = 200


def reason_of(because: str) -> str:
    """Return a reason on one line; BadMessage, one sentence, where it is not said or is too long."""
    told = " ".join(because.split())
    if not told:
        raise BadMessage("say why: whoever looks at it later will want to know")
    if len(told) > LONGEST_REASON:
        raise BadMessage(f"say why in at most {LONGEST_REASON} characters")
    return told
