"""Plotly figures. No Streamlit here: data in, figure out.

Colours carry fixed meanings everywhere: cool for a port that serves, warm for one that does not, hatched grey for
time nobody knows about. They are told apart under the common colour-vision deficiencies (tested), and each is also
named in the legend or on hover.
"""

import plotly.graph_objects as go
import polars as pl

from dashboards.words import STATE_WORDS

STATE_COLORS = {
    "available": "#9ad9c1",
    "reserved": "#c3b1e1",
    "occupied": "#6fb1de",
    "charging": "#0b63b0",
    "suspended_ev": "#a9cdea",
    "suspended_evse": "#4d8ec4",
    "unavailable": "#f2b134",
    "faulted": "#d1350f",
    "offline": "#803050",
    "unknown": "#c9cdd2",
}
CATEGORY_COLORS = ("#0b63b0", "#e08e0b", "#1b9e77", "#8e5bb5", "#c2417e", "#6b7785", "#4fb3d9", "#a6761d")
OTHER_COLOR = "#aab4bc"
WORKING_COLOR = STATE_COLORS["available"]
NOT_WORKING_COLOR = STATE_COLORS["faulted"]
UNKNOWN_COLOR = STATE_COLORS["unknown"]
ENERGY_SCALE = ("#f3f7fa", "#cfe2f1", "#8fbfe0", "#4d8ec4", "#0b63b0", "#083c6b")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HATCH = {"shape": "/", "fillmode": "overlay", "solidity": 0.25, "size": 5, "fgcolor": "#7d868e"}
_ROW_PX = 30


def _layout(figure: go.Figure, height: int, *, legend: bool = True) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 0, "t": 8, "b": 0},
        showlegend=legend,
        legend={"orientation": "h", "yanchor": "top", "y": -0.18, "xanchor": "left", "x": 0, "traceorder": "normal"},
        bargap=0.25,
        dragmode=False,
        hoverlabel={"namelength": -1},
    )
    figure.update_xaxes(automargin=True, fixedrange=True)
    figure.update_yaxes(automargin=True, fixedrange=True)
    return figure


def _pattern(state: str) -> dict[str, object]:
    return _HATCH if state == "unknown" else {}


def monthly_bars(rows: pl.DataFrame, *, value: str, unit: str, labels: dict[str, str], decimals: int = 0) -> go.Figure:
    """Return bars by month, stacked by site; months that the data cover only in part are hatched.

    Args:
        rows: ``local_month``, ``site_id``, ``place`` (rank of the site, which fixes its colour; from the ninth on sites
            are shown together), ``is_complete`` and the value column.
        value: Column with the bar length.
        unit: Unit or currency, for the axis and the hover text.
        labels: site_id -> name.
        decimals: Decimals in the hover text.
    """
    figure = go.Figure()
    grouped = (
        rows.with_columns(place=pl.min_horizontal("place", len(CATEGORY_COLORS) + 1))
        .group_by("place", "local_month")
        .agg(pl.col(value).sum(), pl.col("site_id").min(), pl.col("is_complete").all())
        .sort("place", "local_month")
    )
    for (place,), part in grouped.group_by("place", maintain_order=True):
        is_other = place > len(CATEGORY_COLORS)
        site_id = part["site_id"][0]
        figure.add_bar(
            x=part["local_month"].to_list(),
            y=part[value].to_list(),
            name="Other sites" if is_other else labels.get(site_id, site_id),
            marker={
                "color": OTHER_COLOR if is_other else CATEGORY_COLORS[place - 1],
                "pattern": {
                    "shape": ["" if complete else "/" for complete in part["is_complete"]],
                    "fillmode": "overlay",
                    "solidity": 0.35,
                    "size": 7,
                    "fgcolor": "#ffffff",
                },
            },
            hovertemplate=f"%{{x|%B %Y}}<br>%{{y:,.{decimals}f}} {unit}<extra>%{{fullData.name}}</extra>",
        )
    figure.update_layout(barmode="relative")
    figure.update_yaxes(title=unit, tickformat=",~r", rangemode="tozero")
    figure.update_xaxes(tickformat="%b %Y", dtick="M1" if rows["local_month"].n_unique() <= 6 else None)
    return _layout(figure, 320, legend=len(figure.data) > 1)


