"""Objects as a store sends them, whole or in part: all bytes of them, and the stamp of that very answer."""

import hashlib
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from data.stores.faults import AnswerError, Fault
from data.stores.stamp import Stamp
from data.stores.urls import Url

if TYPE_CHECKING:  # an extra
    from fsspec.asyn import AsyncFileSystem

_PAGES = ("text/html", "application/xhtml+xml")
_A_PAGE = "the server sent a web page (text/html) instead of it: a login or a token may be missing"


class Body(bytes):
    """The bytes of an object.

    Attributes
    ----------
    stamp : Stamp or None
        Of the answer that held them; None where the store gave it none that counts.
    """

    stamp: Stamp | None = None


async def body_of(files: "AsyncFileSystem", url: Url, start: int | None, end: int | None) -> bytes:
    """Return the bytes of an object, or those between two places.

    Raises
    ------
    AnswerError
        If fewer have come than there are, or a web page in their place.
    """
    if start is not None and start == end:
        return b""
    limits = {} if start is None or end is None else {"Range": f"bytes={start}-{end - 1}"}
    if url.is_web:
        data = await _of_the_web(files, url, limits)
    elif url.scheme == "s3":
        data = await _of_s3(files, url, limits)
    else:
        data = Body(await files._cat_file(url.full, start=start, end=end))
    if start is not None and end is not None:
        _check_size(data, end - start)
        data.stamp = None
    return data


async def _of_the_web(files: "AsyncFileSystem", url: Url, limits: dict[str, str]) -> Body:
    session = await files.set_session()
    headers = {"Accept-Encoding": "identity", **limits}
    async with session.get(files.encode_url(url.full), headers=headers) as answer:
        files._raise_not_found_for_status(answer, url.full)
        data = Body(await answer.read())
    told = answer.headers
    if answer.content_type in _PAGES and data.lstrip().startswith(b"<"):
        raise AnswerError(Fault("page", _A_PAGE))
    if told.get("Content-Encoding", "identity") == "identity":
        if not limits and "Content-Length" not in told and "Transfer-Encoding" not in told:
            await _compare(files, url, data)  # the end of such a body looks as a connection that was lost
        known = {name: told[name] for name in ("ETag", "Last-Modified") if name in told}
        data.stamp = stamp_of({**known, "size": len(data)})
    return data


async def _of_s3(files: "AsyncFileSystem", url: Url, limits: dict[str, str]) -> Body:
    bucket, key, _ = files.split_path(url.full)
    answer = await files._call_s3("get_object", Bucket=bucket, Key=key, **limits)
    try:
        data = Body(await answer["Body"].read())
    finally:
        answer["Body"].close()
    if not limits and "content-length" not in answer["ResponseMetadata"]["HTTPHeaders"]:
        await _compare(files, url, data)
    data.stamp = stamp_of({**answer, "size": len(data)})
    return data


async def _compare(files: "AsyncFileSystem", url: Url, data: bytes) -> None:
    """Ask for the size of an object whose answer did not say it."""
    size = (await files._info(url.full)).get("size")
    if isinstance(size, int):
        _check_size(data, size)


def _check_size(data: bytes, size: int) -> None:
    if len(data) < size:
        raise AnswerError(Fault("busy", f"{len(data)} of {size} bytes"))


def stamp_of(info: Mapping[str, Any]) -> Stamp | None:
    """Return the stamp of an object by what its store says of it; a weak ETag does not speak of its bytes."""
    size = info.get("size")
    tag = next((str(info[name]) for name in ("ETag", "etag", "blob_id") if info.get(name)), "")
    if not isinstance(size, int):
        return None
    if tag and not tag.startswith("W/"):
        return Stamp(size, int.from_bytes(hashlib.sha256(tag.encode()).digest()[:8]) >> 1, exact=True)
    try:
        changed = parsedate_to_datetime(info["Last-Modified"])
    except (KeyError, ValueError):
        return None
    return Stamp(size, int(changed.timestamp()) * 10**9)
