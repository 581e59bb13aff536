"""Stands in for dbt's ``adapter`` when sqlfluff renders a model: a dispatched macro becomes a call of its name."""

from collections.abc import Callable


def dispatch(macro_name: str, macro_namespace: str = "") -> Callable[..., str]:  # noqa: ARG001
    """Return a stand-in for a dispatched macro."""
    return lambda *arguments: f"{macro_name}({', '.join(str(argument) for argument in arguments)})"
