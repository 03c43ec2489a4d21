"""fsspec's file system for each scheme, made once for each host and each set of credentials."""

import os
from base64 import b64encode
from functools import lru_cache
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from data.errors import HeadstartError, missing_extra
from data.stores.faults import fault_of
from data.stores.urls import Url

if TYPE_CHECKING:  # an extra
    import aiohttp
    from fsspec.asyn import AsyncFileSystem

AHEAD = 48  # objects under way at once
_CONNECT, _SILENT = 10, 60  # seconds: to connect, and without a byte
_OF_A_HOST = 6  # connections, as browsers have them: small servers drop more
_NEEDS = {"s3": "s3fs", "gs": "gcsfs", "hf": "huggingface_hub", "http": "aiohttp", "https": "aiohttp"}
_SETTINGS = ("AWS_", "GOOGLE_", "HF_")  # of the environment
_IN_THE_EXTRA = ("s3fs", "aiohttp")


def filesystem(url: Url) -> "AsyncFileSystem":
    """Return what reads the objects of a store.

    Credentials are those of the environment, as the store's own programs take them, or the login in the
    address; where there are none, access is anonymous.

    Raises
    ------
    HeadstartError
        If a package that the store needs is not installed, or credentials that the environment names are not
        there.
    """
    host = url.host if url.is_web else ""
    settings = tuple(sorted(item for item in os.environ.items() if item[0].startswith(_SETTINGS)))
    try:
        return _made(url.scheme, host, url.login, settings, os.getpid())
    except HeadstartError:
        raise
    except Exception as error:  # of botocore, google-auth and others
        fault = fault_of(error)
    raise fault.error(url, 1, anonymous=False)


def is_anonymous(url: Url, files: "AsyncFileSystem") -> bool:
    """Tell whether a store is asked without credentials; of the web, by the address alone."""
    return not (url.login or url.query) if url.is_web else bool(getattr(files, "anon", False))


@lru_cache(maxsize=16)
def _made(
    scheme: str, host: str, login: str, settings: tuple[tuple[str, str], ...], process: int
) -> "AsyncFileSystem":
    needed = _NEEDS[scheme]
    try:
        import fsspec
        from fsspec.implementations.asyn_wrapper import AsyncFileSystemWrapper

        import_module(needed)
    except ImportError as error:
        if needed in _IN_THE_EXTRA:
            raise missing_extra(f"{scheme}:// needs fsspec and {needed}", "stores", str(error)) from error
        raise HeadstartError(
            f"{scheme}:// needs {needed}, which is not installed",
            f"fsspec and {needed}",
            str(error),
            f"pip install fsspec {needed}",
        ) from error
    options = {"skip_instance_cache": True, "use_listings_cache": False, **_options(scheme, login)}
    made = fsspec.filesystem(scheme, **options)
    if scheme == "s3":
        made.retries = 1  # it has no option; attempts are those of `data.stores.remote`
    return made if made.async_impl else AsyncFileSystemWrapper(made)


def _options(scheme: str, login: str) -> dict[str, Any]:
    if scheme == "s3":
        return _of_s3()
    if scheme in ("http", "https"):
        import aiohttp

        limits = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_SILENT)
        basic = b64encode(unquote(login).encode()).decode()
        given = {"headers": {"Authorization": f"Basic {basic}"}} if login else {}
        return {
            "encoded": True,
            "simple_links": False,
            "get_client": _web_client,
            "client_kwargs": {"timeout": limits, "trust_env": True, **given},
        }
    return {}


async def _web_client(**settings: Any) -> "aiohttp.ClientSession":
    import aiohttp

    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit_per_host=_OF_A_HOST), **settings)


def _of_s3() -> dict[str, Any]:
    from botocore.session import Session

    settings = {
        "connect_timeout": _CONNECT,
        "read_timeout": _SILENT,
        "max_pool_connections": AHEAD,
        "retries": {"total_max_attempts": 1},
    }
    anonymous = Session().get_credentials() is None
    return {"anon": anonymous, "max_concurrency": 1, "config_kwargs": settings}
