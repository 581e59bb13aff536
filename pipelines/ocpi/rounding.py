"""Ways of rounding that ``peers.toml`` declares for peers, for those whose habit need not be inferred from their CDRs."""

import csv
import re
import tomllib
from pathlib import Path

_PEER = re.compile(r"[^;=]+")


class RoundingError(ValueError):
    """``[rounding]`` in ``peers.toml`` is wrong; the message says how."""


def declared_roundings(peers_file: Path, policies_file: Path) -> str:
    """Return the table ``[rounding]`` of ``peers.toml`` as the models take it: ``peer=rounding_id`` joined by semicolons.

    Args:
        peers_file: ``HOME/peers.toml``; it may be absent.
        policies_file: The seed of the ways of rounding.

    Raises:
        RoundingError: The file is no TOML, or a peer has a way of rounding that does not exist.
    """
    try:
        declared = tomllib.loads(peers_file.read_text(encoding="utf-8-sig")).get("rounding", {})
    except FileNotFoundError:
        return ""
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RoundingError(f"{peers_file} is no TOML: {error}") from None
    with policies_file.open(encoding="utf-8") as file:
        known = [row["rounding_id"] for row in csv.DictReader(file)]
    for peer, rounding in declared.items():
        if rounding not in known or not _PEER.fullmatch(peer):
            raise RoundingError(
                f"{peers_file}: [rounding] {peer} = {rounding!r} is no way of rounding; there are {', '.join(known)}"
            )
    return ";".join(f"{peer}={rounding}" for peer, rounding in sorted(declared.items()))
