"""Logs that may be shared: who and what they name is masked, everything else stays byte for byte.

Masked are driver tokens, contract and card ids, serial numbers, ICCID and IMSI, passwords and keys, e-mail, IP and MAC
addresses. A mask has the length of what it hides, digits for digits and letters for letters, so that lines keep their
shape, wrapped frames their folds, and a check of lengths its result; times and meter values are not touched. One value
has one mask in a run. Masks come from a keyed hash (HMAC-SHA-256) whose key is thrown away: nobody can try values out.

A value found under one of the keys is masked wherever else it stands as a word: a serial number is often part of a
charge point's id, of a topic or of a file's text. The file is read twice, in blocks; what grows is the table of masks.
"""

import gzip
import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import zstandard

from pipelines.files import LandedStream, open_landed
from pipelines.home import replacing
from pipelines.ocpp import typed
from pipelines.ocpp.formats import alfen, normal_name
from pipelines.ocpp.overrides import Overrides, read_overrides
from pipelines.ocpp.recognise import csv_dialect, identify, read_sample

_BLOCK = 4 << 20
_KEYS = (
    "idTag|parentIdTag|idToken|additionalIdToken|groupIdToken|eMAID|emaid|contractId|masterPassGroupId|customerIdentifier"
    "|tagID|tagId|ocppIdTag|cardId|cardNumber|rfid|uid|vin|vehicleId|macAddress"
    "|chargePointSerialNumber|chargeBoxSerialNumber|meterSerialNumber|serialNumber|iccid|imsi|email|userName|password"
    # names as Python's libraries and databases write them
    "|id_tag|parent_id_tag|id_token|group_id_token|charge_point_serial_number|charge_box_serial_number"
    "|meter_serial_number|serial_number|contract_id|user_name"
)
_SECRET_COLUMNS = frozenset(normal_name(key) for key in _KEYS.split("|")) | {"starttagid", "stoptagid"}
# "key":"value" with quotes as JSON has them, escaped once or twice, or doubled by CSV
_PAIR = re.compile(
    rb"(?P<q>\\{0,7}\"{1,2})(?:"
    + _KEYS.encode()
    + rb")(?P=q)\s*:\s*(?:(?P=q)(?P<text>(?:(?!(?P=q))(?:\\.|[^\\]))+)|(?P<number>\d+))",
    re.DOTALL,
)
# the configuration keys that hold a password, and the value beside them
_PASSWORD = re.compile(
    rb"(?P<q>\\{0,7}\"{1,2})(?:AuthorizationKey|BasicAuthPassword|[A-Za-z]*Password)(?P=q)(?:(?!\]).){0,200}?"
    rb"(?P=q)(?:value|attributeValue)(?P=q)\s*:\s*(?P=q)(?P<text>(?:(?!(?P=q))(?:\\.|[^\\]))+)",
    re.DOTALL,
)
_LOGIN = re.compile(rb"://(?P<text>[^/@\s\"\\:]+:[^/@\s\"\\]+)@")
_EMAIL = re.compile(rb"(?<![A-Za-z0-9._%+/:-])(?P<text>[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,})")
_IPV4 = re.compile(rb"(?<![\d.])(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?:25[0-5]|2[0-4]\d|1?\d?\d)){3}(?![\d]|\.\d)")
_IPV6 = re.compile(
    rb"(?<![0-9A-Fa-f:])(?:(?:[0-9A-Fa-f]{1,4}:){7}[0-9A-Fa-f]{1,4}"
    rb"|(?:[0-9A-Fa-f]{1,4}:){1,6}(?::[0-9A-Fa-f]{1,4}){1,6})(?![0-9A-Fa-f:])"
)
_MAC = re.compile(rb"(?<![0-9A-Fa-f:-])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:-])")
_NOBODY = (b"0.0.0.0", b"127.0.0.1", b"255.255.255.255")
_BEFORE_VERSION = re.compile(rb"ersion[^,{}\n]{0,40}$")  # firmware 4.0.4.22 is no address
_WORD = re.compile(rb"[A-Za-z0-9]+(?:[-_*.:][A-Za-z0-9]+)*")
_PLAIN_WORD = re.compile(rb"[A-Za-z0-9]+")
_ESCAPE = re.compile(rb"\\+u[0-9a-fA-F]{4}|\\+.|[A-Za-z0-9]", re.DOTALL)
_SHORTEST_WORD = 4  # shorter values are masked under their key only: elsewhere they are anything
_SHORTEST_NUMBER = 8  # and so are shorter numbers, which may be meter values
_VOCABULARY = frozenset(
    word.upper()
    for text in (
        typed.STATION_ACTIONS,
        typed.CSMS_ACTIONS,
        "Available Preparing Charging SuspendedEV SuspendedEVSE Finishing Reserved Unavailable Faulted Occupied NoError "
        "Accepted Rejected Blocked Invalid Expired Unknown Central Local Remote Other Started Updated Ended Outlet Raw "
        "Authorized ISO14443 ISO15693 KeyCode NoAuthorization None null true false",
    )
    for word in re.findall(r"\w+", text)
)


