"""One GET of a small text, within a time and a size: from a server that may be down, slow, or something else.

`http.client` limits each read and not the whole answer, so a server that sends a byte a second would hold its reader
for hours. Here a timer ends the connection when the time is up, whatever it is doing.
"""

from __future__ import annotations

import base64
import http.client
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from labkit.errors import WatchError

MOST_BYTES = 4 << 20  # a server of eight engines has some 300 KiB; parsing takes a second a MiB
MOST_REDIRECTS = 3
PORTS = {"http": 80, "https": 443}


def metrics_url(text: str) -> str:
    """The address of the metrics: "localhost:8000" means http://localhost:8000/metrics.

    Raises:
        WatchError: it is no address of a web server.
    """
    url = text if "://" in text else f"http://{text}"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        port, parts = None, SplitResult("", "", "", "", "")
    if parts.scheme not in PORTS or not parts.hostname or port == 0 or any(sign.isspace() for sign in url):
        raise WatchError(f"{text!r:.100} is no address of a server: give http://HOST:PORT/metrics.")
    path = parts.path if parts.path not in ("", "/") else "/metrics"
    return parts._replace(path=path, fragment="").geturl()


def beside(url: str, path: str) -> str:
    """Another path of the same server."""
    return urlsplit(url)._replace(path=path, query="").geturl()


def without_password(url: str) -> str:
    """An address as it may be shown and kept."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def get(url: str, *, timeout_s: float = 5.0, headers: Mapping[str, str] | None = None) -> str:
    """The text at an address; redirects are followed on the same server alone.

    Args:
        url: of `metrics_url`. A user and a password in it are sent (Basic).
        timeout_s: for all of it.
        headers: sent too.

    Raises:
        WatchError: there is no answer in time, or none that can be used; the sentence says which.
    """
    for _ in range(MOST_REDIRECTS + 1):
        status, location, body = _once(url, timeout_s, dict(headers or {}))
        if status in (301, 302, 303, 307, 308) and location:
            there = urljoin(url, location)
            if _server(there) != _server(url):
                raise WatchError(
                    f"{_place(url)} sends its readers on to another server, {without_password(there)!r:.200}: watch "
                    "that address if it is the one you mean."
                )
            url = urlsplit(there)._replace(netloc=urlsplit(url).netloc).geturl()
            continue
        if status in (401, 403):
            raise WatchError(
                f"{_place(url)} asks for a login (status {status}): give it with --header 'Authorization: Bearer ...', "
                "or as http://USER:PASSWORD@HOST:PORT/metrics."
            )
        if status != 200:
            raise WatchError(
                f"{_place(url)} answers with status {status} ({http.client.responses.get(status, 'unknown')}): see "
                "that this is the path of its metrics, and that it exports them."
            )
        try:
            return body.decode("utf-8")
        except UnicodeDecodeError:
            raise WatchError(f"{_place(url)} answers with what is no text: give the address of its metrics.") from None
    raise WatchError(f"{_place(url)} sends its readers round in circles: give the address that it ends at.")


def _once(url: str, timeout_s: float, headers: dict[str, str]) -> tuple[int, str, bytes]:
    """(status, where a redirect leads, body)."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=timeout_s)
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers.setdefault("Authorization", "Basic " + base64.b64encode(login).decode("ascii"))
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    late = threading.Event()
    sockets: list[socket.socket] = []  # the connection forgets its own as soon as the answer has taken it over

    def end() -> None:
        late.set()
        for sock in sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(timeout_s, end)
    timer.daemon = True
    timer.start()
    try:
        connection.connect()
        sockets.append(connection.sock)
        connection.request("GET", path, headers={"Accept": "text/plain;version=0.0.4", **headers})
        answer = connection.getresponse()
        body = answer.read(MOST_BYTES + 1)
        if len(body) > MOST_BYTES:
            raise WatchError(
                f"{_place(url)} answers with more than {MOST_BYTES >> 20} MiB, and metrics are a few hundred KiB at "
                "most: see that the address is that of the metrics."
            )
        # A read with a limit does not notice that the answer ends too soon.
        cut = answer.length not in (None, 0)
        if late.is_set():
            raise TimeoutError
        if cut:
            raise http.client.IncompleteRead(body)
        return answer.status, answer.getheader("Location") or "", body
    except WatchError:
        raise
    except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
        raise WatchError(_why(url, error, late.is_set(), timeout_s)) from None
    finally:
        timer.cancel()
        connection.close()


def _why(url: str, error: Exception, late: bool, timeout_s: float) -> str:
    place = _place(url)
    if late or isinstance(error, TimeoutError):
        return f"{place} has not answered in {timeout_s:g} s: it is down, out of reach or busy."
    if isinstance(error, ConnectionRefusedError):
        return f"Nobody listens at {place}: start the server, or see that host and port are right."
    if isinstance(error, socket.gaierror):
        return f"There is no host {urlsplit(url).hostname!r:.100}, as far as this machine can tell: check its name."
    if isinstance(error, http.client.IncompleteRead):
        return f"The answer of {place} breaks off before its end, so none of it is used."
    if isinstance(error, http.client.HTTPException):
        return f"What listens at {place} does not speak HTTP: see that host and port are right."
    reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__
    return f"The connection to {place} broke ({reason!s:.100}): it may be starting, or gone."


def _place(url: str) -> str:
    return _server(url)[1]


def _server(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    try:
        port = parts.port or PORTS.get(parts.scheme)
    except ValueError:
        port = None
    return parts.scheme, f"{parts.hostname}:{port}"
