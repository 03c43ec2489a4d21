"""Lists the files in an archive."""

import tarfile
import zipfile

from data.archives.contents import Members
from data.archives.tars import files_of_tar
from data.archives.zips import files_of_zip
from data.errors import HeadstartError
from data.stores.files import opened
from data.stores.urls import shown
from data.text import counted, one_line, printable


def files_in(number: int, file: str, warnings: list[str]) -> Members:
    """List the files of an archive: of one name the last, links as what they lead to.

    Parameters
    ----------
    number : int
        Of the archive.
    file : str
    warnings : list of str
        To which is added what the user should know.

    Raises
    ------
    HeadstartError
        If it cannot be read, is packed as a whole or encrypted, holds names that lead out of it, images that
        unpack to far more than images do, or images with holes.
    """
    where = shown(file)
    try:
        with opened(file) as handle:
            read = files_of_zip if zipfile.is_zipfile(handle) else files_of_tar
            found = read(number, where, handle, warnings)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise HeadstartError(
            f"{where!r} cannot be read as an archive",
            "a whole zip or tar file",
            one_line(error),
            "write or download it again",
        ) from error
    members = found.last_of_each()
    if len(members) < len(found):
        first = found.names.twice()
        name = printable(found.names[first[1]]) if first else ""
        again = counted(len(found) - len(members), "file")
        warnings.append(f"{again} in {where!r} replaced by later ones of the same name, the first: {name}")
    return members
