"""How a peer rounds is inferred from its own CDRs: bills made in decimals, way by way, and found again by the models."""

import random
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any

import duckdb
import pytest

from pipelines.warehouse.compiled import CompiledModels

KINDS = ("ENERGY", "TIME", "PARKING_TIME")
VAT = Decimal("0.21")
CENT, FOUR = Decimal("0.01"), Decimal("0.0001")
Line = tuple[int, str, Decimal]  # period, kind, net


def _half_up(amount: Decimal, unit: Decimal = CENT) -> Decimal:
    return amount.quantize(unit, ROUND_HALF_UP)


def _grouped(lines: list[Line], place: int) -> list[Decimal]:
    sums: dict[Any, Decimal] = {}
    for line in lines:
        sums[line[place]] = sums.get(line[place], Decimal(0)) + line[2]
    return list(sums.values())


def _bill(way: str, lines: list[Line]) -> tuple[Decimal, Decimal]:
    """What a peer that rounds so bills, before and after taxes."""
    exact = sum((net for _, _, net in lines), Decimal(0))
    taxed = exact * (1 + VAT)
    parts = {
        "dimension": _grouped(lines, 1), "period": _grouped(lines, 0), "period_then_vat": _grouped(lines, 0),
        "line": [net for *_, net in lines], "line_then_vat": [net for *_, net in lines],
    }  # fmt: skip
    if way == "four_decimals":
        return _half_up(exact, FOUR), _half_up(taxed, FOUR)
    if way == "cut":
        return exact.quantize(CENT, ROUND_DOWN), taxed.quantize(CENT, ROUND_DOWN)
    if way == "dimension_4":
        return _half_up(sum(_half_up(part, FOUR) for part in _grouped(lines, 1))), _half_up(taxed)
    net = sum((_half_up(part) for part in parts[way]), Decimal(0)) if way in parts else _half_up(exact)
    if way in ("period", "line"):
        return net, sum((_half_up(part * (1 + VAT)) for part in parts[way]), Decimal(0))
    return net, _half_up(taxed) if way == "total" else _half_up(net * (1 + VAT))


WAYS = (
    "total", "total_then_vat", "four_decimals", "dimension_4", "dimension", "period_then_vat", "period", "line_then_vat",
    "line", "cut",
)  # fmt: skip


def _lines(rng: random.Random) -> list[Line]:
    return [
        (period, kind, Decimal(rng.randint(1, 9_999_999)).scaleb(-6))
        for period in range(1, rng.randint(3, 7))
        for kind in rng.sample(KINDS, rng.randint(1, 3))
    ]


