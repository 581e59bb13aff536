"""Analyst: which table, what is a row, and may I ask it myself?"""

import polars.selectors as cs
import streamlit as st

from dashboards import layout, warehouse, words
from dashboards.warehouse import QueryRefusedError

EXAMPLES = {
    "Revenue by site and month": """select s.name, m.local_month, m.currency, m.revenue_net, m.energy_kwh
from marts.fct_site_month as m
join marts.dim_site as s using (site_id)
order by m.local_month desc, m.revenue_net desc""",
    "Downtime hours by port": """select
    port_id,
    sum(faulted_s + unavailable_s + offline_s) / 3600.0 as not_working_h,
    sum(available_s + occupied_s + charging_s) / nullif(sum(period_s - unknown_s), 0) as working_share_of_known_time
from marts.fct_port_day
group by port_id
order by not_working_h desc""",
    "CDRs that do not match their tariff": """select
    cdr_id, peer, ended_at, currency, billed_net, repriced_net, audit_reason
from marts.fct_cdr
where audit_verdict = 'mismatch'
order by abs(billed_net - repriced_net) desc""",
    "What became of each delivered file": """select
    path, records_read, records_loaded, records_duplicate, records_quarantined, error
from meta.source_file
order by first_seen_at desc""",
}
QUERY_KEY = "q"

view = layout.view()
layout.header("Tables and SQL")

tables = warehouse.catalogue(view)
marts = tables.filter(tables["name"].str.starts_with("marts."))
layout.headline(
    f"{words.count(marts.height, 'mart')} with {words.count(int(marts['row_count'].sum() or 0), 'row')}; every figure "
    "in these pages comes from them."
)


def take_example() -> None:
    """Put the chosen example into the editor."""
    if example := st.session_state.get("example"):
        st.session_state[QUERY_KEY] = EXAMPLES[example]


# A version published without re-pricing has no verdicts to ask for.
has_verdicts = "audit_verdict" in warehouse.columns(view, "marts.fct_cdr")["column_name"]
offered = [name for name, sql in EXAMPLES.items() if has_verdicts or "audit_verdict" not in sql]

st.subheader("Ask", anchor=False)
st.pills("Examples", offered, key="example", on_change=take_example)
query = st.text_area(
    "One SELECT (DuckDB's SQL). The link in the address bar keeps it.",
    key=QUERY_KEY,
    bind="query-params",
    height=180,
    placeholder="select * from marts.fct_session limit 100",
)
st.button("Run", type="primary", icon=":material/play_arrow:")
if query and query.strip():
    try:
        result = warehouse.run_sql(view, query)
    except QueryRefusedError as error:
        st.error(str(error), icon=":material/block:")
    else:
        shown = words.count(result.rows.height, "row")
        st.caption(f"The first {shown}; there are more." if result.is_cut else shown)
        days = {
            name: st.column_config.DateColumn(format="YYYY-MM-DD") for name in result.rows.select(cs.date()).columns
        }
        layout.table(result.rows, column_config=days, key="result", alt="Result of the query")
        st.download_button(
            "Download CSV",
            result.rows.write_csv().encode(),
            "chargehouse.csv",
            "text/csv",
            icon=":material/download:",
            on_click="ignore",
        )
st.caption(
    f"Read-only on the published version {warehouse.version_name(view.version)}; at most {warehouse.CONSOLE_ROWS:,} "
    f"rows and {warehouse.CONSOLE_SECONDS:g} s. Seconds, kWh and money are stored; divide sums, never average ratios. "
    "Driver tokens are pseudonyms."
)

st.subheader("Catalogue", anchor=False)
layout.table(
    tables,
    column_config={
        "name": st.column_config.TextColumn("Table", pinned=True),
        "kind": "Kind",
        "row_count": st.column_config.NumberColumn("Rows", format="%,d"),
        "column_count": st.column_config.NumberColumn("Columns", format="%,d"),
        "comment": st.column_config.TextColumn("What a row is", width="large"),
    },
    alt="Tables of the warehouse",
)
names = tables["name"].to_list()
if names:
    table = st.selectbox("Columns of", names, key="table", bind="query-params", width=320)
    layout.table(
        warehouse.columns(view, table),
        column_config={
            "column_name": st.column_config.TextColumn("Column", pinned=True),
            "data_type": "Type",
            "comment": st.column_config.TextColumn("Meaning", width="large"),
        },
        alt=f"Columns of {table}",
    )
