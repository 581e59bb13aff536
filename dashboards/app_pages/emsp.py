"""EMSP: which partners billed what, does it match the tariff, and how late did it come?"""

from datetime import date

import polars as pl
import streamlit as st

from dashboards import charts, layout, warehouse, words

ALL_MONTHS = "All months"
ALL_PARTNERS = "All partners"
PARTNERS_SHOWN = 10
CHECKED = {
    "mismatch_count": st.column_config.NumberColumn("Mismatches", format="%,d"),
    "mismatch_net": st.column_config.NumberColumn("Billed above tariff", format="%+,.2f"),
    "not_auditable_count": st.column_config.NumberColumn("Not checkable", format="%,d"),
}
VERDICTS = {
    "match": "matches",
    "rounding": "rounding only",
    "mismatch": "does not match",
    "not_auditable": "cannot be checked",
}

view = layout.view()
layout.header("Charge detail records")

months = warehouse.cdr_months(view)
if not months:
    layout.nothing_here(
        "There are no CDRs yet.",
        "Put OCPI CDRs into `landing/ocpi/cdrs` (or list your peers in `peers.toml` and run `chargehouse pull`), then "
        "run `chargehouse run`; or run `chargehouse demo`.",
    )
    st.stop()

by_label: dict[str, date] = {words.month(month): month for month in months}
chosen = st.selectbox("Month", [*by_label, ALL_MONTHS], key="month", bind="query-params", width=200)
month = by_label.get(chosen)

totals = warehouse.cdr_totals(view, month)
arrival = warehouse.cdr_arrival(view, month)
partners = warehouse.partners(view, month)
when = f"in {words.month(month)}" if month else "in all months"
amounts = words.joined([words.money(row["billed_net"], row["currency"]) for row in totals.iter_rows(named=True)])
sentence = (
    f"{words.count(arrival['partners'], 'partner')} billed {words.count(arrival['cdr_count'], 'CDR')} {when}: "
    f"{amounts} before tax."
)
if arrival["mismatch_count"]:
    verb = "does" if arrival["mismatch_count"] == 1 else "do"
    sentence += f" {words.count(arrival['mismatch_count'], 'CDR')} {verb} not match the tariff."
layout.headline(sentence)

# One figure and one picture per currency: amounts in two currencies are never added.
for row in totals.iter_rows(named=True):
    currency = row["currency"]
    price = words.NO_VALUE if row["net_per_kwh"] is None else f"{row['net_per_kwh']:,.4f} {currency}"
    figures, picture = st.columns([2, 3], vertical_alignment="center")
    with figures, st.grid(2, min_column_width=150):
        layout.figure_card("Billed before tax", words.money(row["billed_net"], currency))
        layout.figure_card("Energy", words.energy(row["energy_kwh"]))
        layout.figure_card(
            "Average per kWh",
            price,
            help="Amount before tax of all CDRs over their energy, time and flat fees included.",
        )
        if row["checked_count"]:
            layout.figure_card(
                "Billed above tariff",
                words.money(row["mismatch_net"] if row["mismatch_count"] else 0, currency),
                help=f"Billed minus re-priced, over the {row['mismatch_count']:,} CDRs that do not match their tariff. "
                f"{row['not_auditable_count']:,} more could not be checked.",
            )
        else:
            layout.figure_card("CDRs", words.number(row["cdr_count"]))
    with picture:
        layout.figure(
            charts.partner_bars(partners.filter(currency=currency).head(PARTNERS_SHOWN), currency),
            key=f"partners_{currency}",
            alt=f"Amount billed by partner in {currency}",
        )

if words.NO_CURRENCY in totals["currency"]:
    st.caption(f"{words.NO_CURRENCY}: the CDR names no currency.")
st.subheader("Partners", anchor=False)
layout.table(
    partners.select(
        "partner",
        "currency",
        "cdr_count",
        "credit_count",
        "energy_kwh",
        "billed_net",
        "billed_gross",
        "net_per_kwh",
        "mismatch_count",
        "mismatch_net",
        "not_auditable_count",
        pl.Series("median_latency", [words.duration(s) for s in partners["median_latency_s"]]),
        pl.Series("p95_latency", [words.duration(s) for s in partners["p95_latency_s"]]),
    ),
    column_config={
        "partner": st.column_config.TextColumn("Partner", pinned=True),
        "currency": "Currency",
        "cdr_count": st.column_config.NumberColumn("CDRs", format="%,d"),
        "credit_count": st.column_config.NumberColumn("Credits", format="%,d"),
        "energy_kwh": st.column_config.NumberColumn("Energy (kWh)", format="%,.1f"),
        "billed_net": st.column_config.NumberColumn("Before tax", format="%,.2f"),
        "billed_gross": st.column_config.NumberColumn("With tax", format="%,.2f"),
        "net_per_kwh": st.column_config.NumberColumn("Per kWh", format="%,.4f"),
        **(CHECKED if arrival["checked_count"] else dict.fromkeys(CHECKED)),
        "median_latency": st.column_config.TextColumn("Delay, half within"),
        "p95_latency": st.column_config.TextColumn("Delay, 95 % within"),
    },
    alt="CDRs by partner and currency",
)
st.caption(
    "Amounts have credits subtracted; CDRs and energy leave out credits and what they take back. "
    "Payouts to drivers for home charging are not shown."
)