class Masks:
    """What stands for each value of a run."""

    def __init__(self, key: bytes) -> None:
        """Begin without any.

        Args:
            key: HMAC key; whoever has it can tell whether a mask stands for a value they guess.
        """
        self._key = key
        self._of: dict[bytes, bytes] = {}
        self._given: set[bytes] = set()
        self.words: set[bytes] = set()  # values, in upper case, that are masked wherever they stand

    def _stream(self, value: bytes, attempt: int) -> Iterator[int]:
        counter = 0
        while True:
            block = hmac.new(self._key, b"%d|%d|%s" % (attempt, counter, value), hashlib.sha256).digest()
            yield from block
            counter += 1

    def _draw(self, value: bytes, attempt: int, is_number: bool) -> bytes:
        stream = self._stream(value.upper(), attempt)

        def other(match: re.Match[bytes]) -> bytes:
            piece = match[0]
            if len(piece) > 1:  # an escape of JSON stays one
                return piece
            if piece.isdigit():
                is_first = is_number and match.start() == 0 and len(value) > 1
                return b"%d" % (1 + next(stream) % 9 if is_first else next(stream) % 10)
            letter = ord("A") + next(stream) % 26
            return bytes([letter]) if piece.isupper() else bytes([letter]).lower()

        return _ESCAPE.sub(other, value)

    def of(self, value: bytes, *, is_number: bool = False) -> bytes:
        """Return the mask of a value: as long, of the same kinds of characters, and of no other value.

        Args:
            value: The value as it stands in the file.
            is_number: It is a bare number of JSON, which does not begin with 0.
        """
        mask = self._of.get(value)
        if mask is None:
            for attempt in range(100):  # there may be no other value of one digit
                mask = self._draw(value, attempt, is_number)
                if mask.upper() != value.upper() and mask not in self._given:
                    break
            assert mask is not None
            self._given.add(mask)
            self._of[value] = mask
        return mask

    def learn(self, value: bytes) -> None:
        """Note a value that was found under a key: it is masked as a word wherever it stands."""
        if b"\\" in value or len(value) < (_SHORTEST_NUMBER if value.isdigit() else _SHORTEST_WORD):
            return
        if value.decode("ascii", "replace").upper() not in _VOCABULARY:
            self.words.add(value.upper())


