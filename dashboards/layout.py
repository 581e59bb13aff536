"""What every page shares: its header, its filters, its empty states."""

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl
import streamlit as st

from dashboards import warehouse, words
from dashboards.warehouse import View

_VIEW = "_view"  # not a widget key, so nothing in the URL can set it
PERIODS: dict[str, int | None] = {"7 days": 7, "30 days": 30, "90 days": 90, "All": None}
SPANS: dict[str, int | None] = {"3 months": 3, "12 months": 12, "All": None}


def set_view(view: View) -> None:
    """Remember for this run which version the page reads and as whom."""
    st.session_state[_VIEW] = view


def view() -> View:
    """Return what :func:`set_view` remembered."""
    return st.session_state[_VIEW]


def header(title: str) -> None:
    """Show the page title and how fresh its data are."""
    st.title(title, anchor=False)
    fresh = warehouse.freshness(view())
    if fresh.newest_local is None or fresh.newest_at is None:
        return
    parts = [f"Data up to **{words.instant(fresh.newest_local)}** ({fresh.time_zone})"]
    if fresh.finished_at:
        parts.append(f"published {words.age(fresh.finished_at, datetime.now(UTC))}")
    st.caption(" · ".join(parts))


def nothing_published() -> None:
    """Say what to do in a home without a warehouse."""
    st.title("No data yet", anchor=False)
    st.info(
        "Nothing has been published in this home folder yet. Pick one:\n\n"
        "- **Try it with an example network:** run `chargehouse demo` in a terminal.\n"
        "- **Use your own data:** put OCPP logs into `landing/ocpp`, OCPI objects into `landing/ocpi` and your "
        "registry CSV files into `landing/registry`, then run `chargehouse run`.\n\n"
        "This page picks the new data up when you reload it.",
        icon=":material/inbox:",
    )
    st.caption(f"Home folder: `{warehouse.home().root.absolute()}`")


def incomplete(message: str) -> None:
    """Say that the published version is older than the dashboards."""
    st.error(
        "The published warehouse lacks something this page needs. Run `chargehouse run` to publish a new version.\n\n"
        f"`{message}`",
        icon=":material/build:",
    )


def nothing_here(what: str, next_step: str) -> None:
    """Say that there is nothing to show, and what would change that."""
    st.info(f"{what}\n\n{next_step}", icon=":material/inbox:")


def figure_card(
    label: str, value: str, change: str | None = None, delta_color: str = "normal", help: str | None = None
) -> None:
    """Show one figure with its unit, and its change against the period before."""
    st.metric(label, value, change, delta_color=delta_color, help=help, border=True, height="stretch")


def table(frame: pl.DataFrame, alt: str, **options: object) -> object:
    """Show a table without row numbers; nulls stay blank."""
    return st.dataframe(frame, hide_index=True, placeholder="", alt=alt, **options)


def headline(sentence: str) -> None:
    """Show the page's answer in one sentence."""
    st.markdown(f"#### {sentence}")


def site_filter(key: str) -> str | None:
    """Show the site filter (kept in the URL) and return the chosen site, or None for all."""
    frame = warehouse.sites(view())
    ids = frame["site_id"].to_list()
    if len(ids) < 2:
        return None
    labels = words.unique_labels(ids, frame["name"].to_list())
    by_label = {labels[id_]: id_ for id_ in ids}
    chosen = st.selectbox("Site", ["All sites", *by_label], key=key, bind="query-params", width=260)
    return by_label.get(chosen)


def choice(label: str, options: Sequence[str], key: str, default: str) -> str:
    """Show a choice of a few (kept in the URL) and return it."""
    chosen = st.segmented_control(label, options, default=default, required=True, key=key, bind="query-params")
    return chosen or default


def site_labels(frame: pl.DataFrame | None = None) -> dict[str, str]:
    """Return site_id -> name of the visible sites."""
    frame = warehouse.sites(view()) if frame is None else frame
    return words.unique_labels(frame["site_id"].to_list(), frame["name"].to_list())


def figure(chart: object, key: str, alt: str) -> None:
    """Show a Plotly figure without its toolbar."""
    st.plotly_chart(chart, key=key, config={"displayModeBar": False}, alt=alt)
