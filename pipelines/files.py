"""Opening landed files: plain, gzip or Zstandard, told by their content and their name.

What was delivered may be cut off or damaged. Everything that could be read before the damage is handed out first; only
then does reading raise :class:`LandedFileError`, so that a decoder loads what is whole and says what is not.
"""

import io
import stat
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

# Compressed bytes fed to a decompressor at once. A Zstandard block of 4 bytes may stand for 128 KiB, so this bounds
# what one step can expand to (256 MiB in the worst case, some 100 KiB in logs).
_FEED = 8 << 10

_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_UNSUPPORTED = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_SUFFIXES = {".gz": "gzip", ".gzip": "gzip", ".zst": "Zstandard", ".zstd": "Zstandard"}


class LandedFileError(Exception):
    """A landed file can't be read, or not to its end.

    Attributes:
        reason: Short code: ``truncated_archive``, ``corrupt_archive``, ``unsupported_archive``, ``not_an_archive``,
            ``bad_encoding``, ``too_large``, ``not_a_file`` or ``unreadable``.
        detail: What is wrong, in words, with the place where it is known.
    """

    def __init__(self, reason: str, detail: str) -> None:
        """Keep the two parts; the message is both."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class _Decompressor(Protocol):
    """What zlib's and zstandard's decompression objects share."""

    eof: bool
    unused_data: bytes

    def decompress(self, data: bytes) -> bytes: ...


def _is_zstd_frame(head: bytes) -> bool:
    """Whether a Zstandard frame or a skippable frame (RFC 8878, section 3.1.2) begins here."""
    return head[:4] == _ZSTD or (len(head) >= 4 and 0x50 <= head[0] <= 0x5F and head[1:4] == b"\x2a\x4d\x18")


def _gzip_member() -> _Decompressor:
    return zlib.decompressobj(wbits=31)  # 31: gzip header and checksum


def _zstd_frame() -> _Decompressor:
    return zstandard.ZstdDecompressor().decompressobj()


class LandedStream(io.BufferedIOBase):
    """The decompressed bytes of one landed file, read forward.

    Data before a damage always come first; the call after them raises. ``damage`` holds the error from the moment it is
    known, for readers that ask for everything at once.
    """

    def __init__(self, source: BinaryIO, name: str, kind: str | None, max_bytes: int | None) -> None:
        """Wrap an open file.

        Args:
            source: The file, at its beginning.
            name: Its name for messages.
            kind: ``gzip``, ``Zstandard``, or None for a plain file.
            max_bytes: Most bytes to hand out; None for no limit.
        """
        self._source = source
        self._name = name
        self._kind = kind
        self._left = max_bytes
        self._limit = max_bytes
        self._new: Callable[[], _Decompressor] = _gzip_member if kind == "gzip" else _zstd_frame
        self._unit = "member" if kind == "gzip" else "frame"
        self._current: _Decompressor | None = None
        self._units = 0
        self._fed = b""
        self._read = 0  # bytes taken from the source
        self._unit_offset = 0  # where the current member or frame begins in the source
        self._unit_fed = 0  # bytes of it fed so far
        self._buffer = b""
        self._position = 0
        self._ended = False
        self.damage: LandedFileError | None = None
        self.bytes_out = 0

    def readable(self) -> bool:
        """Return True: the stream is for reading only."""
        return True

    def close(self) -> None:
        """Close the file below."""
        self._source.close()
        super().close()

    def _fail(self, reason: str, detail: str) -> None:
        self._ended = True
        self.damage = LandedFileError(reason, f"{self._name}: {detail}")

    def _input(self) -> bytes:
        """Return compressed bytes: those left over from the last member, else the next ones of the file."""
        if self._fed:
            data, self._fed = self._fed, b""
            return data
        return self._take()

    def _take(self) -> bytes:
        data = self._source.read(_FEED)
        self._read += len(data)
        return data

    def _begin_unit(self, data: bytes) -> bytes | None:
        """Begin the next member or frame with ``data``; None at the clean end of the file or on trailing rubbish."""
        while len(data) < 4 and (more := self._take()):
            data += more
        if not data:
            self._ended = True
            return None
        matches = data[:2] == _GZIP if self._kind == "gzip" else _is_zstd_frame(data)
        if not matches:
            if self._kind == "gzip" and not data.strip(b"\0"):
                return self._skip_padding()
            self._fail(
                "corrupt_archive",
                f"after {self._units} whole {self._kind} {self._unit}(s) come bytes that are no {self._unit} "
                f"({self.bytes_out:,} bytes were read before)",
            )
            return None
        self._current = self._new()
        self._unit_offset = self._read - len(data)
        self._unit_fed = 0
        return data

    def _skip_padding(self) -> None:
        """Accept zero bytes behind the last gzip member: archives from tapes and block devices are padded."""
        while data := self._source.read(_FEED):
            if data.strip(b"\0"):
                self._fail(
                    "corrupt_archive",
                    f"no gzip member behind the zero padding; {self._units} member(s) were read",
                )
                return
        self._ended = True

    def _more(self) -> bytes:
        """Return the next decompressed bytes; empty at the end or on damage (then ``damage`` is set)."""
        while not self._ended:
            try:
                data = self._input() if self._kind else self._source.read(1 << 20)
            except OSError as error:
                self._fail("unreadable", f"{error.strerror or error} after {self.bytes_out:,} bytes")
                break
            if not self._kind:
                self._ended = not data
                return data
            if self._current is None:
                started = self._begin_unit(data)
                if started is None:
                    break
                data = started
            assert self._current is not None
            if not data:
                self._fail(
                    "truncated_archive",
                    f"the {self._kind} archive ends inside its {self._unit} {self._units + 1}; "
                    f"{self.bytes_out:,} bytes were read before the cut",
                )
                break
            try:
                out = self._current.decompress(data)
            except (zlib.error, zstandard.ZstdError) as error:
                out = self._salvage(data)
                self._fail(
                    "corrupt_archive",
                    f"{self._kind} {self._unit} {self._units + 1} is damaged ({error}); "
                    f"{self.bytes_out + len(out):,} bytes were read before the damage",
                )
            else:
                self._unit_fed += len(data)
                if self._current.eof:
                    self._fed = self._current.unused_data
                    self._current = None
                    self._units += 1
            if out:
                return out
        return b""

    def _salvage(self, data: bytes) -> bytes:
        """Return what the damaged feed still gives: a decompressor drops the whole output of a call that fails.

        The member is unpacked once more up to that feed, and the feed then byte by byte.
        """
        self._source.seek(self._unit_offset)
        again = self._new()
        left = self._unit_fed
        while left:
            part = self._source.read(min(_FEED, left))
            again.decompress(part)
            left -= len(part)
        out = []
        with suppress(zlib.error, zstandard.ZstdError):
            out.extend(again.decompress(data[i : i + 1]) for i in range(len(data)))
        return b"".join(out)

    def _fill(self) -> bool:
        """Put the next decompressed bytes in the buffer; False at the end."""
        data = self._more()
        if self._left is not None and len(data) > self._left:
            data = data[: self._left]
            self._fail("too_large", f"more than {self._limit:,} bytes when decompressed; raise the limit to load it")
        if self._left is not None:
            self._left -= len(data)
        self.bytes_out += len(data)
        self._buffer = data
        self._position = 0
        return bool(data)

    def read1(self, size: int = -1) -> bytes:
        """Return the next bytes, at most ``size``, from one decompression step.

        Raises:
            LandedFileError: The archive is damaged and everything before the damage was returned.
        """
        if size == 0:
            return b""
        if self._position >= len(self._buffer) and not self._fill():
            if self.damage:
                raise self.damage
            return b""
        end = len(self._buffer) if size is None or size < 0 else self._position + size
        data = self._buffer[self._position : end]
        self._position += len(data)
        return data

    def read(self, size: int | None = -1) -> bytes:
        """Return up to ``size`` bytes, all of the rest without one; short only at the end or before a damage.

        Raises:
            LandedFileError: The archive is damaged and everything before the damage was returned.
        """
        wanted = -1 if size is None else size
        parts: list[bytes] = []
        got = 0
        while wanted < 0 or got < wanted:
            try:
                part = self.read1(-1 if wanted < 0 else wanted - got)
            except LandedFileError:
                if not parts:
                    raise
                break
            if not part:
                break
            parts.append(part)
            got += len(part)
        return b"".join(parts)

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill ``buffer``; returns the bytes written. As :meth:`read`, but a plain file's bytes are not copied again."""
        view = memoryview(buffer).cast("B")
        got = 0
        while got < len(view):
            if self._position >= len(self._buffer) and self._kind is None and self._left is None and not self._ended:
                got += self._read_plain_into(view[got:])
                continue
            try:
                part = self.read1(len(view) - got)
            except LandedFileError:
                if not got:
                    raise
                break
            if not part:
                break
            view[got : got + len(part)] = part
            got += len(part)
        return got

    def _read_plain_into(self, view: memoryview) -> int:
        """Read from a plain file straight into ``view``; 0 at the end or on damage."""
        try:
            count = self._source.readinto(view)  # type: ignore[attr-defined]
        except OSError as error:
            self._fail("unreadable", f"{error.strerror or error} after {self.bytes_out:,} bytes")
            return 0
        self._ended = not count
        self.bytes_out += count
        return count

    def readline(self, size: int | None = -1) -> bytes:
        """Return the next line with its line end; the last one may have none. As :meth:`read`."""
        limit = -1 if size is None else size
        parts: list[bytes] = []
        got = 0
        while limit < 0 or got < limit:
            if self._position >= len(self._buffer) and not self._fill():
                if self.damage and not parts:
                    raise self.damage
                break
            found = self._buffer.find(b"\n", self._position)
            end = len(self._buffer) if found < 0 else found + 1
            if limit >= 0:
                end = min(end, self._position + limit - got)
            parts.append(self._buffer[self._position : end])
            got += end - self._position
            self._position = end
            if parts[-1].endswith(b"\n"):
                break
        return b"".join(parts)


