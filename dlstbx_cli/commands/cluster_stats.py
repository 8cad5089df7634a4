"""``cluster-stats``: how many jobs wait and run on a cluster."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Sequence
from typing import Any

import click

from dlstbx_cli.commands import options
from dlstbx_cli.commands.base import CONFIGURATION, DONE, TRY_AGAIN, Run, command
from dlstbx_cli.commands.metering import Metering, metered
from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.services.held.names import is_name
from dlstbx_cli.services.held.statistics import TOPIC
from dlstbx_cli.services.meter import Meter

EXAMPLES = """\
cluster-stats --squeue
cluster-stats --squeue 'ssh head' --send
cluster-stats --slurm-url https://slurm.example.org:6820 --slurm-token-file token
cluster-stats --squeue | backlog-release --once
cluster-stats --squeue --listen"""

#: The cluster of options, which name none.
_DEFAULT = "slurm"
_ACCOUNT = re.compile(r"[\w.@+-]+", re.ASCII)
_VERSION = re.compile(r"v\d+\.\d+\.\d+", re.ASCII)


def _no_token(context: click.Context, option: click.Parameter, value: str | None) -> None:
    del context, option
    if value is not None:
        raise click.UsageError(
            "--slurm-token: a token on the command line is visible to all; "
            "use --slurm-token-file, SLURM_JWT or ZOCALO_CONFIG."
        )


@command("cluster-stats", EXAMPLES)
@click.option("--slurm-url", metavar="URL", help="Ask this slurmrestd (https://HOST:PORT).")
@click.option("--slurm-user", metavar="USER", help="User for it; default: the token's.")
@click.option(
    "--slurm-token-file",
    metavar="FILE",
    help="File with the token (JWT), read anew at each call (or SLURM_JWT, ZOCALO_CONFIG).",
)
@click.option(
    "--slurm-token",
    metavar="TOKEN",
    callback=_no_token,
    expose_value=False,
    help="Refused, all could read it: use --slurm-token-file.",
)
@click.option(
    "--slurm-api", metavar="VERSION", help="Version of its API (v0.0.38); default: the newest."
)
@click.option(
    "--squeue",
    is_flag=False,
    flag_value="",
    metavar="[PREFIX]",
    help="Ask squeue instead, run by a command such as 'ssh head'.",
)
@click.option(
    "--cluster",
    "clusters",
    multiple=True,
    metavar="NAME",
    help="Name of the cluster; of those in ZOCALO_CONFIG, the one to ask (may be repeated).",
)
@click.option(
    "--account",
    default="gda2",
    show_default=True,
    metavar="NAME",
    help="Account whose jobs are counted.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0.1),
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="Longest wait for a cluster.",
)
@click.option("--send", is_flag=True, help="Broadcast the statistic, do not print it.")
@click.option("--listen", is_flag=True, help="Broadcast it again and again, for ever.")
@click.option(
    "--interval",
    type=click.FloatRange(min=1),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two looks with --listen.",
)
@options.broker
@metered
def main_command(
    run: Run,
    send: bool,
    listen: bool,
    interval: float,
    broker: str | None,
    metrics_port: int | None,
    metrics_host: str,
    **where: Any,
) -> int:
    """Count the jobs of an account on a Slurm cluster, by state.

    Asks slurmrestd or squeue once, and prints the statistic as a line for the topic
    transient.statistics.cluster, from which backlog-release and mimas-plan know how many
    jobs wait. Clusters come from the options, or from the plugins slurm and iris of the
    Zocalo configuration.
    """
    from contextlib import ExitStack

    from dlstbx_cli.cluster.watch import Watch

    metering = Metering(listen, metrics_port, metrics_host)
    if send and listen:
        raise click.UsageError("--send is for one look: --listen sends anyway.")
    watch = Watch(_sources(run, **where), where["timeout"])
    try:
        if listen:
            url = options.broker_url(run, broker)
            with ExitStack() as stack:
                meter = metering.start(stack, run.name, TOPIC)
                return _listen(watch, lambda: _connected(run, url), interval, meter)
        return _once(run, watch, _connected(run, options.broker_url(run, broker)) if send else None)
    finally:
        watch.close()


main = main_command.main


def _sources(
    run: Run,
    slurm_url: str | None,
    slurm_user: str | None,
    slurm_token_file: str | None,
    slurm_api: str | None,
    squeue: str | None,
    clusters: tuple[str, ...],
    account: str,
    timeout: float,
) -> dict[str, Any]:
    """Return the way to each cluster by its name. Raises UsageError, Misconfigured."""
    from dlstbx_cli.cluster.plugins import Given

    _check(slurm_url, squeue, clusters, account, slurm_api)
    given = Given(account, os.environ, slurm_user, slurm_token_file, slurm_api, timeout)
    if squeue is None and slurm_url is None:
        return _of_plugins(run, given, clusters)
    if squeue is None:
        options.refuse_password(slurm_url, "--slurm-url")
        source: Any = given.rest(str(slurm_url))
    elif given.user or slurm_token_file or slurm_api:
        raise click.UsageError("--squeue goes without the options of slurmrestd (--slurm-*).")
    else:
        source = _squeue(account, squeue, timeout)
    return {clusters[0] if clusters else _DEFAULT: source}


def _check(
    slurm_url: str | None,
    squeue: str | None,
    clusters: tuple[str, ...],
    account: str,
    slurm_api: str | None,
) -> None:
    if slurm_url is not None and squeue is not None:
        raise click.UsageError("--slurm-url and --squeue exclude each other.")
    if (slurm_url is not None or squeue is not None) and len(clusters) > 1:
        raise click.UsageError("--slurm-url and --squeue are one cluster: one --cluster.")
    if not all(map(is_name, clusters)):
        raise click.UsageError("--cluster takes a name, at most 100 characters.")
    if not _ACCOUNT.fullmatch(account):
        raise click.UsageError(f"--account takes the name of an account, not {account!r}.")
    if slurm_api is not None and not _VERSION.fullmatch(slurm_api):
        raise click.UsageError(f"--slurm-api takes a version such as v0.0.40, not {slurm_api!r}.")


def _of_plugins(run: Run, given: Any, clusters: tuple[str, ...]) -> dict[str, Any]:
    from dlstbx_cli.cluster.plugins import sources

    found = sources(run.configuration.slurm(), given)
    if not found:
        raise Misconfigured(
            "no cluster is configured: give --slurm-url or --squeue, or name one in the Zocalo "
            "configuration (plugin slurm)"
        )
    unknown = [name for name in clusters if name not in found]
    if unknown:
        raise Misconfigured(
            f"--cluster {unknown[0]}: ZOCALO_CONFIG has no such cluster, only {', '.join(found)}"
        )
    return {name: source for name, source in found.items() if not clusters or name in clusters}


def _squeue(account: str, prefix: str, timeout: float) -> Any:
    from dlstbx_cli.cluster.squeue import Squeue

    try:
        return Squeue(account, shlex.split(prefix), timeout)
    except ValueError as error:
        raise click.UsageError(f"--squeue {prefix!r}: {error}.") from None


def _connected(run: Run, url: str) -> Any:
    from dlstbx_cli.transport.broker import connect

    return connect(url, scratch=run.configuration.home)


def _once(run: Run, watch: Any, broker: Any) -> int:
    """Print or send what a look gives. A cluster that cannot be asked is no reason to wait."""
    from contextlib import ExitStack, closing

    from dlstbx_cli.cluster.monitor import once
    from dlstbx_cli.transport.lines import Output
    from dlstbx_cli.transport.link import OutputClosed
    from dlstbx_cli.transport.stop import Stop

    with ExitStack() as stack:
        stop = stack.enter_context(Stop())
        emit = stack.enter_context(closing(broker)).send if broker else Output().emit
        try:
            failures = once(watch, emit, lambda: stop.requested)
        except OutputClosed:
            return DONE
    for failure in failures:
        run.say(str(failure))
    if any(isinstance(failure, Misconfigured) for failure in failures):
        return CONFIGURATION
    return TRY_AGAIN if failures else DONE


def _listen(watch: Any, connect: Callable[[], Any], interval: float, meter: Meter) -> int:
    """Broadcast until told to stop; that ends at once, whatever waits for an answer then."""
    import threading

    from dlstbx_cli.cluster.monitor import listen
    from dlstbx_cli.transport.stop import Stop

    failure: list[Exception] = []
    with Stop() as stop:

        def work() -> None:
            try:
                sender = _Sender(connect)
                listen(watch, sender, interval, lambda: stop.requested, meter)
                sender.close()
            except Exception as error:  # whatever it is, it ends the command
                failure.append(error)
                stop.request()

        # The broker too may hang: it is used by a thread that need not be waited for.
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while not stop.wait(60):
            pass
        thread.join(0.5)
    if failure:
        raise failure[0]
    return DONE


class _Sender:
    """A broker that is connected when there is something to send, and anew after a failure."""

    def __init__(self, connect: Callable[[], Any]) -> None:
        self._connect = connect
        self._broker: Any = None

    def __call__(self, messages: Sequence[Any]) -> None:
        if self._broker is None:
            self._broker = self._connect()
        try:
            self._broker.send(messages)
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection, if there is one."""
        broker, self._broker = self._broker, None
        if broker is not None:
            broker.close()
