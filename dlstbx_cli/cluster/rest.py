"""Slurm by its REST interface, slurmrestd.

Sources: Slurm's manual (rest_quickstart, jwt) and how Debian's slurmrestd 22.05 behaves: a
token that is wrong or has expired, and a controller that is away, are one and the same
``500 Unspecified error`` there; a missing user or token is a 401.
"""

from __future__ import annotations

import json
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dlstbx_cli.cluster.answer import errors_of, newest_version, states_of
from dlstbx_cli.cluster.login import Credentials, Login
from dlstbx_cli.cluster.source import TIMEOUT
from dlstbx_cli.services.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    import requests

_CHUNK = 1 << 16
#: Of an answer that is no answer of Slurm's, so much is shown.
_SHOWN = 160


class SlurmRest:
    """See :class:`dlstbx_cli.cluster.source.Source`.

    :param url: of slurmrestd, without ``/slurm/...``.
    :param version: of the API, such as ``v0.0.40``; None: the newest that is offered.
    :param timeout: seconds, for a whole call.

    Raises Misconfigured if the URL is none.
    """

    def __init__(
        self,
        url: str,
        login: Login,
        account: str,
        version: str | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._url = _checked(url)
        self._login = login
        self._account = account
        self._version = version
        self._offered: str | None = None
        self._timeout = timeout

    def states(self) -> list[str]:
        """Return the state of each job of the account. Raises Unavailable, Misconfigured."""
        deadline = time.monotonic() + self._timeout
        credentials = self._login.credentials()
        version = self._version or self._offered or self._newest(credentials, deadline)
        path = f"slurm/{version}/jobs"
        try:
            answer = self._get(path, credentials, deadline)
        except Misconfigured:
            # A Slurm that has been upgraded may offer other versions.
            self._offered = None
            raise
        if errors := errors_of(answer):
            raise self._failed(errors, credentials)
        states = states_of(answer, self._account)
        if states is None:
            raise Misconfigured(f"{self._url}/{path} answers no list of jobs: is it slurmrestd?")
        return states

    def close(self) -> None:
        """Do nothing: a call ends by itself, in time."""

    def _newest(self, credentials: Credentials, deadline: float) -> str:
        path = "openapi/v3"
        answer = self._get(path, credentials, deadline)
        self._offered = newest_version(answer)
        if self._offered is None:
            raise Misconfigured(
                f"{self._url}/{path} offers no list of jobs: is it slurmrestd? "
                "If so, say its API version"
            )
        return self._offered

    def _get(self, path: str, credentials: Credentials, deadline: float) -> Any:
        """Return the JSON value at a path. Raises Unavailable, Misconfigured."""
        import requests
        import urllib3

        where = f"{self._url}/{path}"
        try:
            with requests.get(
                where,
                headers={**credentials.headers, "Accept": "application/json"},
                timeout=max(deadline - time.monotonic(), 0.001),
                # A redirection would take the token along to another host.
                allow_redirects=False,
                stream=True,
            ) as response:
                body = self._body(response, deadline)
        except requests.exceptions.SSLError as error:
            reason = _reason(error)
            advice = " (REQUESTS_CA_BUNDLE names authorities to trust)" * ("VERIFY" in reason)
            raise Misconfigured(f"{self._url}: {reason}{advice}") from None
        except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError):
            raise self._too_slow() from None
        except requests.exceptions.ConnectionError as error:
            raise Unavailable(f"{self._url} cannot be reached: {_reason(error)}") from None
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            reason = credentials.hidden(_reason(error))
            raise Unavailable(f"{self._url}: {reason}") from None
        return self._value(path, response.status_code, body, credentials)

    def _body(self, response: requests.Response, deadline: float) -> bytes:
        # What has come is looked at as it comes (read1): a server that sends one byte now and
        # then would never run into the time-out of a single read.
        read = getattr(response.raw, "read1", response.raw.read)
        chunks = []
        while chunk := read(_CHUNK, decode_content=True):
            chunks.append(chunk)
            if time.monotonic() > deadline:
                raise self._too_slow()
        return b"".join(chunks)

    def _value(self, path: str, status: int, body: bytes, credentials: Credentials) -> Any:
        where = f"{self._url}/{path}"
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            answer = None
        if status == HTTPStatus.OK:
            if answer is None:
                raise Misconfigured(f"{where} answers no JSON: is it slurmrestd?")
            return answer
        if 300 <= status < 400:
            raise Misconfigured(f"{where} redirects to another address: give that as the URL")
        if status == HTTPStatus.NOT_FOUND:
            raise Misconfigured(
                f"{where} does not exist: is the URL that of slurmrestd, and does it offer this "
                "version of the API?"
            )
        text = errors_of(answer) or " ".join(body[:_SHOWN].decode("utf-8", "replace").split())
        raise self._failed(f"HTTP {status}" + (f": {text}" if text else ""), credentials)

    def _failed(self, what: str, credentials: Credentials) -> Unavailable:
        """Return the failure; what Slurm leaves unsaid, the token's end for one, is guessed."""
        guess = credentials.expired(time.time())
        if not guess and "Unspecified error" in what:
            guess = "a wrong token, or its controller is away"
        shown = credentials.hidden(" ".join(what.split()))
        return Unavailable(f"{self._url}: {shown}" + (f" ({guess})" if guess else ""))

    def _too_slow(self) -> Unavailable:
        return Unavailable(f"{self._url} does not answer within {self._timeout:g} s")


def _checked(url: str) -> str:
    """Return a URL without a slash at its end. Raises Misconfigured, and names no password."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is none, brackets that do not close
        usable = None
    if not usable or not url.isprintable() or " " in url:
        raise Misconfigured(f"no URL of slurmrestd: {url!r}; write https://HOST:PORT")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise Misconfigured(
            f"the URL of slurmrestd at {parts.hostname} has more than host, port and path: "
            "user and token are settings of their own"
        )
    return url.rstrip("/")


def _reason(error: BaseException) -> str:
    """Return why a request failed, without the names of the libraries it went through."""
    found: BaseException | None = error
    while found is not None:
        reason = getattr(found, "strerror", None) or getattr(found, "verify_message", None)
        if reason:
            return str(reason)
        found = found.__cause__ or found.__context__
    return str(error)
