"""dbt's view of the lake: ``dbt/models/staging/_sources.yml``, written from :mod:`pipelines.lake`.

Run ``python -m pipelines.warehouse.dbt_sources`` after changing a lake table; a test fails while the file is stale.
"""

from itertools import groupby
from pathlib import Path

import yaml

from pipelines.lake import ALL_TABLES, SETTLEMENT_TABLES
from pipelines.settings import project_root

_LOCATION = (
    "read_parquet('{{{{ env_var(\"CHARGEHOUSE_HOME\") }}}}/lake/{domain}/{{name}}/*.parquet', union_by_name = true)"
)


def sources_yaml() -> str:
    """Return the text of the sources file: one dbt source per domain, one table per lake table, every column described."""
    sources = []
    for domain, tables in groupby((*ALL_TABLES, *SETTLEMENT_TABLES), key=lambda table: table.domain):
        sources.append(
            {
                "name": domain,
                "description": f"Lake tables of the domain {domain}: Parquet, one or more files per landed file.",
                "config": {"meta": {"external_location": _LOCATION.format(domain=domain)}},
                "tables": [
                    {
                        "name": table.name,
                        "description": table.row,
                        "columns": [
                            {"name": column.name, "data_type": column.type, "description": column.comment}
                            for column in table.columns
                        ],
                    }
                    for table in tables
                ],
            }
        )
    text = yaml.safe_dump({"version": 2, "sources": sources}, sort_keys=False, allow_unicode=True, width=120)
    return "# Written by `python -m pipelines.warehouse.dbt_sources` from pipelines/lake.py; change it there.\n" + text


def sources_path() -> Path:
    """Return where the sources file stands."""
    return project_root() / "dbt" / "models" / "staging" / "_sources.yml"


if __name__ == "__main__":
    sources_path().write_text(sources_yaml())
