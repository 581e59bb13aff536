"""Ways of rounding declared in peers.toml."""

from pathlib import Path

import pytest

from pipelines.ocpi.pull.peers import read_peers
from pipelines.ocpi.rounding import RoundingError, declared_roundings
from pipelines.settings import dbt_folder

POLICIES = dbt_folder() / "seeds" / "rounding_policies.csv"


def test_declared_ways_are_handed_over_by_peer(tmp_path: Path):
    file = tmp_path / "peers.toml"
    file.write_text('[rounding]\nharbour = "period_then_vat"\n"big hub" = "total"\n')
    assert declared_roundings(file, POLICIES) == "big hub=total;harbour=period_then_vat"
    assert read_peers(file) == []


def test_no_file_and_no_table_declare_nothing(tmp_path: Path):
    assert declared_roundings(tmp_path / "peers.toml", POLICIES) == ""
    (tmp_path / "peers.toml").write_text("")
    assert declared_roundings(tmp_path / "peers.toml", POLICIES) == ""


@pytest.mark.parametrize("text", ['[rounding]\nharbour = "upwards"\n', "[rounding\n", '[rounding]\n"a=b" = "total"\n'])
def test_what_is_no_way_of_rounding_is_refused_with_the_file(tmp_path: Path, text: str):
    file = tmp_path / "peers.toml"
    file.write_text(text)
    with pytest.raises(RoundingError, match=r"peers\.toml"):
        declared_roundings(file, POLICIES)
