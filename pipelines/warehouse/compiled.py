"""The dbt models as SQL that DuckDB runs without dbt: for one CDR on the command line, and for benchmarks.

dbt needs some ten seconds to start and plan; the models it would run are Jinja over SQL, of which this project uses
little: ``ref``, ``source``, ``var``, ``env_var``, ``config``, ``return`` and dispatched macros. That little is rendered here, from
the same files, so there is one tariff engine. A test holds the SQL against what dbt itself compiles.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import jinja2
import yaml

from pipelines.settings import dbt_folder

_TEST = re.compile(r"\{%-?\s*test\b")
_NO_DEFAULT = object()


class _Returned(Exception):  # noqa: N818  # no error: how a macro hands back something else than text
    """What a macro returns."""

    def __init__(self, value: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.value = value


def _return(value: Any) -> None:  # noqa: ANN401
    raise _Returned(value)


class _Context(jinja2.runtime.Context):
    """Calls macros as dbt does: ``return`` ends the innermost one."""

    def call(self, function: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        """Call a macro or function of a template."""
        if function is _return:
            return function(*arguments)
        try:
            return super().call(function, *arguments, **named)
        except _Returned as returned:
            return returned.value


class _Adapter:
    """Stands for dbt's ``adapter``: of a dispatched macro, DuckDB's."""

    def __init__(self, macros: dict[str, Callable[..., str]]) -> None:
        self._macros = macros

    def dispatch(self, name: str, package: str | None = None) -> Callable[..., str]:
        """Return the macro for DuckDB, else the one for any engine."""
        del package
        return self._macros.get(f"duckdb__{name}") or self._macros[f"default__{name}"]


class CompiledModels:
    """The models of the dbt project, rendered for DuckDB."""

    def __init__(
        self,
        sources: Callable[[str, str], str],
        *,
        environment: Mapping[str, str] | None = None,
        variables: Mapping[str, Any] | None = None,
        folder: Path | None = None,
    ) -> None:
        """Read the project's macros.

        Args:
            sources: What stands behind ``from`` for a source, by its name and its table's.
            environment: What ``env_var`` returns; what is not in it has its default.
            variables: What ``var`` returns, before the project's own values.
            folder: The dbt project; the installed one unless given.
        """
        self._folder = folder or dbt_folder()
        self._environment = environment or {}
        project = yaml.safe_load((self._folder / "dbt_project.yml").read_text(encoding="utf-8"))
        self._variables = {**project.get("vars", {}), **(variables or {})}
        self._paths = {path.stem: path for path in (self._folder / "models").rglob("*.sql")}
        self._paths |= {path.stem: path for path in (self._folder / "analyses").glob("*.sql")}
        self._seeds = {path.stem: path for path in (self._folder / "seeds").glob("*.csv")}
        self._jinja = jinja2.Environment(
            undefined=jinja2.StrictUndefined, autoescape=False, extensions=["jinja2.ext.do"], keep_trailing_newline=True
        )
        self._jinja.context_class = _Context
        self._macros: dict[str, Callable[..., str]] = {}
        self._reading: list[str] = []  # what the model that is being rendered reads
        self._jinja.globals.update(
            adapter=_Adapter(self._macros),
            var=self._var,
            env_var=self._env_var,
            config=lambda **_: "",
            **{"return": _return},
            ref=self._ref,
            source=sources,
        )
        texts = [path.read_text() for path in sorted((self._folder / "macros").glob("*.sql"))]
        module = self._jinja.from_string("\n".join(t for t in texts if not _TEST.search(t))).make_module()
        self._macros.update({n: m for n, m in vars(module).items() if isinstance(m, jinja2.runtime.Macro)})
        self._rendered: dict[str, tuple[str, tuple[str, ...]]] = {}

    def _var(self, name: str, default: Any = _NO_DEFAULT) -> Any:  # noqa: ANN401
        if name in self._variables or default is _NO_DEFAULT:
            return self._variables[name]
        return default

    def _env_var(self, name: str, default: Any = _NO_DEFAULT) -> Any:  # noqa: ANN401
        if name in self._environment or default is _NO_DEFAULT:
            return self._environment[name]
        return default

    def _ref(self, name: str) -> str:
        self._reading.append(name)
        return name

    def _render(self, name: str) -> tuple[str, tuple[str, ...]]:
        if name not in self._rendered:
            self._reading.clear()
            sql = self._jinja.from_string(self._paths[name].read_text(), globals=self._macros).render()
            self._rendered[name] = (sql, tuple(dict.fromkeys(self._reading)))
        return self._rendered[name]

    def sql(self, name: str) -> str:
        """Return the SELECT of a model or analysis; models it reads stand in it under their own names.

        Raises:
            KeyError: The project has no such model.
        """
        return self._render(name)[0].strip()

    def parents(self, name: str) -> tuple[str, ...]:
        """Return the models and seeds that a model reads."""
        return self._render(name)[1] if name in self._paths else ()

    def in_order(self, names: Iterable[str], *, given: Iterable[str] = ()) -> list[str]:
        """Return models with all they read, each behind what it reads.

        Args:
            names: Models wanted.
            given: Models that are there already: neither they nor what only they read are listed.
        """
        done: dict[str, None] = dict.fromkeys(given)
        skipped = len(done)

        def add(name: str) -> None:
            if name in done:
                return
            for parent in self.parents(name):
                add(parent)
            done[name] = None

        for name in names:
            add(name)
        return list(done)[skipped:]

    def build(
        self,
        con: duckdb.DuckDBPyConnection,
        names: Iterable[str],
        *,
        given: Iterable[str] = (),
        views: Iterable[str] = (),
    ) -> None:
        """Make tables of models with all they read, under the models' names.

        Args:
            con: Where to make them; its TimeZone must be UTC.
            names: Models wanted.
            given: Models that are there already.
            views: Models to make views of.
        """
        as_views = set(views)
        for name in self.in_order(names, given=given):
            if name in self._seeds:
                con.execute(f"create or replace table {name} as from read_csv('{self._seeds[name]}', header = true)")
                continue
            kind = "view" if name in as_views else "table"
            con.execute(f"create or replace {kind} {name} as {self.sql(name)}")
