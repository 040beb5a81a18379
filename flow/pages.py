"""The rows of a damaged SQLite file, read page by page, however little of it SQLite can open.

The rows of a table lie in its leaf pages, each of which tells where its own begin, so that neither
the file's header nor the schema nor any page above a leaf is needed. Sections are those of
https://www.sqlite.org/fileformat2.html.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

MAGIC = b"SQLite format 3\0"
LEAF = 0x0D
#: Bytes of a page, where the header does not tell: SQLite's default, which no store changes.
PAGE = 4096


class Pages:
    """The pages of a database, by number from 1; those of its write-ahead log are the newer ones.

    Raises OSError if the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        data = Path(path).read_bytes()
        self.size, self.usable = _sizes(data)
        self.pages = {at // self.size + 1: data[at:at + self.size]
                      for at in range(0, len(data) - self.size + 1, self.size)}
        log = Path(path).with_name(Path(path).name + "-wal")
        if log.exists():
            self.pages |= self._logged(log.read_bytes())

    def _logged(self, data: bytes) -> dict[int, bytes]:
        """The pages of the write-ahead log up to its last commit (section 4)."""
        kept, waiting = {}, {}
        for at in range(32, len(data) - 24 - self.size + 1, 24 + self.size):
            number, commit = struct.unpack_from(">II", data, at)
            if data[at + 8:at + 16] != data[16:24]:  # of an earlier log
                break
            waiting[number] = data[at + 24:at + 24 + self.size]
            if commit:
                kept |= waiting
                waiting = {}
        return kept

    def rows(self, columns: int) -> Iterator[tuple]:
        """The rows of so many columns that are whole, of all tables.

        SQLite stores a whole number in a column of type REAL as an integer, and so it comes.
        """
        for number, page in self.pages.items():
            start = 100 if number == 1 else 0
            if page[start] != LEAF:
                continue
            count, = struct.unpack_from(">H", page, start + 3)
            for index in range(min(count, (self.size - start - 8) // 2)):
                at, = struct.unpack_from(">H", page, start + 8 + 2 * index)
                try:
                    row = _record(self._payload(page, at), columns)
                except (ValueError, IndexError, KeyError, struct.error):
                    continue
                if row is not None:
                    yield row

    def _payload(self, page: bytes, at: int) -> bytes:
        """What the cell at an offset holds, with the pages that it goes on in (section 1.6)."""
        size, at = _varint(page, at)
        _, at = _varint(page, at)
        most, least = self.usable - 35, (self.usable - 12) * 32 // 255 - 23
        if size <= most:
            return page[at:at + size]
        if size > self.size * len(self.pages):
            raise ValueError("a row larger than the file")
        local = least + (size - least) % (self.usable - 4)
        local = local if local <= most else least
        parts, size = [page[at:at + local]], size - local
        number, = struct.unpack_from(">I", page, at + local)
        while size > 0:
            more = self.pages[number]
            parts.append(more[4:4 + min(size, self.usable - 4)])
            size -= len(parts[-1])
            number, = struct.unpack_from(">I", more)
        return b"".join(parts)


def _sizes(data: bytes) -> tuple[int, int]:
    """Bytes of a page, and those of them that are used (section 1.3)."""
    if data[:16] == MAGIC and len(data) >= 100:
        size, = struct.unpack_from(">H", data, 16)
        size = 65536 if size == 1 else size
        if size >= 512 and size & size - 1 == 0:
            return size, size - data[20]
    return PAGE, PAGE


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of one to nine bytes, and the offset behind it."""
    value = 0
    for last in range(at, at + 8):
        value = value << 7 | data[last] & 0x7F
        if data[last] < 0x80:
            return value, last + 1
    return value << 8 | data[at + 8], at + 9


def _record(data: bytes, columns: int) -> tuple | None:
    """The values of a record of so many columns, None if it has others (section 2.1)."""
    end, at = _varint(data, 0)
    kinds = []
    while at < end and len(kinds) <= columns:
        kind, at = _varint(data, at)
        kinds.append(kind)
    if len(kinds) != columns or at != end:
        return None
    values = []
    for kind in kinds:
        if kind < 12:
            size = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)[kind]
        else:
            size = (kind - 12) // 2
        raw, at = data[at:at + size], at + size
        if len(raw) < size:
            return None
        if kind == 0:
            values.append(None)
        elif kind == 7:
            values.append(struct.unpack(">d", raw)[0])
        elif kind < 12:
            values.append(kind - 8 if kind > 7 else int.from_bytes(raw, "big", signed=True))
        else:
            values.append(raw.decode() if kind % 2 else raw)
    return tuple(values)
