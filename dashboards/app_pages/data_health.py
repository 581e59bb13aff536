"""Data health: can I trust these figures today?"""

from datetime import UTC, datetime

import streamlit as st

from dashboards import charts, layout, warehouse, words

view = layout.view()
layout.header("Data health")
period = layout.choice("Period", list(layout.PERIODS), "period", "30 days")
days = layout.PERIODS[period]

fresh = warehouse.freshness(view)
unknown = warehouse.availability_total(view, None, days)
parts = []
if fresh.newest_at is None:
    parts.append("There is no record yet")
else:
    parts.append(f"The newest record is {words.duration((datetime.now(UTC) - fresh.newest_at).total_seconds())} old")
if unknown["period_s"]:
    ratio = unknown["unknown_s"] / unknown["period_s"]
    parts.append(
        f"{words.percent(ratio)} of port time is unknown" if unknown["unknown_s"] else "no port time is unknown"
    )
if view.principal.sees_everything:
    totals = warehouse.delivery_totals(view)
    quarantined = words.count(totals["records_quarantined"], "record")
    parts.append(f"{quarantined} of {totals['records_read']:,} could not be read")
layout.headline(f"{words.joined(parts)}.")

if fresh.newest_at is None:
    layout.nothing_here(
        "Nothing has been loaded yet.",
        "Put files into `landing/` and run `chargehouse run`; or run `chargehouse demo`.",
    )

by_day = warehouse.unknown_by_day(view, days)
if not by_day.is_empty():
    if unknown["unknown_s"]:
        layout.figure(charts.unknown_by_day(by_day), key="unknown", alt="Unknown share of port time per day")
    else:
        st.success("The logs cover all port time of the period.", icon=":material/check:")
    st.caption(
        "Unknown is time for which no log was delivered: the logger or its whole source was silent. It is never "
        "counted as working or as broken. A single silent station counts as offline."
    )
    by_site = warehouse.unknown_by_site(view, days)
    layout.table(
        by_site.select(
            "site",
            "ports",
            "unknown_ratio",
            (by_site["unknown_s"] / 3600).alias("unknown_h"),
            (by_site["period_s"] / 3600).alias("period_h"),
        ),
        column_config={
            "site": st.column_config.TextColumn("Site", pinned=True),
            "ports": st.column_config.NumberColumn("Ports", format="%,d"),
            "unknown_ratio": st.column_config.ProgressColumn(
                "Unknown share", format="percent", min_value=0, max_value=1
            ),
            "unknown_h": st.column_config.NumberColumn("Unknown (port hours)", format="%,.1f"),
            "period_h": st.column_config.NumberColumn("Observed (port hours)", format="%,.1f"),
        },
        alt="Unknown time by site",
    )

if not view.principal.sees_everything:
    st.stop()

st.subheader("What was delivered", anchor=False)
with st.grid(4, min_column_width=150):
    st.metric("Files", words.number(totals["files"]), border=True)
    st.metric("Records loaded", words.number(totals["records_loaded"]), border=True)
    st.metric("Duplicates left out", words.number(totals["records_duplicate"]), border=True)
    st.metric("Quarantined", words.number(totals["records_quarantined"]), border=True)
layout.table(
    warehouse.deliveries(view),
    column_config={
        "kind": "Kind",
        "content": "Content",
        "files": st.column_config.NumberColumn("Files", format="%,d"),
        "records_read": st.column_config.NumberColumn("Read", format="%,d"),
        "records_loaded": st.column_config.NumberColumn("Loaded", format="%,d"),
        "records_duplicate": st.column_config.NumberColumn("Duplicate", format="%,d"),
        "records_quarantined": st.column_config.NumberColumn("Quarantined", format="%,d"),
        "unreadable_files": st.column_config.NumberColumn("Unreadable files", format="%,d"),
        "newest_delivery_utc": st.column_config.DatetimeColumn("Newest delivery (UTC)", format="D MMM YYYY HH:mm"),
    },
    alt="Deliveries by kind",
)
st.caption("Read = loaded + duplicate + quarantined, for every file.")

st.subheader("Quarantine", anchor=False)
files = warehouse.quarantined_files(view)
if files.is_empty():
    st.success("Every record of every file could be read.", icon=":material/check:")
else:
    samples = warehouse.quarantine(view)
    if samples is None:
        st.caption(
            "The lake is not beside this warehouse, so the records themselves cannot be shown; these are the files."
        )
    else:
        layout.table(
            samples,
            column_config={
                "reason": st.column_config.TextColumn("Reason", pinned=True),
                "record_count": st.column_config.NumberColumn("Records", format="%,d"),
                "path": "File",
                "line_number": st.column_config.NumberColumn("Line", format="%d"),
                "column_name": "Column",
                "value": "Value",
                "expected": "Expected",
                "text": "Record",
            },
            alt="Quarantined records, up to three of each reason",
        )
        st.caption("Up to three records of each reason. All are in `lake.quarantine_record`.")
    layout.table(
        files,
        column_config={
            "path": st.column_config.TextColumn("File", pinned=True),
            "records_read": st.column_config.NumberColumn("Read", format="%,d"),
            "records_quarantined": st.column_config.NumberColumn("Quarantined", format="%,d"),
            "error": "Error",
        },
        alt="Files with quarantined records",
    )

st.subheader("Checks before publishing", anchor=False)
checks = warehouse.checks(view)
if checks.is_empty():
    st.caption("No check results are stored with this version.")
else:
    failed = checks.filter(~checks["passed"])
    if failed.is_empty():
        st.success(f"All {words.count(checks.height, 'check')} passed.", icon=":material/check:")
    else:
        st.warning(f"{failed.height:,} of {words.count(checks.height, 'check')} failed.", icon=":material/warning:")
    layout.table(
        checks,
        column_config={
            "passed": st.column_config.CheckboxColumn("Passed", pinned=True),
            "severity": "Severity",
            "suite": "Suite",
            "table_name": "Table",
            "column_name": "Column",
            "check_name": "Check",
            "observed": "Observed",
            "failing_count": st.column_config.NumberColumn("Failing rows", format="%,d"),
            "failing_sample": "Sample",
        },
        alt="Checks of the last run",
    )

st.subheader("Runs", anchor=False)
layout.table(
    warehouse.runs(view),
    column_config={
        "run_id": st.column_config.TextColumn("Run", pinned=True),
        "status": "Status",
        "started_utc": st.column_config.DatetimeColumn("Started (UTC)", format="D MMM YYYY HH:mm"),
        "seconds": st.column_config.NumberColumn("Seconds", format="%,.1f"),
        "files_new": st.column_config.NumberColumn("New files", format="%,d"),
        "records_read": st.column_config.NumberColumn("Read", format="%,d"),
        "records_loaded": st.column_config.NumberColumn("Loaded", format="%,d"),
        "records_duplicate": st.column_config.NumberColumn("Duplicate", format="%,d"),
        "records_quarantined": st.column_config.NumberColumn("Quarantined", format="%,d"),
        "models_built": st.column_config.NumberColumn("Models", format="%,d"),
        "checks_passed": st.column_config.NumberColumn("Checks passed", format="%,d"),
        "checks_failed": st.column_config.NumberColumn("Checks failed", format="%,d"),
    },
    alt="Runs, newest first",
)
