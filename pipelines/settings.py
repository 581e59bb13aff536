"""Typed settings. The only module that reads the environment.

Every setting is an environment variable that begins with ``CHARGEHOUSE_``; the table in ``docs/settings.md`` is
made from the descriptions below.
"""

import os
import re
from datetime import date
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """What a user may set, with its default. Read once per process through :func:`get_settings`."""

    model_config = SettingsConfigDict(env_prefix="CHARGEHOUSE_", extra="ignore")

    home: Path = Field(Path("data"), description="The home folder: landing, lake, warehouse and reports.")
    default_time_zone: str = Field(
        "UTC",
        description="IANA zone of log lines, registry times and CDR locations that name none. Rows that used it say so.",
    )
    pseudonym_key: SecretStr | None = Field(
        None,
        description="HMAC key for driver tokens, contract ids and e-mail addresses. Without it a random key is made "
        "once and kept in the home, readable by its owner alone.",
    )
    threads: int = Field(2, ge=1, description="Threads that DuckDB and dbt may use.")
    memory_limit: str | None = Field(
        None, description="Memory that DuckDB may use, e.g. 4GB. Empty: DuckDB's own choice."
    )
    unmeasured_restriction: Literal["met", "not_met"] = Field(
        "met",
        description="Whether a tariff's restriction on current or power counts as met in charging periods that tell neither. "
        "OCPI implementations do either; findings say where it mattered.",
    )
    settlement_close_after_days: int = Field(
        14,
        ge=0,
        description="Days after the end of a local month on which its statements are closed: what comes later is booked "
        "in the next open month. Most late CDRs come within two weeks.",
    )
    today: date | None = Field(
        None,
        description="The day that counts as today when statements are closed. Empty: the day up to which the data speak, "
        "so that the same deliveries give the same statements on any day.",
    )
    allow_v2g: bool = Field(
        False, description="Whether vehicles feed back: then energy below zero in a CDR is no defect."
    )
    keep_versions: int = Field(3, ge=1, description="Published warehouse versions that stay for open readers.")
    evchart_network_providers: Annotated[dict[str, str], NoDecode] = Field(
        {},
        description="EV-ChART's network_provider of each operator, as `operator_id=value` split by spaces, e.g. "
        "`prairie=chargepoint harbour=evgo`. An operator whose name EV-ChART lists needs no entry.",
    )
    evchart_network_provider: str = Field(
        "non_networked",
        description="EV-ChART's network_provider of an operator that is neither set above nor listed by name. Each use is "
        "warned about.",
    )
    alert_urls: SecretStr | None = Field(
        None,
        description="Where alerts go: apprise URLs split by spaces, e.g. `mailtos://user:password@example.org "
        "slack://…  json://host/path`. They hold passwords, so they are never printed. Without any, alerts stay in the "
        "home (`alerts/state.json`).",
    )
    alert_policies: Annotated[list[str], NoDecode] = Field(
        [],
        description="SLA policies whose breaches are told, split by spaces. Empty: each contract's own policy.",
    )
    alert_outage_h: float = Field(24, gt=0, description="Hours after which a port that is still down is told.")
    alert_silence_h: float = Field(6, gt=0, description="Hours after which a log source that sends nothing is told.")
    alert_interval_s: int = Field(
        60, ge=10, description="Seconds between two looks for something to tell, while `chargehouse orchestrate` runs."
    )
    dashboard_url: str = Field(
        "http://127.0.0.1:8501", description="Where people reach the dashboards; alerts link to it."
    )

    @field_validator("evchart_network_providers", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        """Read `a=b c=d`."""
        if not isinstance(value, str):
            return value
        pairs = {}
        for word in re.split(r"[\s,;]+", value.strip()):
            if not word:
                continue
            name, equals, entry = word.partition("=")
            if not (name and equals and entry):
                msg = f"{word!r} is no pair; write operator_id=value, several split by spaces"
                raise ValueError(msg)
            pairs[name] = entry
        return pairs

    @field_validator("alert_policies", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        """Read `a b c`."""
        return re.split(r"[\s,;]+", value.strip()) if isinstance(value, str) and value.strip() else value or []


@cache
def get_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        pydantic.ValidationError: A variable does not parse; the message names it.
    """
    return Settings()


def secret(name: str) -> str | None:
    """Return the value of an environment variable that a file of the home names, such as a peer's token in peers.toml.

    Args:
        name: Name of the variable, any. Its value belongs into no file, message or log.
    """
    return os.environ.get(name)


def dbt_folder() -> Path:
    """Return the dbt project's folder: the checkout's, or the copy that an installed package carries."""
    in_checkout = project_root() / "dbt"
    return in_checkout if (in_checkout / "dbt_project.yml").exists() else project_root() / "chargehouse_dbt"


def project_root() -> Path:
    """Return the folder that holds ``dbt/`` and ``dashboards/``: the checkout this package runs from."""
    return Path(__file__).resolve().parent.parent


def export_to_children(**variables: str) -> None:
    """Set environment variables for this process and the ones it starts (dbt, Dagster, Streamlit)."""
    os.environ.update(variables)


def child_environment(**variables: str) -> dict[str, str]:
    """Return this process's environment with some variables set, to hand to one child process."""
    return {**os.environ, **variables}
