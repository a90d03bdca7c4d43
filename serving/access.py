"""Who may ask, and how often: bearer tokens and a rate for each of them or each address."""

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import Scope

from .errors import RequestError
from .settings import Settings

MAXIMUM_CALLERS = 10_000
"""Whose rate is remembered; the ones not seen for longest are forgotten."""


MODELS = "/models/"


def needs_token(method: str, path: str) -> bool:
    """Whether a route is closed to strangers where there are tokens: answers, and the operator's numbers."""
    return path == "/metrics" or asks_checkpoint(method, path)


def asks_checkpoint(method: str, path: str) -> bool:
    """Whether an answer of a checkpoint is wanted."""
    return method == "POST" and path.startswith(MODELS)


class Access:
    """Lets requests in, or says why not. Nothing of a token is kept but its hash, and nothing is logged."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic):
        self._hashes = tuple(_hashed(token) for token in settings.all_tokens())
        self._rate = settings.requests_per_minute / 60
        self._burst = settings.burst
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    @property
    def has_tokens(self) -> bool:
        """Whether some routes are closed to strangers."""
        return bool(self._hashes)

    def check(self, scope: Scope) -> None:
        """Return if a request may go on.

        Raises:
            RequestError: 401 without a token that is known, 429 above the rate.
        """
        method, path = scope["method"], scope["path"]
        if not needs_token(method, path):
            return
        caller = self._caller(scope)
        if self._rate and method == "POST":
            self._spend(caller)

    def _caller(self, scope: Scope) -> str:
        """Return whose request it is: a token's hash, or an address."""
        if not self._hashes:
            return (scope.get("client") or ("unknown",))[0]
        kind, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
        given = _hashed(token.strip())
        known = [hmac.compare_digest(given, one) for one in self._hashes]  # all of them: the time tells nothing
        if kind.lower() != "bearer" or not any(known):
            headers = {"WWW-Authenticate": "Bearer"}
            raise RequestError(401, "unauthorized", "Expected the header Authorization: Bearer and a token.", headers)
        return given

    def _spend(self, caller: str) -> None:
        now = self._clock()
        left, then = self._buckets.pop(caller, (float(self._burst), now))
        left = min(self._burst, left + (now - then) * self._rate)
        self._buckets[caller] = (left - 1 if left >= 1 else left, now)
        if len(self._buckets) > MAXIMUM_CALLERS:
            self._buckets.popitem(last=False)
        if left < 1:
            headers = {"Retry-After": str(max(1, round((1 - left) / self._rate)))}
            raise RequestError(429, "rate_limit", f"More than {self._rate * 60:g} requests a minute.", headers)


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