st.subheader("How late CDRs come", anchor=False)
histogram = warehouse.latency_histogram(view, month)
if histogram.is_empty():
    st.caption("These CDRs do not say when they were last updated.")
else:
    st.markdown(
        f"Half came within **{words.duration(arrival['median_latency_s'])}** of the end of the session, "
        f"95 % within **{words.duration(arrival['p95_latency_s'])}**."
    )
    layout.figure(charts.latency_bars(histogram), key="latency", alt="CDRs by delay after the session")
    st.caption(
        "From the end of the session to the CDR's own last_updated: the nearest thing to a delivery time that OCPI "
        "has. Credits are left out."
    )

st.subheader("CDRs", anchor=False)
names = partners["partner"].unique(maintain_order=True).to_list()
partner = (
    st.selectbox("Partner", [ALL_PARTNERS, *names], key="partner", bind="query-params", width=260)
    if len(names) > 1
    else ALL_PARTNERS
)
listed = warehouse.cdrs(view, month, partner if partner in names else None)
selection = layout.table(
    listed.with_columns(
        audit_verdict=listed["audit_verdict"].replace(VERDICTS),
        duration=pl.Series([words.duration(s) for s in listed["duration_s"]], dtype=pl.String),
    ),
    key="cdr_table",
    on_select="rerun",
    selection_mode="single-row",
    column_order=(
        "cdr_id",
        "partner",
        "site",
        "ended_local",
        "duration",
        "energy_kwh",
        "billed_net",
        "currency",
        "audit_verdict",
        "audit_reason",
        "repriced_net",
        "is_credit",
        "time_zone",
    ),
    column_config={
        "cdr_id": st.column_config.TextColumn("CDR", pinned=True),
        "partner": "Partner",
        "site": "Site",
        "ended_local": st.column_config.DatetimeColumn("Ended (local)", format="D MMM YYYY HH:mm"),
        "duration": "Duration",
        "energy_kwh": st.column_config.NumberColumn("Energy (kWh)", format="%,.3f"),
        "billed_net": st.column_config.NumberColumn("Before tax", format="%,.4f"),
        "currency": "Currency",
        "audit_verdict": "Tariff check" if arrival["checked_count"] else None,
        "audit_reason": "Reason" if arrival["checked_count"] else None,
        "repriced_net": st.column_config.NumberColumn("Re-priced", format="%,.4f")
        if arrival["checked_count"]
        else None,
        "is_credit": st.column_config.CheckboxColumn("Credit"),
        "time_zone": "Zone",
    },
    alt="CDRs, mismatches first",
)
if listed.height == warehouse.LISTED_CDRS:
    st.caption(
        f"The first {warehouse.LISTED_CDRS:,}, those that do not match the tariff before the others. "
        "Narrow by month or partner for the rest."
    )

picked = [row for row in selection["selection"]["rows"] if row < listed.height]
if not picked:
    st.caption("Select a row to see how its price comes about.")
else:
    cdr = listed.row(picked[0], named=True)
    st.markdown(
        f"**CDR {cdr['cdr_id']}**, {cdr['partner']}: billed {words.money(cdr['billed_net'], cdr['currency'])}"
        + (
            ""
            if cdr["repriced_net"] is None
            else f", under its tariff {words.money(cdr['repriced_net'], cdr['currency'])}"
        )
        + " before tax."
    )
    lines = warehouse.price_lines(view, cdr["cdr_key"])
    if lines.is_empty():
        st.caption("There are no price lines for this CDR: no tariff in force is known for it.")
    else:
        layout.table(
            lines,
            column_config={
                "period_number": "Period",
                "dimension": "Dimension",
                "tariff_id": "Tariff",
                "element_number": "Element",
                "quantity": st.column_config.NumberColumn("Quantity", format="%,.4f"),
                "billed_quantity": st.column_config.NumberColumn("Billed quantity", format="%,.4f"),
                "unit": "Unit",
                "unit_price": st.column_config.NumberColumn("Unit price", format="%,.4f"),
                "amount_net": st.column_config.NumberColumn("Before tax", format="%,.4f"),
                "vat_ratio": st.column_config.NumberColumn("VAT", format="percent"),
            },
            alt="Price lines of the CDR",
        )
