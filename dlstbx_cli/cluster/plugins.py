"""The clusters that a site's Zocalo configuration names: its plugins ``slurm`` and ``iris``.

Keys as in ``zocalo.configuration.plugin_slurm``: url, api_version, user, user_token (a token,
or a file with one). To Zocalo, each of the two kinds is one cluster; here each plugin is one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlstbx_cli.cluster.login import VARIABLE, Login, of_text
from dlstbx_cli.cluster.rest import SlurmRest
from dlstbx_cli.cluster.source import TIMEOUT
from dlstbx_cli.services.errors import Misconfigured
from dlstbx_cli.services.held.names import is_name


@dataclass(frozen=True, slots=True)
class Given:
    """What options and environment say; it goes before what a plugin says.

    :param account: whose jobs are counted.
    :param token_file: option ``--slurm-token-file``.
    :param environ: the environment variables; SLURM_JWT is a token.
    :param version: of the API.
    :param timeout: seconds that a cluster may take to answer.
    """

    account: str
    environ: Mapping[str, str]
    user: str | None = None
    token_file: str | None = None
    version: str | None = None
    timeout: float = TIMEOUT

    def login(self) -> Login | None:
        """Return the login that is given, None without one.

        A user whom a plugin names goes with that plugin's token, and not with this one.
        """
        if self.token_file:
            return Login("--slurm-token-file", self.user, file=Path(self.token_file))
        token = self.environ.get(VARIABLE)
        return Login(VARIABLE, self.user, token=token) if token else None

    def rest(self, url: str) -> SlurmRest:
        """Return the way to the slurmrestd of a URL. Raises Misconfigured."""
        login = self.login()
        if login is None:
            raise Misconfigured(f"no token for {url}: give --slurm-token-file or {VARIABLE}")
        return SlurmRest(url, login, self.account, self.version, self.timeout)


def sources(plugins: Mapping[str, Mapping[str, Any]], given: Given) -> dict[str, SlurmRest]:
    """Return the way to each cluster, by the cluster's name.

    That is the plugin's key ``cluster``; without one, its kind (``slurm``, ``iris``), as for
    Zocalo's own services, or, where several plugins are of that kind, its own name. Of two
    that come to the same name the later one counts, as with all plugins. Raises Misconfigured.
    """
    kinds = Counter(plugin["plugin"] for plugin in plugins.values() if not plugin.get("cluster"))
    found = {}
    for name, plugin in plugins.items():
        origin, kind = f"plugin {name} of ZOCALO_CONFIG", str(plugin["plugin"])
        try:
            cluster = _cluster(plugin) or (kind if kinds[kind] == 1 else name)
            found[cluster] = _source(plugin, origin, given)
        except Misconfigured as error:
            raise Misconfigured(f"{origin}: {error}") from None
    return found


def _cluster(plugin: Mapping[str, Any]) -> str:
    name = _text(plugin, "cluster")
    if name and not is_name(name):
        raise Misconfigured("cluster must be a name, at most 100 characters")
    return name


def _source(plugin: Mapping[str, Any], origin: str, given: Given) -> SlurmRest:
    url, version = _text(plugin, "url"), given.version or _text(plugin, "api_version")
    if not url:
        raise Misconfigured("url is missing")
    login, token = given.login(), _text(plugin, "user_token")
    if login is None and token:
        user = given.user or _text(plugin, "user") or None
        login = of_text(token, user, f"user_token of the {origin}")
    if login is None:
        raise Misconfigured(f"no token: user_token is missing, and so is {VARIABLE}")
    return SlurmRest(url, login, given.account, version or None, given.timeout)


def _text(plugin: Mapping[str, Any], key: str) -> str:
    """Return a text of a plugin, empty without one. The error names no value."""
    value = plugin.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Misconfigured(f"{key} must be a text")
    return value
