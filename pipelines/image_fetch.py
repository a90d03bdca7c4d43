"""Fetching a URL from hosts that the caller named, and from no other."""

import http.client
import re
import time
from contextlib import closing
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from .pipeline_common import InputError

TIMEOUT_SECONDS = 10.0
"""Longest silence of a host."""
MAXIMUM_SECONDS = 30.0
"""For everything."""
MAXIMUM_REDIRECTS = 3

_DEFAULT_PORTS = {"http": 80, "https": 443}
_CONNECTIONS = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
_REDIRECTS = (301, 302, 303, 307, 308)
_NEVER_IN_A_URL = re.compile(r"[\x00-\x20\x7f\\]")  # what programs read differently


def fetch(url: str, allowed_hosts: tuple[str, ...], maximum_bytes: int) -> bytes:
    """Return what a URL answers; a redirect must lead to an allowed host, too.

    No proxy is asked and no cookie or password is sent.

    Args:
        url: http or https.
        allowed_hosts: "host", for the scheme's own port, or "host:port".
        maximum_bytes: of the answer; no more is read.

    Raises:
        InputError: for a host that is not allowed, or an answer that is none.
    """
    deadline = time.monotonic() + MAXIMUM_SECONDS
    url = url.strip()
    for _ in range(MAXIMUM_REDIRECTS + 1):
        parts = _check_url(url, allowed_hosts)
        try:
            with closing(_CONNECTIONS[parts.scheme](parts.hostname, parts.port, timeout=TIMEOUT_SECONDS)) as connection:
                connection.request("GET", _target(parts), headers={"Accept-Encoding": "identity"})
                response = connection.getresponse()
                if response.status not in _REDIRECTS:
                    return _read(response, parts.hostname, maximum_bytes, deadline)
                url = urljoin(url, response.getheader("Location", ""))
        except InputError:
            raise
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise InputError(f"Expected a picture at the URL; {parts.hostname} cannot be reached or asked.") from error
        if parts.scheme == "https" and not url.lower().startswith("https:"):
            raise InputError(f"Expected a picture at the URL; {parts.hostname} redirects to one without https.")
    raise InputError(f"Expected a picture at the URL; got more than {MAXIMUM_REDIRECTS} redirects.")


def _check_url(url: str, allowed_hosts: tuple[str, ...]) -> SplitResult:
    """Take a URL apart if its host is allowed."""
    expected = f"Expected an http or https URL of {', '.join(allowed_hosts)}"
    try:
        parts = urlsplit(url)
        port = parts.port
        host = _normal_host(parts.hostname or "")
    except ValueError:
        raise InputError(f"{expected}; got one that is malformed.") from None
    if parts.scheme not in _DEFAULT_PORTS or not host or _NEVER_IN_A_URL.search(url):
        raise InputError(f"{expected}; got one that is malformed or of another scheme.")
    if "@" in parts.netloc:
        raise InputError(f"{expected}; got one with a user's name. Leave out what stands before the @.")
    port = _DEFAULT_PORTS[parts.scheme] if port is None else port
    if not any(_is_same(allowed, host, port, parts.scheme) for allowed in allowed_hosts):
        raise InputError(f"{expected}; got one of {host}:{port}. Download the file and pass its bytes.")
    return parts


def _is_same(allowed: str, host: str, port: int, scheme: str) -> bool:
    parts = urlsplit(f"//{allowed}")
    allowed_port = _DEFAULT_PORTS[scheme] if parts.port is None else parts.port
    return (_normal_host(parts.hostname or ""), allowed_port) == (host, port)


def _normal_host(host: str) -> str:
    """Spell a host as it is looked up: IDNA, small letters."""
    return host.encode("idna").decode("ascii").lower()


def _target(parts: SplitResult) -> str:
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    return f"{path}?{quote(parts.query, safe='/?%:@!$&()*+,;=~-._')}" if parts.query else path


def _read(response: http.client.HTTPResponse, host: str, maximum_bytes: int, deadline: float) -> bytes:
    if response.status != 200:
        raise InputError(f"Expected a picture at the URL; {host} answered {response.status}.")
    content = bytearray()
    while part := response.read1(2**16):
        content += part
        if len(content) > maximum_bytes:
            raise InputError(f"Expected a picture of at most {maximum_bytes:,} bytes; {host} sent more.")
        if time.monotonic() > deadline:
            raise InputError(f"Expected a picture at the URL within {MAXIMUM_SECONDS:g} seconds; {host} was slower.")
    if response.length:
        raise InputError(f"Expected a picture at the URL; {host} sent only a part of it. Try again.")
    return bytes(content)
