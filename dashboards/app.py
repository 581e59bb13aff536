"""The dashboards' front door: who you are, which pages you have.

With sign-in configured (``[auth]`` in Streamlit's secrets) the person's role comes from ``access.csv``. Without it the
pages are served to this machine only, and a switch lets you look through the eyes of each role.
"""

import runpy
from pathlib import Path

import streamlit as st

from dashboards import layout, warehouse, words
from dashboards.access import Principal, Role, is_loopback
from dashboards.warehouse import View, WarehouseIncompleteError

ROLE_WORDS = {
    Role.OWNER: "Owner",
    Role.OPERATOR: "Operator",
    Role.EMSP: "EMSP",
    Role.ANALYST: "Analyst",
    Role.ADMIN: "Administrator",
}
PAGE_FOLDER = Path(__file__).with_name("app_pages")
# name: (script, title, icon, path in the URL)
PAGES = {
    "owner": ("owner.py", "My sites", ":material/savings:", "owner"),
    "cpo": ("cpo.py", "Operations", ":material/ev_station:", "operations"),
    "emsp": ("emsp.py", "CDRs", ":material/receipt_long:", "cdrs"),
    "analyst": ("analyst.py", "Tables and SQL", ":material/database:", "sql"),
    "health": ("data_health.py", "Data health", ":material/monitor_heart:", "health"),
}
PAGES_OF = {
    Role.OWNER: ("owner", "health"),
    Role.OPERATOR: ("cpo", "health"),
    Role.EMSP: ("emsp", "health"),
    Role.ANALYST: ("analyst", "owner", "cpo", "emsp", "health"),
    Role.ADMIN: ("health", "owner", "cpo", "emsp", "analyst"),
}


def sign_in_is_configured() -> bool:
    """Return whether Streamlit's secrets hold an ``[auth]`` section."""
    try:
        return "auth" in st.secrets
    except FileNotFoundError:
        return False


def signed_in(version: str) -> Principal | None:
    """Return who signed in; else show the button or the refusal and return None."""
    if not st.user.is_logged_in:
        st.title("chargehouse", anchor=False)
        st.button("Sign in", on_click=st.login, type="primary")
        return None
    email = str(st.user.get("email") or "")
    # A provider that says an address is unverified has not shown that it belongs to this person.
    verified = st.user.get("email_verified") is not False
    options = warehouse.principals_of(version, email) if email and verified else []
    with st.container(horizontal=True, horizontal_alignment="right"):
        st.caption(email)
        st.button("Sign out", on_click=st.logout, type="tertiary")
    if not options:
        st.error(f"{email or 'This account'} is in no row of access.csv. Ask your administrator to add it.")
        return None
    if len(options) == 1:
        return options[0]
    by_label = {f"{ROLE_WORDS[p.role]} {p.scope_id or ''}".strip(): p for p in options}
    return by_label[st.selectbox("View as", list(by_label), key="view_as", bind="query-params")]


def tried_out(version: str) -> Principal:
    """Show the role switch and return the principal chosen with it."""
    scopes = warehouse.scopes(version)
    names = {
        Role(role): dict(scopes.filter(role=role).select("scope_id", "name").iter_rows())
        for role in scopes["role"].unique(maintain_order=True)
    }
    roles = [r for r in (Role.OWNER, Role.OPERATOR, Role.EMSP) if r in names] + [Role.ANALYST]
    by_word = {ROLE_WORDS[role]: role for role in roles}
    with st.container(horizontal=True, vertical_alignment="center"):
        place = st.popover("View as", icon=":material/visibility:")
        seen_as = st.empty()
    with place:
        st.caption(
            "Sign-in is not configured, so these pages answer on this machine only, and anybody here may look as any "
            "role."
        )
        word = st.segmented_control(
            "Role", list(by_word), default=next(iter(by_word)), required=True, key="role", bind="query-params"
        )
        role = by_word[word or next(iter(by_word))]
        if role not in names:
            seen_as.markdown(f"Looking as **{ROLE_WORDS[role].lower()}**, at everything")
            return Principal(role)
        labels = words.unique_labels(list(names[role]), list(names[role].values()))
        by_label = {label: scope_id for scope_id, label in labels.items()}
        # One widget per role, so that each remembers its own choice and no role inherits another's id.
        label = st.selectbox(ROLE_WORDS[role], list(by_label), key=str(role), bind="query-params")
    seen_as.markdown(f"Looking as {ROLE_WORDS[role].lower() if role != Role.EMSP else 'EMSP'} **{label}**")
    return Principal(role, by_label[label])


def run_page(role: Role) -> None:
    """Run the page of the address if the role has it, else the role's first page.

    Every address exists for everybody, so that a link to another role's page leads somewhere instead of to an error.
    Which rows a page shows depends on the principal alone.
    """
    allowed = PAGES_OF[role]

    def first_page() -> None:
        runpy.run_path(str(PAGE_FOLDER / PAGES[allowed[0]][0]))

    pages = [st.Page(first_page, title="chargehouse", url_path="start", default=True, visibility="hidden")]
    for name in (*allowed, *(name for name in PAGES if name not in allowed)):
        script, title, icon, path = PAGES[name]
        if name in allowed:
            pages.append(st.Page(PAGE_FOLDER / script, title=title, icon=icon, url_path=path))
        else:
            pages.append(st.Page(first_page, title=title, url_path=path, visibility="hidden"))
    st.navigation(pages, position="top").run()


def main() -> None:
    """Serve one run of the page script."""
    st.set_page_config(page_title="chargehouse", page_icon="⚡", layout="wide")
    has_sign_in = sign_in_is_configured()
    if not has_sign_in and not is_loopback(st.get_option("server.address")):
        st.error(
            "Refused: these pages listen on an address that other machines reach, and sign-in is not configured. "
            "Start them with `chargehouse serve`, or add an `[auth]` section to Streamlit's secrets."
        )
        return
    version = warehouse.current_version()
    if version is None:
        layout.nothing_published()
        return
    try:
        principal = signed_in(version) if has_sign_in else tried_out(version)
        if principal is None:
            return
        layout.set_view(View(version, principal))
        run_page(principal.role)
    except WarehouseIncompleteError as error:
        layout.incomplete(str(error))


main()
