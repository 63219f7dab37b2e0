"""Requests to a collector over OTLP/HTTP and gRPC, each sent once, with what became of it.

The official exporters keep that to themselves: they try again for ten seconds whoever waits, and tell neither a partial
success nor a refusal for good nor a lost answer. Their variables hold here too, and their encoders make the requests.
"""

from __future__ import annotations

import gzip
import importlib
import os
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol
from urllib.parse import urlsplit

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.util.re import parse_env_headers

from mlotel import uris
from mlotel._json import UNDECODABLE
from mlotel._version import __version__
from mlotel.sdk._json_requests import to_protobuf
from mlotel.sdk._settings import Settings, Signal

if TYPE_CHECKING:
    import requests

__all__ = ["Answer", "Outcome", "Transport", "make_transport"]

Outcome = Literal["taken", "later", "unanswered", "malformed", "refused"]
"""`later`: it did not take it, now. `unanswered`: nobody knows. `malformed`: it never will. `refused`: nor others."""

# Loaded before there is a thread that sends: a child that is forked while it loads one waits for its lock for ever.
_MODULES = {
    "http/protobuf": ("requests", "urllib3", "encodings.idna", "netrc"),
    "grpc": ("grpc", "google.rpc.error_details_pb2"),
}
_TIMEOUT_S = 10.0
_LARGEST_ANSWER = 2**16
_LONGEST_PAUSE_S = 300.0
_OUTCOMES: Mapping[int, Outcome] = {
    400: "malformed", 413: "malformed", 422: "malformed",
    404: "refused", 405: "refused", 415: "refused", 501: "refused",
    502: "unanswered", 504: "unanswered",  # of a proxy: what stands behind it may have taken the request
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request.

    Attributes:
        outcome: see `Outcome`.
        detail: what the collector, or the network, said.
        status: the status of HTTP, 0 where there was none.
        rejected: how many items of a request that was taken were not (OTLP's partial success).
        retry_after_s: how long the collector asks to be left alone.
    """

    outcome: Outcome
    detail: str = ""
    status: int = 0
    rejected: int = 0
    retry_after_s: float = 0.0


class Transport(Protocol):
    """Sends requests of one signal to one collector, from one thread at a time; never raises.

    `endpoint` is the address for people, without credentials.
    """

    endpoint: str

    def send(self, body: bytes) -> Answer:
        """Send a request in protobuf."""
        ...

    def send_json(self, body: bytes) -> Answer:
        """Send a request in OTLP/JSON."""
        ...

    def close(self) -> None: ...


def make_transport(settings: Settings, signal: Signal) -> Transport:
    """Return what sends a signal, by the protocol and to the endpoint that are asked for; nothing is connected yet."""
    protocol = settings.protocol_of(signal)
    for module in _MODULES[protocol]:
        importlib.import_module(module)
    return (GrpcTransport if protocol == "grpc" else HttpTransport)(settings, signal)


class HttpTransport:
    """OTLP/HTTP, by requests."""

    def __init__(self, settings: Settings, signal: Signal) -> None:
        self._settings, self._signal = settings, signal
        self._url = settings.endpoint_of(signal) or settings.found_endpoint(signal)
        self.endpoint = uris.clean(self._url)
        self._compression = (settings.variable(signal, "COMPRESSION") or "none").lower()
        self._takes_json = True
        self._session: requests.Session | None = None
        self._pid = 0

    def send(self, body: bytes) -> Answer:
        return self._post(body, "application/x-protobuf")

    def send_json(self, body: bytes) -> Answer:
        if self._takes_json:
            answer = self._post(body, "application/json")
            if answer.status != 415:
                return answer
            self._takes_json = False
        return _send_in_protobuf(self, self._signal, body)

    def close(self) -> None:
        if self._session is not None and self._pid == os.getpid():
            self._session.close()
        self._session = None

    def _post(self, body: bytes, media_type: str) -> Answer:
        headers = {**_headers(self._settings, self._signal), "content-type": media_type}
        if self._compression == "gzip":
            body, headers["content-encoding"] = gzip.compress(body, 6), "gzip"
        elif self._compression == "deflate":
            body, headers["content-encoding"] = zlib.compress(body), "deflate"
        key = self._settings.variable(self._signal, "CLIENT_KEY")
        chain = self._settings.variable(self._signal, "CLIENT_CERTIFICATE")
        try:
            with self._connected().post(
                self._url,
                data=body,
                headers=headers,
                timeout=_timeout(self._settings, self._signal),
                # a redirection would take the headers elsewhere
                allow_redirects=False,
                verify=self._settings.variable(self._signal, "CERTIFICATE") or True,
                cert=(chain, key) if chain and key else chain,
                stream=True,
            ) as response:
                said = response.raw.read(_LARGEST_ANSWER, decode_content=True)
                return _read_answer(self._signal, response.status_code, response.headers, said)
        except Exception as error:  # some faults of the network come as urllib3's own
            return Answer("later" if _was_never_sent(error) else "unanswered", _reason(error))

    def _connected(self) -> requests.Session:
        if self._session is None or self._pid != os.getpid():
            import requests

            # a forked child must not write into its parent's connections
            self._session = _of_entry_point(self._signal, "HTTP") or requests.Session()
            self._pid = os.getpid()
        return self._session


class GrpcTransport:
    """OTLP over gRPC."""

    def __init__(self, settings: Settings, signal: Signal) -> None:
        self._settings, self._signal = settings, signal
        self._endpoint = settings.endpoint_of(signal) or settings.found_endpoint(signal)
        self.endpoint = uris.clean(self._endpoint) if "://" in self._endpoint else self._endpoint
        self._channel: Any = None
        self._call: Any = None
        self._pid = 0

    def send(self, body: bytes) -> Answer:
        import grpc

        headers = tuple(_headers(self._settings, self._signal).items())
        try:
            said = self._connected()(body, timeout=_timeout(self._settings, self._signal), metadata=headers)
        except grpc.RpcError as error:
            return _read_status(error)
        except Exception as error:  # a certificate that cannot be read, headers that gRPC does not take
            return Answer("later", _reason(error))
        return _read_response(self._signal, said)

    def send_json(self, body: bytes) -> Answer:
        return _send_in_protobuf(self, self._signal, body)

    def close(self) -> None:
        if self._channel is not None and self._pid == os.getpid():
            self._channel.close()
        self._channel = self._call = None

    def _connected(self) -> Any:
        if self._call is None or self._pid != os.getpid():
            import grpc

            target = urlsplit(self._endpoint).netloc or self._endpoint
            compression = self._settings.variable(self._signal, "COMPRESSION") or "none"
            options = {"compression": grpc.Compression.Gzip} if compression.lower() == "gzip" else {}
            if self._is_secure():
                self._channel = grpc.secure_channel(target, self._credentials(), **options)
            else:
                self._channel = grpc.insecure_channel(target, **options)
            service = f"opentelemetry.proto.collector.{_NAMES[self._signal]}.v1.{_NAMES[self._signal].title()}Service"
            self._call = self._channel.unary_unary(f"/{service}/Export")
            self._pid = os.getpid()
        return self._call

    def _is_secure(self) -> bool:
        scheme = urlsplit(self._endpoint).scheme
        if scheme == "https" or self._settings.endpoint is not None:
            return scheme == "https"
        said = self._settings.variable(self._signal, "INSECURE")
        return said.lower() != "true" if said else scheme != "http"

    def _credentials(self) -> Any:
        import grpc

        found = _of_entry_point(self._signal, "GRPC")
        if found is not None:
            return found
        names = ("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE")
        files = [self._settings.variable(self._signal, name) for name in names]
        return grpc.ssl_channel_credentials(*(Path(file).read_bytes() if file else None for file in files))


def _send_in_protobuf(transport: Transport, signal: Signal, body: bytes) -> Answer:
    """Send a request in OTLP/JSON to a collector that takes none."""
    try:
        request = to_protobuf(signal, body)
    except ValueError as error:
        return Answer("malformed", str(error))
    return transport.send(request)


_NAMES: Mapping[Signal, str] = {"traces": "trace", "logs": "logs", "metrics": "metrics"}


def _headers(settings: Settings, signal: Signal) -> dict[str, str]:
    said = parse_env_headers(settings.variable(signal, "HEADERS") or "", liberal=True)
    given = {key.lower(): value for key, value in (settings.headers or {}).items()}
    return {"user-agent": f"mlotel/{__version__}", **said, **given}


def _timeout(settings: Settings, signal: Signal) -> float:
    """Return seconds, as the SDK for Python reads that variable."""
    try:
        return float(settings.variable(signal, "TIMEOUT") or _TIMEOUT_S) or _TIMEOUT_S
    except ValueError:
        return _TIMEOUT_S


def _of_entry_point(signal: Signal, protocol: str) -> Any:
    """Return the session or credentials of a package that the SDK's variables name; None where they name none.

    Raises:
        LookupError: there is no such entry point.
    """
    start, end = f"OTEL_PYTHON_EXPORTER_OTLP_{protocol}", "CREDENTIAL_PROVIDER"
    name = os.environ.get(f"{start}_{signal.upper()}_{end}") or os.environ.get(f"{start}_{end}")
    if not name:
        return None
    found = tuple(entry_points(group="opentelemetry_otlp_credential_provider", name=name))
    if not found:
        raise LookupError(f"no package offers the credential provider {name!r}")
    return found[0].load()()


# -- what collectors and networks say


def _read_answer(signal: Signal, status: int, headers: Mapping[str, str], said: bytes) -> Answer:
    if 200 <= status < 300:
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type == "application/x-protobuf":
            return _read_response(signal, said)
        if media_type == "application/json":
            return _read_json_response(said)
        # A login page, say. Anything else is let pass: not every backend that takes OTLP answers in it.
        if media_type == "text/html" or said.lstrip()[:1] == b"<":
            return Answer("unanswered", f"answered {status} with a page, not with OTLP: is it a collector?")
        return Answer("taken")
    pause = _retry_after(headers.get("retry-after"))
    return Answer(_OUTCOMES.get(status, "later"), f"HTTP {status}", status, retry_after_s=pause)


def _read_response(signal: Signal, said: bytes) -> Answer:
    """Read an answer in protobuf. All three have the same form: field 1 is how many were rejected, and why."""
    try:
        partial = ExportTraceServiceResponse.FromString(said).partial_success
    except DecodeError:
        return Answer("unanswered", f"its answer about {signal} cannot be read: is it a collector?")
    return Answer("taken", partial.error_message, rejected=max(partial.rejected_spans, 0))


def _read_json_response(said: bytes) -> Answer:
    try:
        partial = (msgspec.json.decode(said or b"{}") or {}).get("partialSuccess") or {}
        rejected = next((int(value) for key, value in partial.items() if key.startswith("rejected")), 0)
    except (*UNDECODABLE, TypeError, AttributeError):
        return Answer("unanswered", "its answer cannot be read: is it a collector?")
    return Answer("taken", str(partial.get("errorMessage", "")), rejected=max(rejected, 0))


def _read_status(error: Any) -> Answer:
    import grpc

    code, detail = error.code(), f"{error.code().name}: {error.details()}"
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return Answer("refused", detail)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return Answer("malformed", detail)
    lost = code in (
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    )
    # a connection that ended under the request has the code of one that was never made
    cut = code is grpc.StatusCode.UNAVAILABLE and any(
        word in (error.details() or "").lower() for word in ("socket closed", "reset", "goaway", "broken pipe")
    )
    return Answer("unanswered" if lost or cut else "later", detail, retry_after_s=_retry_info(error))


def _retry_info(error: Any) -> float:
    from google.rpc.error_details_pb2 import RetryInfo

    for key, value in error.trailing_metadata() or ():
        if key == "google.rpc.retryinfo-bin":
            try:
                delay = RetryInfo.FromString(value).retry_delay
            except DecodeError:
                return 0.0
            return _bounded(delay.seconds + delay.nanos / 1e9)
    return 0.0


def _retry_after(said: str | None) -> float:
    """Return the seconds of a Retry-After header: a number of them, or a date."""
    if not said:
        return 0.0
    try:
        return _bounded(float(said))
    except ValueError:
        pass
    try:
        return _bounded(parsedate_to_datetime(said).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


def _bounded(seconds: float) -> float:
    return min(max(seconds, 0.0), _LONGEST_PAUSE_S) if seconds == seconds else 0.0


def _was_never_sent(error: Exception) -> bool:
    """Whether a request surely did not reach anybody: no address, no connection, no agreement on TLS."""
    import requests
    from urllib3 import exceptions as urllib3

    if isinstance(error, requests.exceptions.ConnectTimeout | requests.exceptions.SSLError):
        return True
    # an address that is none, a header that none may be, a package that is not there
    if isinstance(error, requests.exceptions.ProxyError | ValueError | LookupError):
        return True
    if isinstance(error, requests.exceptions.ConnectionError):
        reason = getattr(error.args[0] if error.args else None, "reason", None)
        return isinstance(reason, urllib3.NewConnectionError | urllib3.ConnectTimeoutError | urllib3.SSLError)
    # a certificate that cannot be read
    return isinstance(error, OSError) and not isinstance(error, requests.exceptions.RequestException)


def _reason(error: BaseException) -> str:
    """Return what lies at the bottom of an error: what stands above it names objects of libraries."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return uris.hide_credentials(" ".join(str(error).split()) or type(error).__name__)[:300]
