"""What is in a zip, by its name: the file that the zip's own name says."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePath

from app.core.errors import InvalidInput
from app.core.market.files.naming import FileName, what_name_says


def require_member(path: Path) -> None:
    """Nothing, where the file in a zip does not say by its name that it is another than the zip.

    An archive names both alike. A file that says nothing by its name may be in any zip.

    Raises:
        InvalidInput: it is of another symbol, interval or period.
    """
    if not path.name.lower().endswith(".zip"):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
    except (OSError, zipfile.BadZipFile, NotImplementedError):
        return  # whoever reads it says what is wrong with it
    if len(names) != 1:
        return
    member = PurePath(names[0])
    said, inside = what_name_says(path), what_name_says(PurePath(member.name))
    if any(one and other and one != other for one, other in _pairs(said, inside)):
        raise InvalidInput(
            f"{path.name} holds {member.name[:80]}, which is of something else than its own name "
            "says; fetch it again, or unpack it and import what is in it"
        )


def _pairs(one: FileName, other: FileName) -> list[tuple[object, object]]:
    is_known = bool(one.native or one.symbol) and bool(other.native or other.symbol)
    return [
        (one.native or one.symbol, other.native or other.symbol),
        (one.interval, other.interval),
        (one.period, other.period),
        (is_known and one.holds, is_known and other.holds),
    ]
