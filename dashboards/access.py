"""Who may see which rows, decided in one place.

A signed-in person (or, without sign-in on this machine, the role switch) becomes a :class:`Principal`. Every page
query is written against the relations of :func:`visible_relations`, which hold the principal's rows only; no query
names a mart itself, so no page can widen what it sees.
"""

import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What somebody is to the charging network; the words of ``access.csv``."""

    OWNER = "owner"
    OPERATOR = "operator"
    EMSP = "emsp"
    ANALYST = "analyst"
    ADMIN = "admin"


SEES_EVERYTHING = frozenset({Role.ANALYST, Role.ADMIN})
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Principal:
    """A role and the owner, operator or EMSP it is limited to.

    Raises:
        ValueError: A role that needs a scope has none.
    """

    role: Role
    scope_id: str | None = None

    def __post_init__(self) -> None:
        """Refuse a scoped role without its scope: it would see nothing, or by a later mistake everything."""
        if self.role not in SEES_EVERYTHING and not self.scope_id:
            msg = f"role {self.role} needs the id of the {self.role} it acts for"
            raise ValueError(msg)

    @property
    def sees_everything(self) -> bool:
        """Whether rows of every owner are visible."""
        return self.role in SEES_EVERYTHING


def is_loopback(address: str | None) -> bool:
    """Return whether a server address can be reached from this machine only.

    Args:
        address: Value of Streamlit's ``server.address``; None means every interface.
    """
    return address in LOOPBACK


def email_pseudonym(key: bytes, email: str) -> str:
    """Return the pseudonym under which the lake knows an e-mail address (addresses in the clear stay in landing).

    Args:
        key: The home's HMAC key.
        email: The verified address of the sign-in.
    """
    return hmac.new(key, email.strip().upper().encode(), hashlib.sha256).hexdigest()[:32]


# Columns that re-pricing adds to the CDRs: null in a version published without it.
_REPRICED = (
    "select cast(null as decimal(18, 6)) as repriced_net, cast(null as varchar) as audit_verdict, "
    "cast(null as varchar) as audit_reason where false"
)

# Relation -> (its SELECT, {role: predicate}), each before those that refer to it. A role that is not named sees no row.
# $scope_id is bound, never pasted.
_OWN = {Role.OWNER: "owner_id = $scope_id", Role.OPERATOR: "operator_id = $scope_id"}
_AT_OWN_SITES = dict.fromkeys((Role.OWNER, Role.OPERATOR), "site_id in (select site_id from site)")
_RELATIONS: dict[str, tuple[str, dict[Role, str]]] = {
    "cdr": (
        f"select * from (select * from marts.fct_cdr union all by name {_REPRICED}) as cdrs",
        {**_OWN, Role.EMSP: "emsp_id = $scope_id"},
    ),
    "price_line": (
        "select * from marts.fct_cdr_price_line",
        dict.fromkeys((Role.OWNER, Role.OPERATOR, Role.EMSP), "cdr_key in (select cdr_key from cdr)"),
    ),
    "site": (
        "select site_id, name, owner_id, operator_id, coalesce(time_zone, 'UTC') as time_zone, currency "
        "from marts.dim_site",
        {**_OWN, Role.EMSP: "site_id in (select site_id from cdr)"},
    ),
    "port": (
        "select p.port_id, p.station_id, p.site_id, s.vendor, s.model, p.max_power_kw, p.decommissioned_at "
        "from marts.dim_port as p left join marts.dim_station as s on s.station_id = p.station_id",
        {Role.OWNER: "p.owner_id = $scope_id", Role.OPERATOR: "p.operator_id = $scope_id"},
    ),
    "port_state": ("select * from marts.fct_port_state", _AT_OWN_SITES),
    "port_day": ("select * from marts.fct_port_day", _OWN),
    "session": ("select * from marts.fct_session", _OWN),
    "site_month": ("select * from marts.fct_site_month", _OWN),
    "load_15min": ("select * from marts.fct_load_15min", _AT_OWN_SITES),
    "owner": (
        "select owner_id, name from marts.dim_owner",
        {Role.OWNER: "owner_id = $scope_id", Role.OPERATOR: "owner_id in (select owner_id from site)"},
    ),
    "operator": (
        "select operator_id, name from marts.dim_operator",
        {
            Role.OWNER: "operator_id in (select operator_id from site)",
            Role.OPERATOR: "operator_id = $scope_id",
            Role.EMSP: "operator_id in (select operator_id from cdr)",
        },
    ),
    "emsp": (
        "select emsp_id, name from marts.dim_emsp",
        {
            **dict.fromkeys((Role.OWNER, Role.OPERATOR), "emsp_id in (select emsp_id from cdr)"),
            Role.EMSP: "emsp_id = $scope_id",
        },
    ),
}
RELATION_NAMES = tuple(_RELATIONS)
_WORD = re.compile(r"[a-z_0-9]+")


def visible_relations(principal: Principal, sql: str) -> tuple[str, dict[str, str]]:
    """Return the SQL ``with`` clause of the principal's relations that a query needs, and the parameters it binds.

    Only what the query names is there, so a version without one mart still serves the questions that do not need it.

    Args:
        principal: Who asks.
        sql: The query, written against :data:`RELATION_NAMES`.
    """
    words = set(_WORD.findall(sql))
    ctes: list[str] = []
    for name, (select, predicates) in reversed(_RELATIONS.items()):
        if name not in words:
            continue
        visible = select
        if not principal.sees_everything:
            visible = f"{select} where {predicates.get(principal.role, 'false')}"
            words |= set(_WORD.findall(visible))
        ctes.insert(0, f"{name} as ({visible})")
    clause = "with " + ",\n".join(ctes) if ctes else ""
    return clause, {"scope_id": str(principal.scope_id)} if "$scope_id" in clause else {}