def states_now(rows: pl.DataFrame, labels: dict[str, str]) -> go.Figure:
    """Return how many ports are in which state now, a bar per site.

    Args:
        rows: ``site_id``, ``state``, ``port_count``; sites in the order to show, top first.
        labels: site_id -> name.
    """
    figure = go.Figure()
    sites = rows["site_id"].unique(maintain_order=True).to_list()
    for state, color in STATE_COLORS.items():
        part = rows.filter(pl.col("state") == state)
        if part.is_empty():
            continue
        figure.add_bar(
            y=[labels.get(site, site) for site in part["site_id"]],
            x=part["port_count"].to_list(),
            name=STATE_WORDS[state],
            orientation="h",
            text=part["port_count"].to_list(),
            textposition="inside",
            insidetextanchor="middle",
            textangle=0,
            marker={"color": color, "pattern": _pattern(state)},
            hovertemplate="%{y}: %{x} ports<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(barmode="stack")
    figure.update_yaxes(categoryorder="array", categoryarray=[labels.get(s, s) for s in reversed(sites)], title=None)
    figure.update_xaxes(title="ports", tickformat=",d", rangemode="tozero")
    figure = _layout(figure, 130 + _ROW_PX * len(sites))
    return _legend_below(figure, len(sites))


def _legend_below(figure: go.Figure, rows: int, gap: int = 60) -> go.Figure:
    """Put the legend about ``gap`` pixels under the axis, whatever the number of rows."""
    figure.update_layout(legend={"y": -gap / (gap + _ROW_PX * rows)})
    return figure


def availability_bars(rows: pl.DataFrame) -> go.Figure:
    """Return per port how its time was spent: working, not working by kind, unknown; as shares of the period.

    Args:
        rows: ``label``, ``period_s`` and the seconds ``working_s``, ``faulted_s``, ``unavailable_s``, ``offline_s``,
            ``unknown_s``; top row first.
    """
    parts = (
        ("working_s", "Working", WORKING_COLOR, ""),
        ("faulted_s", STATE_WORDS["faulted"], STATE_COLORS["faulted"], ""),
        ("unavailable_s", STATE_WORDS["unavailable"], STATE_COLORS["unavailable"], ""),
        ("offline_s", STATE_WORDS["offline"], STATE_COLORS["offline"], ""),
        ("unknown_s", STATE_WORDS["unknown"], UNKNOWN_COLOR, "unknown"),
    )
    figure = go.Figure()
    labels = rows["label"].to_list()
    for column, name, color, state in parts:
        if not rows[column].sum():
            continue
        figure.add_bar(
            y=labels,
            x=[s / p if p else 0 for s, p in zip(rows[column], rows["period_s"], strict=True)],
            customdata=[s / 3600 for s in rows[column]],
            name=name,
            orientation="h",
            marker={"color": color, "pattern": _pattern(state)},
            hovertemplate="%{y}: %{x:.1%}, %{customdata:,.1f} h<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(barmode="stack")
    figure.update_yaxes(categoryorder="array", categoryarray=list(reversed(labels)))
    figure.update_xaxes(title="share of the period", tickformat=".0%", range=[0, 1])
    return _legend_below(_layout(figure, 130 + _ROW_PX * len(labels)), len(labels))


def state_timeline(rows: pl.DataFrame) -> go.Figure:
    """Return a strip per port, coloured by state over time.

    Args:
        rows: ``label``, ``state``, ``started_at_local``, ``ended_at_local``, ``duration_s``, ``error_code``;
            top port first.
    """
    figure = go.Figure()
    labels = rows["label"].unique(maintain_order=True).to_list()
    for state, color in STATE_COLORS.items():
        part = rows.filter(pl.col("state") == state)
        if part.is_empty():
            continue
        figure.add_bar(
            y=part["label"].to_list(),
            base=part["started_at_local"].to_list(),
            x=[s * 1000 for s in part["duration_s"]],
            customdata=list(
                zip(
                    part["started_at_local"].dt.strftime("%d %b %H:%M"),
                    part["ended_at_local"].dt.strftime("%d %b %H:%M"),
                    [f", {code}" if code else "" for code in part["error_code"]],
                    strict=True,
                )
            ),
            name=STATE_WORDS[state],
            orientation="h",
            marker={"color": color, "line": {"width": 0}, "pattern": _pattern(state)},
            hovertemplate="%{y}<br>%{customdata[0]} to %{customdata[1]}%{customdata[2]}<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(barmode="overlay", bargap=0.2)
    figure.update_xaxes(type="date", hoverformat="%d %b %H:%M")
    figure.update_yaxes(categoryorder="array", categoryarray=list(reversed(labels)))
    return _legend_below(_layout(figure, 110 + _ROW_PX * len(labels)), len(labels), gap=36)


def week_heatmap(rows: pl.DataFrame) -> go.Figure:
    """Return energy by weekday and hour of the day.

    Args:
        rows: ``weekday`` (1 Monday .. 7 Sunday), ``hour`` (0..23), ``energy_kwh``.
    """
    grid = [[0.0] * 24 for _ in WEEKDAYS]
    for weekday, hour, energy_kwh in rows.select("weekday", "hour", "energy_kwh").iter_rows():
        grid[weekday - 1][hour] = energy_kwh
    figure = go.Figure(
        go.Heatmap(
            z=grid,
            x=[f"{hour:02d}" for hour in range(24)],
            y=WEEKDAYS,
            colorscale=[[i / (len(ENERGY_SCALE) - 1), color] for i, color in enumerate(ENERGY_SCALE)],
            xgap=2,
            ygap=2,
            colorbar={"title": "kWh", "thickness": 10, "outlinewidth": 0},
            hovertemplate="%{y} %{x}:00: %{z:,.1f} kWh<extra></extra>",
        )
    )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(title="hour of the day", type="category", nticks=12)
    return _layout(figure, 280, legend=False)


def partner_bars(rows: pl.DataFrame, currency: str) -> go.Figure:
    """Return the amount billed by each partner.

    Args:
        rows: ``partner``, ``billed_net``, ``cdr_count``; top partner first.
        currency: Currency of every row.
    """
    partners = rows["partner"].to_list()
    figure = go.Figure(
        go.Bar(
            y=partners,
            x=rows["billed_net"].to_list(),
            customdata=rows["cdr_count"].to_list(),
            orientation="h",
            marker={"color": CATEGORY_COLORS[0]},
            texttemplate="%{x:,.2f}",
            textposition="auto",
            hovertemplate=f"%{{y}}: %{{x:,.2f}} {currency} from %{{customdata:,d}} CDRs<extra></extra>",
        )
    )
    figure.update_yaxes(categoryorder="array", categoryarray=list(reversed(partners)))
    figure.update_xaxes(title=f"{currency} before tax", tickformat=",~r", rangemode="tozero")
    return _layout(figure, 90 + _ROW_PX * len(partners), legend=False)


def latency_bars(rows: pl.DataFrame) -> go.Figure:
    """Return how many CDRs came how long after the session ended, stacked by partner.

    Args:
        rows: ``bucket`` (0-based), ``bucket_label``, ``partner``, ``cdr_count``.
    """
    figure = go.Figure()
    order = rows.sort("bucket")["bucket_label"].unique(maintain_order=True).to_list()
    # Partners by CDRs; from the ninth on they share one colour.
    ranked = (
        rows.group_by("partner").agg(pl.col("cdr_count").sum()).sort("cdr_count", "partner", descending=[True, False])
    )
    for place, partner in enumerate(ranked["partner"]):
        part = rows.filter(pl.col("partner") == partner)
        color = CATEGORY_COLORS[place] if place < len(CATEGORY_COLORS) else OTHER_COLOR
        figure.add_bar(
            x=part["bucket_label"].to_list(),
            y=part["cdr_count"].to_list(),
            name=partner,
            marker={"color": color},
            hovertemplate="%{x}: %{y:,d} CDRs<extra>%{fullData.name}</extra>",
        )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(categoryorder="array", categoryarray=order)
    figure.update_yaxes(title="CDRs", tickformat=",d", rangemode="tozero")
    return _layout(figure, 300, legend=ranked.height > 1)


def unknown_by_day(rows: pl.DataFrame) -> go.Figure:
    """Return the unknown share of port time per day.

    Args:
        rows: ``local_date``, ``unknown_s``, ``period_s``.
    """
    figure = go.Figure(
        go.Bar(
            x=rows["local_date"].to_list(),
            y=[u / p if p else 0 for u, p in zip(rows["unknown_s"], rows["period_s"], strict=True)],
            marker={"color": UNKNOWN_COLOR, "pattern": _HATCH},
            hovertemplate="%{x|%d %b %Y}: %{y:.1%} unknown<extra></extra>",
        )
    )
    figure.update_yaxes(tickformat=".0%", range=[0, 1], title="unknown share of port time")
    return _layout(figure, 240, legend=False)