def open_landed(path: Path, *, max_bytes: int | None = None) -> LandedStream:
    """Open a landed file for reading its bytes, decompressed.

    The content decides: a gzip or Zstandard archive is unpacked whatever its name, several members or frames in one
    file are read one after the other, and a plain text that is merely called ``.gz`` or ``.zst`` is read as it is.

    Args:
        path: The file.
        max_bytes: Most decompressed bytes to hand out before raising ``too_large``; None for no limit.

    Returns:
        A stream to read forward. If the archive is cut off or damaged, reading gives all bytes before the damage and
        raises on the next call; ``stream.damage`` says so too.

    Raises:
        LandedFileError: The file can't be opened, is empty under an archive's name, or is an archive of another kind.
    """
    name = path.name
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise LandedFileError("not_a_file", f"{name}: is no regular file")
        source = path.open("rb", buffering=1 << 16)
        head = source.peek(8)[:8]
    except OSError as error:
        raise LandedFileError("unreadable", f"{name}: {error.strerror or error}") from error
    called = _SUFFIXES.get(path.suffix.lower())
    kind = "gzip" if head[:2] == _GZIP else "Zstandard" if _is_zstd_frame(head) else None
    if kind is None:
        other = next((other for magic, other in _UNSUPPORTED.items() if head.startswith(magic)), None)
        problem = None
        if other:
            problem = LandedFileError(
                "unsupported_archive", f"{name}: is a {other} archive; deliver it plain, as .gz or .zst"
            )
        elif head[:2] in _UTF16:
            problem = LandedFileError("bad_encoding", f"{name}: is UTF-16 text; deliver UTF-8")
        elif called and not head:
            problem = LandedFileError("truncated_archive", f"{name}: is empty, no {called} archive")
        elif called and b"\0" in source.peek(1024)[:1024]:
            problem = LandedFileError("not_an_archive", f"{name}: is called {called} but is neither that nor text")
        if problem:
            source.close()
            raise problem
    return LandedStream(source, name, kind, max_bytes)