def _judge(bills: list[tuple[str, list[Line], Decimal, Decimal | None]], declared: str = "") -> tuple[dict, dict]:
    """The way of rounding and the verdicts per peer, by the models."""
    models = CompiledModels(lambda d, t: f"{d}_{t}", environment={"CHARGEHOUSE_PEER_ROUNDING": declared})
    given = ("stg_ocpi__cdrs", "int_price_cdr", "int_price_cdr_total", "int_price_line")
    with duckdb.connect() as con:
        con.execute("set TimeZone = 'UTC'")
        con.execute("create table bill (n integer, peer varchar, net decimal(18, 6), gross decimal(18, 6))")
        con.execute("create table line (n integer, period integer, kind varchar, net decimal(18, 6))")
        con.executemany(
            "insert into bill values (?, ?, ?, ?)",
            [[n, peer, net, gross] for n, (peer, _, net, gross) in enumerate(bills)],
        )
        con.executemany(
            "insert into line values (?, ?, ?, ?)",
            [[n, *line] for n, (_, lines, *_) in enumerate(bills) for line in lines],
        )
        part = ", ".join(
            f"null::decimal(18, 6) as total_{kind}_cost_net"
            for kind in ("fixed", "energy", "time", "parking", "reservation")
        )
        con.execute(
            f"""
            create table stg_ocpi__cdrs as select md5(n::varchar) as cdr_key, 'C' || n as cdr_id, peer, 'NL' as country_code,
                'X' as party_id, 'EUR' as currency, net as total_cost_net, gross as total_cost_gross, {part},
                false as is_credit, null::varchar as credit_reference_id from bill;
            create table int_price_cdr as select md5(n::varchar) as cdr_key, 'priced' as status, 'cdr' as tariff_source,
                true as is_tariff_valid_at_start, 1 as price_list_number, count(distinct period)::integer as period_count,
                false as has_periods_out_of_order from line group by n;
            create table int_price_line as select n as cdr_number, period as period_rank, kind as price_kind,
                0.21::decimal(9, 6) as vat_ratio, 1::decimal(18, 6) as quantity, 1::decimal(18, 6) as billed_quantity,
                (net::decimal(38, 6) * 1000000000)::bigint as net_nano, (net::decimal(38, 6) * 1210000000)::bigint as gross_nano
                from line;
            create table int_price_cdr_total as select n as cdr_number, md5(n::varchar) as cdr_key, any_value(peer) as peer,
                'EUR' as currency, 'priced' as status, null::varchar as reason, sum(line.net)::decimal(18, 6) as repriced_net,
                round(sum(line.net) * 1.21, 6)::decimal(18, 6) as repriced_gross, sum(line.net)::decimal(18, 6) as lines_net,
                round(sum(line.net) * 1.21, 6)::decimal(18, 6) as lines_gross, 0::decimal(18, 6) as min_price_net,
                0::decimal(18, 6) as max_price_net, false as has_unverifiable_restriction,
                false as has_period_spanning_price_change, 0::decimal(18, 6) as reservation_net, 0::decimal(18, 6) as flat_net,
                coalesce(sum(line.net) filter (kind = 'ENERGY'), 0)::decimal(18, 6) as energy_net,
                coalesce(sum(line.net) filter (kind = 'TIME'), 0)::decimal(18, 6) as time_net,
                coalesce(sum(line.net) filter (kind = 'PARKING_TIME'), 0)::decimal(18, 6) as parking_net
                from line inner join bill using (n) group by n
            """
        )
        models.build(con, ["int_audit_verdict"], given=given)
        ways = con.sql("select peer, rounding_id, rounding_source from int_audit_rounding").fetchall()
        verdicts = con.sql(
            "select peer, audit_verdict, count(*) from int_audit_verdict group by all order by all"
        ).fetchall()
    return {peer: (way, source) for peer, way, source in ways}, {(peer, verdict): n for peer, verdict, n in verdicts}


@pytest.fixture(scope="module")
def judged() -> tuple[dict, dict]:
    rng = random.Random(20_251_122)
    bills = [(way, lines, *_bill(way, lines)) for way in WAYS for lines in (_lines(rng) for _ in range(60))]
    return _judge(bills)


@pytest.mark.parametrize("way", WAYS)
def test_a_peer_is_found_to_round_as_it_does_and_all_its_bills_match(judged: tuple[dict, dict], way: str):
    ways, verdicts = judged
    # Dimensions at four decimals add up to what rounds to the same cents, nearly always: then the simpler way serves.
    assert ways[way] == (way if way != "dimension_4" or ways[way][0] == way else "total", "inferred")
    assert verdicts[way, "match"] == 60


def test_the_one_real_bill_known_is_explained_by_periods_rounded_before_tax():
    """1.60 + 0.23 = 1.83 before and 2.21 after 21 % where the exact sum rounds to 1.84 and 2.22."""
    lines = [(1, "ENERGY", Decimal("1.604")), (2, "ENERGY", Decimal("0.234"))]
    ways, verdicts = _judge([("cpo", lines, Decimal("1.83"), Decimal("2.21"))])
    assert ways == {"cpo": ("period_then_vat", "inferred")}
    assert verdicts == {("cpo", "match"): 1}


def test_a_declared_way_beats_what_the_bills_suggest_and_the_rest_is_rounding():
    lines = [(1, "ENERGY", Decimal("1.604")), (2, "ENERGY", Decimal("0.234"))]
    bills = [("cpo", lines, Decimal("1.83"), Decimal("2.21"))]
    ways, verdicts = _judge(bills, declared="CPO=total")
    assert ways == {"cpo": ("total", "declared")}
    assert verdicts == {("cpo", "rounding"): 1}


@pytest.mark.parametrize(
    ("net", "verdict"), [("1.86", "rounding"), ("1.87", "mismatch"), ("1.82", "rounding"), ("1.81", "mismatch")]
)
def test_rounding_explains_a_cent_for_each_period_and_no_more(net: str, verdict: str):
    # Two periods of exactly 1.84 together: 0.02 either way.
    lines = [(1, "ENERGY", Decimal("1.60")), (2, "ENERGY", Decimal("0.24"))]
    _, verdicts = _judge([("cpo", lines, Decimal(net), None)], declared="cpo=total")
    assert verdicts == {("cpo", verdict): 1}
