"""Typed settings. The only module that reads the environment.

Every setting is an environment variable that begins with ``CHARGEHOUSE_``; the table in ``docs/settings.md`` is
made from the descriptions below.
"""

import os
from functools import cache
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


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
    keep_versions: int = Field(3, ge=1, description="Published warehouse versions that stay for open readers.")


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
