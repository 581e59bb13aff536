"""Owner: what did I earn last month, why did it change, and what did not work?"""

import streamlit as st

from dashboards import charts, layout, warehouse, words

view = layout.view()
layout.header("My sites")

with st.container(horizontal=True, vertical_alignment="bottom"):
    site_id = layout.site_filter("site")
    months = layout.SPANS[layout.choice("Months", list(layout.SPANS), "months", "12 months")]

against = warehouse.months_against_before(view, site_id)
if against.is_empty():
    layout.nothing_here(
        "There are no charging sessions or CDRs for these sites yet.",
        "Deliver OCPP logs or CDRs for them and run `chargehouse run`; or run `chargehouse demo` to see an example.",
    )
    st.stop()

# The last complete month is the one that can be judged; without one, the newest month so far.
complete = against.filter("is_complete")
shown_month = (complete if not complete.is_empty() else against)["local_month"].max()
shown = against.filter(local_month=shown_month)
is_complete = bool(shown["is_complete"].all())

earned = words.joined([words.money(row["revenue_net"], row["currency"]) for row in shown.iter_rows(named=True)])
when = f"in {words.month(shown_month)}" if is_complete else f"so far in {words.month(shown_month)}"
sentence = f"You earned {earned} before tax {when}."
changes = [
    f"{words.money(abs(row['change_revenue_net']), row['currency'])} "
    f"{'more' if row['change_revenue_net'] >= 0 else 'less'}"
    for row in shown.iter_rows(named=True)
    if row["change_revenue_net"] is not None
]
if changes:
    sentence = f"{sentence[:-1]}, {words.joined(changes)} than the month before."
layout.headline(sentence)

by_site = warehouse.site_months(view, site_id, months)
labels = layout.site_labels()

currencies = [*shown["currency"], *(c for c in by_site["currency"].unique().sort() if c not in set(shown["currency"]))]

# One figure and one picture per currency: amounts in two currencies are never added.
for currency in currencies:
    figures, picture = st.columns([2, 3], vertical_alignment="center")
    for row in shown.filter(currency=currency).iter_rows(named=True):
        has_before = row["change_revenue_net"] is not None
        with figures, st.grid(2, min_column_width=150):
            layout.figure_card(
                "Revenue before tax",
                words.money(row["revenue_net"], currency),
                words.money(row["change_revenue_net"], currency) if has_before else None,
            )
            # In a currency that is not the site's there is money only: the charging stands with the site's own.
            if row["has_charging"]:
                layout.figure_card(
                    "Energy sold",
                    words.energy(row["energy_kwh"]),
                    words.energy(row["change_energy_kwh"]) if has_before else None,
                )
                layout.figure_card(
                    "Charging sessions",
                    words.number(row["session_count"]),
                    words.number(row["change_session_count"]) if has_before else None,
                )
                layout.figure_card(
                    "Port downtime",
                    words.hours(row["downtime_s"]),
                    words.hours(row["change_downtime_s"]) if has_before else None,
                    delta_color="inverse",
                    help="Hours in which a port was faulted, out of service or offline, added up over all ports. "
                    "Nothing is excused here; a service contract may count differently.",
                )
    with picture:
        layout.figure(
            charts.monthly_bars(
                by_site.filter(currency=currency), value="revenue_net", unit=currency, labels=labels, decimals=2
            ),
            key=f"revenue_{currency}",
            alt=f"Revenue before tax by month and site in {currency}",
        )
note = "Hatched months are covered by the data only in part. " if not by_site["is_complete"].all() else ""
st.caption(
    f"Revenue by month. {note}Revenue is what the CDRs bill, before tax and before energy, fees and other costs. A "
    "session counts in the month in which it ended, in the site's time zone."
)

st.subheader(f"{words.month(shown_month)} by site", anchor=False)
layout.table(
    warehouse.sites_against_before(view, site_id, shown_month),
    column_config={
        "site": st.column_config.TextColumn("Site", pinned=True),
        "currency": "Currency",
        "revenue_net": st.column_config.NumberColumn("Revenue", format="%,.2f"),
        "previous_revenue_net": st.column_config.NumberColumn("Month before", format="%,.2f"),
        "change_revenue_net": st.column_config.NumberColumn("Change", format="%+,.2f"),
        "energy_kwh": st.column_config.NumberColumn("Energy (kWh)", format="%,.1f"),
        "session_count": st.column_config.NumberColumn("Sessions", format="%,d"),
        "downtime_h": st.column_config.NumberColumn("Downtime (h)", format="%,.1f"),
    },
    alt="Each site's month beside the month before",
)

left, right = st.columns(2)
with left:
    st.subheader("Energy by month", anchor=False)
    layout.figure(
        charts.monthly_bars(by_site, value="energy_kwh", unit="kWh", labels=labels),
        key="energy",
        alt="Energy by month and site in kWh",
    )
with right:
    st.subheader("Downtime by month", anchor=False)
    layout.figure(
        charts.monthly_bars(by_site, value="downtime_h", unit="hours", labels=labels, decimals=1),
        key="downtime",
        alt="Port downtime by month and site in hours",
    )

st.subheader("Ports, longest down first", anchor=False)
ports = warehouse.ports_ranked(view, site_id, months)
if ports.is_empty():
    st.caption("No status messages from these ports yet, so downtime is not known.")
else:
    layout.table(
        ports,
        column_config={
            "port_id": st.column_config.TextColumn("Port", pinned=True),
            "site": "Site",
            "not_working_h": st.column_config.NumberColumn("Downtime (h)", format="%,.1f"),
            "working_ratio": st.column_config.ProgressColumn(
                "Working, share of known time", format="percent", min_value=0, max_value=1
            ),
            "session_count": st.column_config.NumberColumn("Sessions", format="%,d"),
            "energy_kwh": st.column_config.NumberColumn("Energy (kWh)", format="%,.1f"),
            "revenue_net": st.column_config.NumberColumn("Revenue", format="%,.2f"),
            "currency": "Currency",
        },
        alt="Ports by downtime",
    )
    st.caption(
        "Over the months chosen above. Known time leaves out hours for which no log was delivered. "
        "This is not the uptime of a service contract or a regulator: those excuse some outages."
    )
if words.NO_CURRENCY in currencies:
    st.caption(f"{words.NO_CURRENCY}: no currency is known; name it in `sites.csv`.")