def _pairs(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """Yield start, end and whether it is a bare number, of the values under secret keys."""
    for match in _PAIR.finditer(data):
        group = "text" if match["text"] is not None else "number"
        yield *match.span(group), group == "number"
    for pattern in (_PASSWORD, _LOGIN):
        for match in pattern.finditer(data):
            yield *match.span("text"), False


def _learn(data: bytes, masks: Masks) -> None:
    for start, end, _ in _pairs(data):
        masks.learn(data[start:end])


def _mask(data: bytes, masks: Masks) -> bytes:
    """Return a stretch of a log with everything masked; the length stays."""
    out = bytearray(data)
    for start, end, is_number in _pairs(data):
        out[start:end] = masks.of(data[start:end], is_number=is_number)
    # addresses next: what is masked already is masked once more where it looks like one, in the same way each time
    text = _EMAIL.sub(lambda match: masks.of(match[0]), bytes(out))
    text = _IPV4.sub(lambda match: _address(text, match, masks), text)
    text = _IPV6.sub(lambda match: _hexadecimal(match[0], masks), text)
    text = _MAC.sub(lambda match: _hexadecimal(match[0], masks), text)
    return _mask_words(text, masks) if masks.words else text


def _mask_words(text: bytes, masks: Masks) -> bytes:
    words = masks.words

    def plain(match: re.Match[bytes]) -> bytes:
        return masks.of(match[0]) if match[0].upper() in words else match[0]

    def whole(match: re.Match[bytes]) -> bytes:
        word = match[0]
        if word.upper() in words:
            return masks.of(word)
        return _PLAIN_WORD.sub(plain, word) if len(word) >= _SHORTEST_WORD else word

    return _WORD.sub(whole, text)


def _address(data: bytes, match: re.Match[bytes], masks: Masks) -> bytes:
    address = match[0]
    if address in _NOBODY or _BEFORE_VERSION.search(data[max(0, match.start() - 60) : match.start()]):
        return address
    drawn = masks.of(address)
    # each part as long as it was, and at most 255
    parts = [
        b"%d" % (100 + int(mask) % 156) if len(part) == 3 else b"%d" % (10 + int(mask) % 90) if len(part) == 2 else mask
        for part, mask in zip(address.split(b"."), drawn.split(b"."), strict=True)
    ]
    return b".".join(parts)


def _hexadecimal(address: bytes, masks: Masks) -> bytes:
    digits = hmac.new(b"", masks.of(address), hashlib.sha256).hexdigest().encode() * 2
    drawn = iter(digits)
    return re.sub(rb"[0-9A-Fa-f]", lambda match: bytes([next(drawn)]), address)


def _blocks(stream: LandedStream) -> Iterator[bytes]:
    """Yield a file in stretches that end with a line, in a document of one line with an object."""
    rest = b""
    while block := stream.read(_BLOCK):
        data = rest + block
        cut = data.rfind(b"\n") + 1 or data.rfind(b"}") + 1
        if not cut:
            rest = data
            continue
        yield data[:cut]
        rest = data[cut:]
    if rest:
        yield rest


_ALFEN_LINE = re.compile(rb"^(\d{4}-\d{2}-\d{2}T[0-9:.]+Z:COM:ocpp\w*\.c:\d+):((?:-> |<- )?)([^\r\n]*)", re.MULTILINE)


def _unfolded(data: bytes, work: Callable[[bytes], bytes]) -> bytes:
    """Apply ``work``, which keeps lengths, to the frames of a log whose lines are pieces of frames."""
    pieces: dict[bytes, list[re.Match[bytes]]] = {}
    for match in _ALFEN_LINE.finditer(data):
        pieces.setdefault(match[1], []).append(match)
    out = bytearray(data)
    for group in pieces.values():
        frames: list[list[re.Match[bytes]]] = []
        ordered = group if group[0][2] else group[::-1]  # newest first: a beginning stands behind its continuations
        for match in ordered:
            if match[2] or not frames:
                frames.append([])
            frames[-1].append(match)
        for frame in frames:
            text = work(b"".join(match[3] for match in frame))
            at = 0
            for match in frame:
                size = len(match[3])
                out[match.start(3) : match.end(3)] = text[at : at + size]
                at += size
    at = 0
    for match in _ALFEN_LINE.finditer(data):
        out[at : match.start(3)] = work(data[at : match.start(3)])
        at = match.end(3)
    out[at:] = work(data[at:])
    return bytes(out)


def _in_cells(data: bytes, columns: list[int], delimiter: str, work: Callable[[bytes], bytes]) -> bytes:
    """Apply ``work``, which keeps lengths, to some cells of the records of a CSV."""
    mark = re.escape(delimiter.encode())
    cell = re.compile(
        rb"(?:^|" + mark + rb')(?:"((?:[^"]|"")*)"|([^"' + mark + rb"\r\n][^" + mark + rb"\r\n]*|))", re.MULTILINE
    )
    out = bytearray(data)
    number, line_end = -1, -1
    for match in cell.finditer(data):
        is_first = match.start() == 0 or (
            data[match.start() - 1 : match.start()] == b"\n" and match[0][:1] != delimiter.encode()
        )
        number = 0 if is_first and match.start() > line_end else number + 1
        line_end = max(line_end, match.end() - 1)
        if number in columns:
            group = 1 if match[1] is not None else 2
            value = match[group]
            if value and value not in (b"NULL", b"\\N"):
                out[match.start(group) : match.end(group)] = work(value)
    return bytes(out)


def _packer(path: Path, target: Path) -> AbstractContextManager[BinaryIO]:
    """Open a file for writing, packed as ``path`` is."""
    with path.open("rb") as source:
        head = source.read(4)
    if head[:2] == b"\x1f\x8b":
        return gzip.open(target, "wb")  # type: ignore[return-value]
    if head == b"\x28\xb5\x2f\xfd":
        return zstandard.open(target, "wb")  # type: ignore[return-value]
    return target.open("wb")


def shared_name(path: Path) -> Path:
    """Return the name that an anonymised copy gets beside its original: ``csms.jsonl.gz`` -> ``csms.anonymized.jsonl.gz``."""
    stem, _, suffixes = path.name.partition(".") if not path.name.startswith(".") else (path.name, "", "")
    return path.with_name(f"{stem}.anonymized" + (f".{suffixes}" if suffixes else ""))


def anonymize(path: Path, out: Path, *, key: bytes | None = None, overrides: Overrides | None = None) -> int:
    """Write an anonymised copy of a log.

    Args:
        path: A log in any format that chargehouse reads, plain, gzip or Zstandard; a ``format.toml`` beside it counts.
        out: The copy; packed as the original is.
        key: Key of the masks; the same key gives the same masks in several files. A random one without.
        overrides: What ``format.toml`` says; read from the file's folder if not given.

    Returns:
        The number of distinct values that were masked under their keys and are looked for everywhere.

    Raises:
        ValueError: The file is in no format that chargehouse knows, so nothing could be promised of the copy.
        pipelines.files.LandedFileError: The file can't be read to its end; no copy is written.
    """
    sample = read_sample(path)
    overrides = overrides or read_overrides(path, path.parent)
    recognised = identify(path, sample, overrides, path.name, "UTC")
    if sample.error:
        raise sample.error
    if recognised is None:
        message = f"{path.name}: no log format that chargehouse knows; nothing was written"
        raise ValueError(message)
    masks = Masks(key or secrets.token_bytes(32))
    is_folded = recognised.log_format.name == alfen.FORMAT.name
    dialect = csv_dialect(sample.lines) if recognised.log_format.container == "table" else None
    columns = [i for i, name in enumerate(dialect.header) if normal_name(name) in _SECRET_COLUMNS] if dialect else []

    def learn(data: bytes) -> bytes:
        _learn(data, masks)
        return data

    def learn_value(value: bytes) -> bytes:
        masks.learn(value)
        return value

    for number, block in enumerate(_reread(path)):
        _unfolded(block, learn) if is_folded else learn(block)
        if dialect and columns:
            _in_cells(_behind_header(block) if number == 0 else block, columns, dialect.delimiter, learn_value)
    with replacing(out) as temporary, _packer(path, temporary) as target:
        for number, block in enumerate(_reread(path)):
            head = block[: len(block) - len(_behind_header(block))] if dialect and number == 0 else b""
            body = block[len(head) :]
            if dialect and columns:
                body = _in_cells(body, columns, dialect.delimiter, masks.of)
            masked = _unfolded(body, lambda data: _mask(data, masks)) if is_folded else _mask(body, masks)
            target.write(head + masked)
    return len(masks.words)


def _behind_header(block: bytes) -> bytes:
    return block[block.find(b"\n") + 1 :]


def _reread(path: Path) -> Iterator[bytes]:
    with open_landed(path) as stream:
        yield from _blocks(stream)
