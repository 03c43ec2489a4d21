"""Addresses of object stores: their parts, and what of them may be shown."""

import os
import posixpath
import re
from dataclasses import dataclass, field, replace
from urllib.parse import quote, unquote

from data.errors import HeadstartError, UsageError

SCHEMES = ("s3", "gs", "hf", "https", "http")
_BEGINS = re.compile(rf"({'|'.join(SCHEMES)}):/{{1,2}}", re.IGNORECASE)  # one, as pathlib leaves it
_SECRET = re.compile(
    r"key|sig|token|secret|pass|pwd|auth|cred|policy|session|jwt|^x-(amz|goog)-|^code$", re.I
)
_AS_IT_IS = "/%:=~+!$,;'@()*[]"  # of a path on the web that somebody wrote: what is escaped stays so


def is_url(text: object) -> bool:
    """Tell whether a text names something in an object store.

    Examples
    --------
    >>> is_url("s3://bucket/photos"), is_url("photos/"), is_url("tfds:mnist")
    (True, False, False)
    """
    return isinstance(text, str) and bool(_BEGINS.match(text))


@dataclass(frozen=True)
class Url:
    """An address of an object store. What may be secret in it is in no text but `Url.full`.

    Attributes
    ----------
    scheme : str
        One of `SCHEMES`.
    host : str
        Host and port, or the bucket.
    path : str
        Below that, without ``/`` at its ends; on the web with percent signs as it is sent.
    query : str
        On the web what stands behind ``?``.
    login : str
        On the web ``USER:PASSWORD``.

    Examples
    --------
    >>> url = Url.of("https://me:secret@host/photos/?X-Amz-Signature=abc")
    >>> str(url), url.login
    ('https://host/photos', 'me:secret')
    >>> str(url.below("cat/1 2.jpg"))
    'https://host/photos/cat/1%202.jpg'
    """

    scheme: str
    host: str
    path: str
    query: str = field(default="", repr=False)
    login: str = field(default="", repr=False)

    @classmethod
    def of(cls, text: str) -> "Url":
        """Read an address.

        Raises
        ------
        UsageError
            If it is none, names no host or bucket, or has credentials where there is no place for them.
        """
        begin = _BEGINS.match(text)
        scheme = begin[1].lower() if begin else ""
        rest, query = text[begin.end() :] if begin else text, ""
        if scheme.startswith("http"):
            rest, _, query = rest.partition("#")[0].partition("?")
        place, _, path = rest.partition("/")
        login, at, host = place.rpartition("@")
        if not host or (login and not scheme.startswith("http")):
            raise UsageError(
                f"this is no address of {scheme}://",
                f"{scheme}://{'HOST' if scheme.startswith('http') else 'BUCKET'}/PATH",
                "credentials in the address, which are not repeated here" if at else repr(text),
                "leave them out and set them in the environment" if at else "correct the address",
            )
        if scheme.startswith("http"):
            path = quote(path, safe=_AS_IT_IS)
        return cls(scheme, host, path.strip("/"), query, login)

    def __str__(self) -> str:
        """Return the address without login and, if there may be a secret in it, without the query."""
        names = [part.partition("=")[0] for part in self.query.split("&")]
        query = "" if any(map(_SECRET.search, names)) else self.query
        path = f"/{self.path}" if self.path else ""
        return f"{self.scheme}://{self.host}{path}" + (f"?{query}" if query else "")

    @property
    def is_web(self) -> bool:
        """Whether it is an address of the web, with its own rules."""
        return self.scheme in ("http", "https")

    @property
    def full(self) -> str:
        """The address as the store is asked for it, with what may be secret in its query, less the login."""
        return f"{self.scheme}://{self.host}/{self.path}" + (f"?{self.query}" if self.query else "")

    @property
    def as_folder(self) -> str:
        """The same with ``/`` at its end, as a server of the web wants it of a folder."""
        path = f"{self.path}/" if self.path else ""
        return f"{self.scheme}://{self.host}/{path}" + (f"?{self.query}" if self.query else "")

    @property
    def text(self) -> str:
        """The address as it was given, with all that may be secret."""
        login = f"{self.login}@" if self.login else ""
        return f"{self.scheme}://{login}{self.host}/{self.path}" + (f"?{self.query}" if self.query else "")

    @property
    def name(self) -> str:
        """What a person would call it: the last part of its path, else its host or bucket."""
        path = unquote(self.path) if self.is_web else self.path
        return posixpath.basename(path) or self.host

    def below(self, path: str) -> "Url":
        """Return the address of a file, by its path from here, whose names are as on a disk.

        Raises
        ------
        HeadstartError
            If it leads out of the host or bucket.
        """
        whole = posixpath.normpath(posixpath.join(self.path, quote(path) if self.is_web else path))
        if whole.startswith(("/", "../")):
            raise HeadstartError(
                f"a path leads out of {self.scheme}://{self.host}",
                f"a path from {self} on",
                repr(path),
                "correct it",
            )
        return replace(self, path="" if whole == "." else whole)

    def above(self) -> "Url":
        """Return the address of the folder that it lies in."""
        return replace(self, path=posixpath.dirname(self.path))


def shown(place: str) -> str:
    """Return a path as it is, and an address without what may be secret in it.

    Examples
    --------
    >>> shown("photos/"), shown("https://me:pw@host/a.csv?sig=abc"), shown("http://host/a.csv?id=7")
    ('photos/', 'https://host/a.csv', 'http://host/a.csv?id=7')
    """
    return str(Url.of(place)) if is_url(place) else place


def below(root: str, path: str) -> str:
    """Return the place of a file by its path from a root; a place of its own stays as it is.

    Examples
    --------
    >>> below("photos", "cat/1.jpg"), below("s3://bucket/photos", "cat/1.jpg")
    ('photos/cat/1.jpg', 's3://bucket/photos/cat/1.jpg')
    >>> below("photos", "https://host/1.jpg")
    'https://host/1.jpg'
    """
    if is_url(path):
        return path
    return Url.of(root).below(path).text if is_url(root) else os.path.join(root, path)
