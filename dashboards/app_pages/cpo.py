"""Operator: what is broken now, since when, and how well did each port work?"""

import polars as pl
import streamlit as st

from dashboards import charts, layout, warehouse, words

SITES_SHOWN = 12
PORTS_SHOWN = 20

view = layout.view()
layout.header("Operations")

with st.container(horizontal=True, vertical_alignment="bottom"):
    site_id = layout.site_filter("site")
    period = layout.choice("Period", list(layout.PERIODS), "period", "30 days")
days = layout.PERIODS[period]

now = warehouse.network_now(view, site_id)
if not now["ports"]:
    layout.nothing_here(
        f"No status has come from any port yet ({words.count(now['never_heard'], 'port')} known).",
        "Put OCPP logs into `landing/ocpp` and run `chargehouse run`; or run `chargehouse demo` to see an example.",
    )
    st.stop()

broken = warehouse.broken_now(view, site_id)
ports = words.count(now["ports"], "port")
if now["broken"]:
    worst = broken.row(0, named=True)
    where = f"{worst['port_id']} at {worst['site']}"
    how_long = f"for {words.duration(worst['broken_s'])}"
    if now["broken"] == 1:
        sentence = f"1 of {ports} is not working: {where}, {words.STATE_WORDS[worst['state']].lower()} {how_long}."
    else:
        kinds = {"faulted": "faulted", "unavailable": "out of service", "offline": "offline"}
        counted = words.joined([f"{now[state]:,} {word}" for state, word in kinds.items() if now[state]])
        sentence = f"{now['broken']:,} of {ports} are not working: {counted}. Longest: {where}, {how_long}."
elif now["working"]:
    sentence = (
        f"{now['working']:,} of {ports} {'works' if now['working'] == 1 else 'work'}, none is known to be broken."
    )
else:
    sentence = f"The state of {ports} is unknown: the log has a hole at its end."
layout.headline(sentence)

labels = layout.site_labels()
left, right = st.columns([3, 2])
with left:
    layout.figure(
        charts.states_now(warehouse.states_by_site(view, site_id, SITES_SHOWN), labels),
        key="states_now",
        alt="Ports by state and site now",
    )
with right, st.grid(2, min_column_width=130):
    st.metric("Working", words.number(now["working"]), border=True)
    st.metric("Not working", words.number(now["broken"]), border=True)
    st.metric("Unknown", words.number(now["unknown"]), border=True, help="The log has a hole at its end: nobody knows.")
    st.metric("Ports", words.number(now["ports"]), border=True)
if now["never_heard"]:
    st.caption(f"Not counted: {words.count(now['never_heard'], 'port')} from which no status ever came.")
shown_sites = warehouse.sites(view).height
if site_id is None and shown_sites > SITES_SHOWN:
    st.caption(f"The {SITES_SHOWN} of {shown_sites:,} sites with most ports not working.")

if not broken.is_empty():
    st.subheader("Not working now, longest first", anchor=False)
    layout.table(
        broken.with_columns(
            state=broken["state"].replace(words.STATE_WORDS),
            broken_for=pl.Series([words.duration(s) for s in broken["broken_s"]]),
        ).select(
            "port_id",
            "site",
            "state",
            "broken_for",
            "broken_since_local",
            "time_zone",
            "error_code",
            "max_power_kw",
            "vendor",
            "model",
        ),
        column_config={
            "port_id": st.column_config.TextColumn("Port", pinned=True),
            "site": "Site",
            "state": "State",
            "broken_for": "For",
            "broken_since_local": st.column_config.DatetimeColumn("Since (local)", format="D MMM YYYY HH:mm"),
            "time_zone": "Zone",
            "error_code": "Error code",
            "max_power_kw": st.column_config.NumberColumn("Power (kW)", format="%,.0f"),
            "vendor": "Vendor",
            "model": "Model",
        },
        alt="Ports that do not work now",
    )
    st.caption(
        "“For” runs from the last moment the port worked (or its state was unknown) to the newest record, through "
        "changes between faulted, out of service and offline."
    )

st.subheader(f"How each port worked: {'all data' if days is None else 'last ' + period}", anchor=False)
table = warehouse.availability(view, site_id, days)
if table.is_empty():
    st.caption("No port states yet: deliver OCPP logs and run `chargehouse run`.")
else:
    total = warehouse.availability_total(view, site_id, days)
    known_s = total["period_s"] - total["unknown_s"]
    span = f"{words.day(total['first_date'])} to {words.day(total['last_date'])}"
    st.markdown(
        f"**{words.percent(total['working_ratio'])}** of known time working, {span} "
        f"({words.hours(known_s)} known, {words.hours(total['unknown_s'])} unknown)."
    )
    layout.figure(
        charts.availability_bars(table.head(PORTS_SHOWN)), key="availability", alt="Share of time per port and state"
    )
    if table.height > PORTS_SHOWN:
        st.caption(f"The {PORTS_SHOWN} worst of {words.count(table.height, 'port')}; all are in the table.")
    with st.expander("All ports as a table"):
        layout.table(
            table.select(
                "port_id", "site", "working_ratio", "faulted_s", "unavailable_s", "offline_s", "unknown_s", "period_s"
            ),
            column_config={
                "port_id": st.column_config.TextColumn("Port", pinned=True),
                "site": "Site",
                "working_ratio": st.column_config.NumberColumn("Working, share of known time", format="percent"),
                "faulted_s": st.column_config.NumberColumn("Faulted (s)", format="%,d"),
                "unavailable_s": st.column_config.NumberColumn("Out of service (s)", format="%,d"),
                "offline_s": st.column_config.NumberColumn("Offline (s)", format="%,d"),
                "unknown_s": st.column_config.NumberColumn("Unknown (s)", format="%,d"),
                "period_s": st.column_config.NumberColumn("Period (s)", format="%,d"),
            },
            alt="Seconds by state of all ports",
        )
    st.caption(
        "Share of known time working: available, reserved, occupied or charging, over all time but unknown. It is not "
        "an SLA or regulatory uptime: nothing is excused, and opening hours are not considered."
    )

st.subheader("State over time", anchor=False)
with st.container(horizontal=True, vertical_alignment="bottom"):
    ids = warehouse.port_ids(view, site_id)
    port_choice = st.selectbox("Port", ["Ports with most downtime", *ids], key="port", bind="query-params", width=260)
    window = int(layout.choice("Window", ["1", "7", "30"], "window", "7"))
strips = warehouse.timeline(view, site_id, port_choice if port_choice in ids else None, window)
if strips.is_empty():
    st.caption("No port states in this window.")
else:
    layout.figure(charts.state_timeline(strips), key="timeline", alt="State of each port over time")
    st.caption(
        f"The last {words.count(window, 'day')} before the newest record, times in {strips['time_zone'][0]}. "
        "Hatched grey: no log was delivered, so nobody knows."
    )

pattern = warehouse.week_pattern(view, site_id, days)
if not pattern.is_empty():
    st.subheader("When drivers charge", anchor=False)
    layout.figure(charts.week_heatmap(pattern), key="week", alt="Energy by weekday and hour")
    st.caption(
        "kWh delivered by weekday and hour, each site in its own time zone: "
        f"{'all data' if days is None else 'last ' + period}."
    )
