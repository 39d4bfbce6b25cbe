"""The look-alike's paths beside the API: sign-in page, tokens, discovery.

Entered by the app. ``/oauth/authorize?…&sandbox_user=NAME`` says yes at once, without the page.
"""

import html
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

import msgspec

from labtrawl.sandbox.faults import Fault, spoil
from labtrawl.sandbox.id_tokens import ALGORITHM, signer
from labtrawl.sandbox.oauth import SCOPES, Provider
from labtrawl.sandbox.wire import Refused, Reply, Request, json_reply

DISCOVERY = "/.well-known/openid-configuration"
PREFIX = "/oauth/"
# The answer is lost or late and the effect has happened; any other fault comes before the effect.
_AFTER = frozenset({"reset", "truncate", "delay"})
_HTML = b"text/html; charset=utf-8"
_PAGE = """<!DOCTYPE html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Authorize {client}</title><link rel="icon" href="data:,">
<h1>Authorize {client} to use your account?</h1><p>It asks for: {scope}</p>
<form method="post" action="">{hidden}
<label>Sign in as <select name="sandbox_user">{users}</select></label>
<button name="decision" value="authorize">Authorize</button>
<button name="decision" value="deny">Deny</button></form></html>"""


def is_ours(path: str) -> bool:
    """True for a path of this room."""
    return path.startswith(PREFIX) or path == DISCOVERY


def answer(
    provider: Provider, base: str, request: Request, path: str, body: bytes, fault: Fault | None
) -> Reply:
    """Answer a request; a `fault` strikes before the effect, or takes the answer after it."""
    form = _form(request, body)
    try:
        if fault is not None and fault.kind not in _AFTER:
            reply = spoil(fault, Reply(200, b""))
        else:
            reply = _right_answer(provider, base, request, path, form)
            reply = reply if fault is None else spoil(fault, reply)
    except Refused as refused:
        reply = refused.reply
    if path == f"{PREFIX}token":
        provider.count(form.get("grant_type", ""), reply.status)
    return reply


def _right_answer(
    provider: Provider, base: str, request: Request, path: str, form: Mapping[str, str]
) -> Reply:
    name = "discovery" if path == DISCOVERY else path.removeprefix(PREFIX)
    match request.method, name:
        case "GET" | "POST", "authorize":
            return _authorize(provider, request.method, form)
        case "POST", "token":
            return json_reply(provider.token(form), [(b"cache-control", b"no-store")])
        case "POST", "revoke":
            provider.revoke(form)
            return json_reply({})
        case "GET", _ if (told := _told(provider, base, name, _bearer(request))) is not None:
            return json_reply(told)
    # The device flow too: its paths are not there while its flag is off.
    raise Refused(404, {"error": "404 Not Found"})


def _told(provider: Provider, base: str, name: str, token: str) -> dict[str, object] | None:
    """What a path of this name tells, None for no such path. Raises Refused."""
    match name:
        case "token/info":
            return provider.token_facts(token)
        case "userinfo":
            return provider.user_facts(token)
        case "discovery":
            return _discovery(base)
        case "discovery/keys":
            return signer().keys()
    return None


def _form(request: Request, body: bytes) -> dict[str, str]:
    """Parameters of the query, of a form, or of JSON; a body wins over the query."""
    found = dict(request.query)
    if request.headers.get(b"content-type", b"").startswith(b"application/json"):
        try:
            return found | msgspec.json.decode(body, type=dict[str, str])
        except msgspec.DecodeError:
            return found
    return found | dict(parse_qsl(body.decode("latin-1"), keep_blank_values=True))


def _authorize(provider: Provider, method: str, form: Mapping[str, str]) -> Reply:
    application = provider.client(form.get("client_id", ""), form.get("redirect_uri", ""))
    error = provider.check_wish(application, form)
    if error:
        return _back(form, {"error": error})
    if "sandbox_user" not in form:
        return _page(provider, form)
    if method == "POST" and form.get("decision") != "authorize":
        return _back(form, {"error": "access_denied"})
    return _back(form, {"code": provider.permit(application, form["sandbox_user"], form)})


def _back(form: Mapping[str, str], said: dict[str, str]) -> Reply:
    state = {"state": form["state"]} if "state" in form else {}
    joint = "&" if "?" in form["redirect_uri"] else "?"
    location = f"{form['redirect_uri']}{joint}{urlencode(said | state)}"
    return Reply(302, b"", [(b"location", location.encode())], _HTML)


def _page(provider: Provider, form: Mapping[str, str]) -> Reply:
    hidden = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in form.items()
    )
    users = "".join(f"<option>{html.escape(name)}</option>" for name in provider.usernames)
    page = _PAGE.format(
        client=html.escape(form["client_id"]),
        scope=html.escape(form["scope"]),
        hidden=hidden,
        users=users,
    )
    return Reply(200, page.encode(), [], _HTML)


def _bearer(request: Request) -> str:
    scheme, _, rest = request.headers.get(b"authorization", b"").partition(b" ")
    return rest.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""


def _discovery(base: str) -> dict[str, object]:
    return {
        "issuer": base,
        "authorization_endpoint": f"{base}/oauth/authorize",
        "token_endpoint": f"{base}/oauth/token",
        "revocation_endpoint": f"{base}/oauth/revoke",
        "userinfo_endpoint": f"{base}/oauth/userinfo",
        "jwks_uri": f"{base}/oauth/discovery/keys",
        "id_token_signing_alg_values_supported": [ALGORITHM],
        "scopes_supported": list(SCOPES),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "none"],
        "code_challenge_methods_supported": ["S256"],
        "subject_types_supported": ["public"],
    }
