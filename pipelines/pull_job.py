"""Pull from the command line: progress for people, a line per peer and module at the end, one line on what failed."""

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from pipelines.home import Home
from pipelines.ocpi.pull.peers import MODULES, Peer, PeersError, read_peers
from pipelines.ocpi.pull.run import PullResult, check_peers, peers_path, pull
from pipelines.ocpi.pull.store import PullRecord
from pipelines.settings import secret


class UnknownPeerError(Exception):
    """A peer was asked for that ``peers.toml`` does not list."""


def chosen_peers(home: Home, names: Sequence[str]) -> list[Peer]:
    """Return the peers of a home, or those of some names.

    Raises:
        PeersError: ``peers.toml`` is missing, wrong or lists nobody.
        UnknownPeerError: It does not list one of the names.
    """
    peers = read_peers(peers_path(home))
    if not peers:
        raise PeersError(f"no peers to pull from: {peers_path(home)} lists none")
    unknown = sorted(set(names) - {peer.name for peer in peers})
    if unknown:
        known = ", ".join(peer.name for peer in peers)
        raise UnknownPeerError(f"no peer called {', '.join(unknown)} in {peers_path(home)}; there are {known}")
    return [peer for peer in peers if not names or peer.name in names]


class _Bars:
    """A bar per peer and module on a terminal, nothing otherwise."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def say(self, peer: str, module: str, objects: int, total: int | None) -> None:
        """Show how far a module is."""
        key = (peer, module)
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(f"{peer} {module}", total=total)
        self._progress.update(self._tasks[key], completed=objects, total=total)


def run(home: Home, names: Sequence[str], modules: Sequence[str], *, is_full: bool) -> str | None:
    """Pull from the peers of a home and print what came.

    Args:
        home: The home.
        names: Peers to ask; empty: all.
        modules: Modules to pull; empty: all.
        is_full: Read everything again.

    Returns:
        What failed, in one line; None if nothing did.

    Raises:
        PeersError: ``peers.toml`` is missing, wrong or lists nobody.
        UnknownPeerError: It does not list one of the names.
        PullBusyError: Another pull works on this home.
    """
    peers = chosen_peers(home, names)
    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        result = pull(home, peers, secret, modules=modules or MODULES, is_full=is_full, say=_Bars(progress).say)
    _print(result.records)
    return failure_of(result, len(peers))


def failure_of(result: PullResult, peers: int) -> str | None:
    """Say in one line what failed; None if nothing did. One message that several modules share is said once."""
    if not result.failures:
        return None
    messages: dict[tuple[str, str], list[str]] = {}
    for record in result.failures:
        messages.setdefault((record.peer, record.error or ""), []).append(record.module)
    told = "; ".join(f"{peer} ({', '.join(modules)}): {error}" for (peer, error), modules in messages.items())
    failed = len({record.peer for record in result.failures})
    return f"{failed} of {peers} peer(s) failed: {told}"


def _print(records: Sequence[PullRecord]) -> None:
    """Print a line per peer and module, then what was odd."""
    records = [record for record in records if record.status != "not_offered"]
    width = max((len(record.peer) for record in records), default=4)
    print(
        f"{'peer':<{width}}  {'module':<9}  {'status':<11}  {'pages':>7}  {'objects':>9}  {'landed':>9}  {'seconds':>8}"
    )
    for record in records:
        print(
            f"{record.peer:<{width}}  {record.module:<9}  {record.status:<11}  {record.pages:>7,}  "
            f"{record.objects:>9,}  {record.objects_landed:>9,}  {record.seconds:>8.1f}"
        )
    for record in records:
        for note in record.notes:
            print(f"note  {record.peer} {record.module}: {note}")


def check(home: Home, names: Sequence[str]) -> str | None:
    """Ask each peer for its version and modules, and print them; returns what failed, in one line.

    Raises:
        PeersError: ``peers.toml`` is missing, wrong or lists nobody.
        UnknownPeerError: It does not list one of the names.
    """
    results = check_peers(chosen_peers(home, names), secret)
    for result in results:
        if result.offer:
            print(
                f"{result.peer}: OCPI {result.offer.version}, offers {', '.join(result.offer.endpoints) or 'nothing'}"
            )
    failed = [f"{result.peer}: {result.error}" for result in results if result.error]
    return f"{len(failed)} of {len(results)} peer(s) failed: {'; '.join(failed)}" if failed else None
