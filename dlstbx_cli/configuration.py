"""Where settings come from: option, environment, Zocalo configuration, embedded default.

The first that is given wins. Each setting knows where it came from, for error messages.
Reading a Zocalo configuration costs a tenth of a second: it is read when a setting is
asked for that neither an option nor the environment gives.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlstbx_cli.services.errors import Misconfigured

_PLUGIN = "plugin stomp of ZOCALO_CONFIG"
_SETTINGS = "dlstbx.broker"


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and where it came from, in words for people."""

    value: str
    origin: str


class Configuration:
    """The settings of one run of a command.

    :param environments: Zocalo environments to activate (option ``-e``).
    :param notice: told, in one line and once, when a command falls back on an embedded default.
    :param environ: the environment variables.
    """

    def __init__(
        self,
        environments: Sequence[str] = (),
        notice: Callable[[str], None] = lambda _: None,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._environments = tuple(environments)
        self._notice = functools.cache(notice)
        self._environ = environ

    def broker(self, option: str | None = None) -> Setting:
        """Return the broker's URL. Raises Misconfigured."""
        given = self._given(option, "--broker", "DLSTBX_BROKER") or self._zocalo_stomp()
        if given:
            return _whole(given)
        return self._embedded("broker", "queue.sqlite3", "--broker or DLSTBX_BROKER")

    def stomp(self, parts: Mapping[str, str]) -> Setting:
        """Return the URL of a STOMP broker of which some parts are given.

        :param parts: any of ``host``, ``port``, ``username``, ``password``, ``prefix``. The
            others are those of the first STOMP broker that is configured, or else those
            that ``zocalo.go`` has by default.

        Raises Misconfigured.
        """
        from dlstbx_cli.stomp_url import LOCAL, StompUrl, is_stomp

        base = self._given(None, "", "DLSTBX_BROKER")
        if base is None or not is_stomp(base.value):
            base = self._zocalo_stomp()
        if base is None:
            return Setting(LOCAL.changed(parts).text, "--stomp-*")
        known = StompUrl.parse(_whole(base).value)
        if known is None:
            raise Misconfigured(f"{base.origin} is no URL that --stomp-* can change")
        return Setting(known.changed(parts).text, "--stomp-*")

    def ispyb(self, option: str | None = None) -> Setting:
        """Return the SQLAlchemy URL of the ISPyB database. Raises Misconfigured."""
        given = self._given(option, "--ispyb", "DLSTBX_ISPYB")
        if given:
            return _whole(given)
        credentials = self._environ.get("ISPYB_CREDENTIALS")
        if credentials:
            from dlstbx_cli.database.connection import url_from_credentials

            return Setting(url_from_credentials(credentials), "ISPYB_CREDENTIALS")
        options = "--ispyb, DLSTBX_ISPYB or ISPYB_CREDENTIALS"
        return self._embedded("ISPyB", "ispyb.sqlite3", options)

    def ispyb_writer(self, option: str | None = None) -> str | None:
        """Return the URL for writing jobs, if it is another one than for reading.

        A credentials file may have a user of its own for the stored procedures. Raises
        Misconfigured.
        """
        credentials = self._environ.get("ISPYB_CREDENTIALS")
        if self._given(option, "--ispyb", "DLSTBX_ISPYB") or not credentials:
            return None
        from dlstbx_cli.database.connection import writer_url_from_credentials

        return writer_url_from_credentials(credentials)

    def state(self, option: str | None = None) -> Setting:
        """Return the SQLAlchemy URL of the state store (jobs begun)."""
        given = self._given(option, "--state", "DLSTBX_STATE")
        if given:
            return _whole(given)
        return Setting(self._default_url("state.sqlite3"), "the default")

    def recipes(self, option: str | None = None) -> Path:
        """Return the directory of the recipes."""
        from dlstbx_cli.recipes import SHIPPED

        given = self._given(option, "--recipes", "DLSTBX_RECIPES")
        return self._directory(given, "zocalo.recipe_directory", SHIPPED)

    def logbook(self, option: str | None = None) -> Path | None:
        """Return the directory of the logbook, None without one."""
        given = self._given(option, "--logbook", "DLSTBX_LOGBOOK")
        return self._path(given, "zocalo.dispatcher.logbook_location")

    def overrides(self, option: str | None = None) -> Path | None:
        """Return the file of the rules' overrides, None without one."""
        given = self._given(option, "--overrides", "DLSTBX_OVERRIDES")
        return self._path(given, "dlstbx.overrides")

    def records(self, option: str | None = None) -> Path | None:
        """Return the directory of the records of plans, None without one."""
        return self._path(self._given(option, "--record", "DLSTBX_RECORDS"), "dlstbx.records")

    def drop_dir(self, option: str | None = None) -> Path:
        """Return the directory where triggers are stored while the broker is away."""
        given = self._given(option, "--drop-dir", "DLSTBX_DROP_DIR")
        return self._directory(given, "zocalo.go.fallback_location", self.home / "drop")

    def slurm(self) -> Mapping[str, Mapping[str, Any]]:
        """Return the plugins ``slurm`` and ``iris`` of the Zocalo configuration, by name."""
        plugins: Mapping[str, Mapping[str, Any]] = self._site.slurm
        return plugins

    @functools.cached_property
    def home(self) -> Path:
        """The directory of the embedded defaults: ``DLSTBX_HOME``."""
        given = self._environ.get("DLSTBX_HOME")
        if given:
            return Path(given).absolute()
        data = self._environ.get("XDG_DATA_HOME") or str(Path.home() / ".local/share")
        return Path(data).absolute() / "dlstbx"

    @functools.cached_property
    def zocalo(self) -> Any:
        """The activated Zocalo configuration, None without one. Raises Misconfigured."""
        path = self._environ.get("ZOCALO_CONFIG")
        if not path:
            if self._environments:
                raise Misconfigured("-e needs a Zocalo configuration: set ZOCALO_CONFIG")
            return None
        return _activated(path, self._environments)

    @functools.cached_property
    def _site(self) -> Any:
        """The plugins that we read, quickly if the configuration is of the usual form."""
        from dlstbx_cli.site_configuration import SLURM, SiteConfiguration, read

        path = self._environ.get("ZOCALO_CONFIG")
        default = self._environ.get("ZOCALO_DEFAULT_ENV")
        chosen = self._environments or ((default,) if default else ())
        quick = read(Path(path), chosen) if path else None
        if quick is not None:
            return quick
        # Also what says that -e is given without any configuration.
        zocalo = self.zocalo
        storage = getattr(zocalo, "storage", None) or {}
        return SiteConfiguration(
            storage,
            _plugin_of(zocalo, "stomp"),
            _plugin_of(zocalo, "rabbitmqapi"),
            _plugins_of(zocalo, SLURM),
        )

    @property
    def storage(self) -> Mapping[str, Any]:
        """The plugin ``storage`` of the Zocalo configuration; empty without one."""
        storage: Mapping[str, Any] = self._site.storage
        return storage

    def _given(self, option: str | None, flag: str, variable: str) -> Setting | None:
        if option:
            return Setting(option, flag)
        value = self._environ.get(variable)
        return Setting(value, variable) if value else None

    def _path(self, given: Setting | None, key: str) -> Path | None:
        value = given.value if given else self.storage.get(key)
        return Path(str(value)).absolute() if value else None

    def _directory(self, given: Setting | None, key: str, default: Path) -> Path:
        return self._path(given, key) or default

    def _embedded(self, what: str, name: str, advice: str) -> Setting:
        setting = Setting(self._default_url(name), "the embedded default")
        path = self.home / name
        self._notice(f"no {what} is configured: using the embedded one, {path} ({advice})")
        return setting

    def _default_url(self, name: str) -> str:
        return f"sqlite:///{self.home / name}"

    def _zocalo_stomp(self) -> Setting | None:
        stomp = self._site.stomp
        settings = self.storage.get(_SETTINGS) or {}
        if stomp is None:
            if settings:
                # The embedded broker in its place would be a surprise.
                raise Misconfigured(
                    f"{_SETTINGS} of ZOCALO_CONFIG needs the plugin stomp beside it"
                )
            return None
        from dlstbx_cli.stomp_url import of_plugins

        try:
            return Setting(of_plugins(stomp, settings, self._site.rabbitmqapi), _PLUGIN)
        except Misconfigured as error:
            raise Misconfigured(f"{_PLUGIN} with {_SETTINGS}: {error}") from None


def _whole(given: Setting) -> Setting:
    """Return a setting with the password that its URL has in a file. Raises Misconfigured."""
    if "?" not in given.value:
        return given
    from dlstbx_cli.urls import with_password

    return Setting(with_password(given.value, given.origin), given.origin)


def _plugin_of(zocalo: Any, kind: str) -> Mapping[str, Any] | None:
    """Return the last activated plugin of a kind: not every activation gives it back."""
    plugins = _plugins_of(zocalo, (kind,))
    return plugins[next(reversed(plugins))] if plugins else None


def _plugins_of(zocalo: Any, kinds: Sequence[str]) -> dict[str, Mapping[str, Any]]:
    """Return the activated plugins of some kinds by name, in the order of activation."""
    found: dict[str, Mapping[str, Any]] = {}
    if zocalo is not None:
        for environment in zocalo.active_environments:
            for name in zocalo._environments[environment]:
                plugin = zocalo._plugin_configurations.get(name)
                if isinstance(plugin, dict) and plugin.get("plugin") in kinds:
                    found.pop(name, None)
                    found[name] = plugin
    return found


def _activated(path: str, environments: Sequence[str]) -> Any:
    from zocalo import ConfigurationError
    from zocalo.configuration import from_file

    try:
        configuration = from_file(path)
        configuration.activate(list(environments))
    except (ConfigurationError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise Misconfigured(f"the Zocalo configuration {path} cannot be used: {reason}") from None
    return configuration
