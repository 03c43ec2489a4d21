"""What went wrong with an object: in words without credentials, and whether it is worth another attempt."""

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus

from data.errors import HeadstartError, NotAllowedError, NotFoundError
from data.stores.urls import Url

_MANY, _FEW = 8, 3  # attempts: of a store that is busy, of one that does not answer at all
_DENIED = {
    *("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"),
    *("TokenRefreshRequired", "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound"),
    *("CredentialRetrievalError", "UnauthorizedSSOTokenError", "DefaultCredentialsError", "PermissionError"),
    *("AuthorizationHeaderMalformed", "GatedRepoError"),
}
_SILENT = {
    "ClientConnectorError",
    "EndpointConnectionError",
    "ConnectionRefusedError",
    "gaierror",
    "ProxyError",
}
_UNTRUSTED = {
    "ClientConnectorCertificateError",
    "ClientConnectorSSLError",
    "SSLError",
    "SSLCertVerificationError",
}
_SLOW = {"TimeoutError", "ReadTimeoutError", "ConnectTimeoutError", "FSTimeoutError"}
_NO_ADDRESS = {"InvalidURL", "ParamValidationError", "InvalidBucketName", "InvalidRegionError"}
_LOST = {"TooManyRedirects"}
_KNOWN = (("denied", _DENIED), ("untrusted", _UNTRUSTED), ("address", _NO_ADDRESS), ("refused", _LOST))
_BUSY = {408, 425, 429}


class StoreError(HeadstartError, OSError):
    """An object that is there could not be read; ``errno`` is EIO.

    Examples
    --------
    >>> error = StoreError("'s3://b/1.jpg' cannot be read", "an answer", "500, 8 times", "try again")
    >>> isinstance(error, OSError), error.strerror
    (True, '500, 8 times')
    """

    def __init__(self, happened: str, expected: str, received: str, todo: str) -> None:
        super().__init__(happened, expected, received, todo)
        self.errno, self.strerror = errno.EIO, received


@dataclass(frozen=True)
class Fault:
    """Why an attempt failed.

    Attributes
    ----------
    kind : str
        ``gone``, ``bucket`` (there is none of that name), ``denied``, ``silent`` (no host answers),
        ``untrusted`` (its certificate), ``address``, ``refused`` (what is asked for), ``page`` (of the web,
        in place of the object) or ``busy``.
    words : str
        A status, the store's own word, or what kind of error it was.
    """

    kind: str
    words: str

    @property
    def attempts(self) -> int:
        """How many are made in all before it counts."""
        return {"busy": _MANY, "silent": _FEW}.get(self.kind, 1)

    def error(self, url: Url, made: int, anonymous: bool) -> OSError:
        """Return what the user is told after so many attempts; what is gone is as a missing file."""
        if self.kind in ("gone", "page"):
            reason = self.words if self.kind == "page" else "no such object"
            return FileNotFoundError(errno.ENOENT, reason, str(url))
        happened, expected, todo = _TOLD[self._told(url, anonymous)]
        place = url.host if self.kind in ("bucket", "silent", "untrusted") else str(url)
        kinds: dict[str, type[NotFoundError | NotAllowedError]] = {
            "bucket": NotFoundError,
            "denied": NotAllowedError,
        }
        received = f"{self.words}, {made} times" if made > 1 else self.words
        error = kinds.get(self.kind, StoreError)(happened.format(repr(place)), expected, received, todo)
        error.strerror = received
        return error

    def _told(self, url: Url, anonymous: bool) -> str:
        """Return the entry of `_TOLD` for an address."""
        if self.kind == "denied" and anonymous and (url.is_web or url.scheme == "s3"):
            return "no login" if url.is_web else "no credentials"
        return "silent store" if self.kind == "silent" and url.scheme == "s3" else self.kind


class AnswerError(Exception):
    """An answer that is not what was asked for, though its status says so."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.words)
        self.fault = fault


_TOLD = {
    "bucket": ("there is no bucket {}", "the name of a bucket that exists", "correct the address"),
    "denied": (
        "{} may not be read: these are not the right credentials",
        "credentials that the store knows, which may list and read there",
        "give them as the store's own programs take them: AWS_PROFILE or AWS_ACCESS_KEY_ID for s3://, "
        "~/.netrc or USER:PASSWORD@HOST for https://; an address that was signed may have expired",
    ),
    "no credentials": (
        "{} may not be read: no AWS credentials were found, access was anonymous",
        "credentials that the store knows, which may list and read there",
        "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; they are looked for in "
        "~/.aws/credentials, ~/.aws/config and the role of the machine too",
    ),
    "no login": (
        "{} may not be read: the address holds no login",
        "a login or a token that the server knows",
        "give it in ~/.netrc, as https://USER:PASSWORD@HOST, or by an address that holds a token",
    ),
    "silent": ("no answer from {}", "a host that this machine reaches", "check the address and the network"),
    "silent store": (
        "no answer from {}",
        "a host that this machine reaches",
        "check AWS_ENDPOINT_URL and the network",
    ),
    "untrusted": (
        "the certificate of {} is not trusted",
        "one that this machine knows",
        "name its authority: SSL_CERT_FILE for https://, AWS_CA_BUNDLE for s3://",
    ),
    "address": ("{} is no address of an object", "a name that the store takes", "correct the address"),
    "refused": ("{} cannot be read", "an object, or a folder of objects", "check the address and the store"),
    "busy": (
        "{} cannot be read",
        "an answer after a few attempts",
        "run the same command again when the store answers: what was read is not read again",
    ),
}


def fault_of(error: BaseException) -> Fault:
    """Return why a request failed, by what fsspec and the libraries below it raise.

    Examples
    --------
    >>> fault_of(ConnectionResetError(104, "Connection reset by peer"))
    Fault(kind='busy', words='ConnectionResetError')
    """
    if isinstance(error, AnswerError):
        return error.fault
    causes = list(_causes(error))
    names = {kind.__name__ for each in causes for kind in type(each).__mro__}
    codes = {code for each in causes if (code := _code(each))}
    status = next((found for each in causes if (found := _status(each))), 0)
    words = next(iter(sorted(codes - {str(status)})), "") or _phrase(status) or type(causes[-1]).__name__
    words = f"{status} {words}" if status else words
    if "NoSuchBucket" in codes or "RepositoryNotFoundError" in names:
        return Fault("bucket", words)
    for kind, known in _KNOWN:
        if known & (names | codes):
            return Fault(kind, words)
    if status in (401, 403):
        return Fault("denied", words)
    if status in (404, 410) or (not status and isinstance(causes[-1], FileNotFoundError)):
        return Fault("gone", words)
    if _SILENT & names and not _SLOW & names:
        return Fault("silent", words)
    if 300 <= status < 500 and status not in _BUSY and not _SLOW & names:
        return Fault("refused", words)
    return Fault("busy", words)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _phrase(status: int) -> str:
    """Return the name of a status, empty where it has none."""
    return next((each.phrase for each in HTTPStatus if each == status), "")


def _code(error: BaseException) -> str:
    """Return the store's own word for an error, as botocore keeps it."""
    answer = getattr(error, "response", None)
    return str(answer.get("Error", {}).get("Code", "")) if isinstance(answer, dict) else ""


def _status(error: BaseException) -> int:
    """Return the status of the answer that an error is about; 0 where there was none."""
    answer = getattr(error, "response", None)
    found = answer.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(answer, dict) else None
    found = found or getattr(answer, "status_code", None) or getattr(error, "status", None)
    return found if isinstance(found, int) else 0
