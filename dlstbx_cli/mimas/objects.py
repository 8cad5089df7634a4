"""The values that rules speak in: scenarios, what is known of a sample, and invocations.

All of them are immutable and know nothing of files, databases or brokers. They are plain
records: ``dlstbx_cli.mimas.validate`` says whether one makes sense. The crystallographic
library is loaded only when a space group or an element is looked at.
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


class MimasEvent(enum.Enum):
    """What happened: a data collection, or a group of them, has started or ended."""

    START = "START"
    END = "END"
    START_GROUP = "START_GROUP"
    END_GROUP = "END_GROUP"

    __hash__ = object.__hash__  # members are singletons: no need for Enum's slower one


class MimasDCClass(enum.Enum):
    """What kind of experiment a data collection is."""

    CHARACTERIZATION = "CHARACTERIZATION"
    DIAMOND_ANVIL_CELL = "DIAMOND_ANVIL_CELL"
    GRIDSCAN = "GRIDSCAN"
    ROTATION = "ROTATION"
    SCREENING = "SCREENING"
    SERIAL_FIXED = "SERIAL_FIXED"
    SERIAL_JET = "SERIAL_JET"
    UNDEFINED = "UNDEFINED"

    __hash__ = object.__hash__


class MimasDetectorClass(enum.Enum):
    """Which family a detector is of: it decides how images are stored."""

    EIGER = "EIGER"
    PILATUS = "PILATUS"

    __hash__ = object.__hash__


@dataclass(frozen=True)
class MimasISPyBSweep:
    """Images *start* to *end*, both included, of data collection *DCID*."""

    DCID: int
    start: int
    end: int


@dataclass(frozen=True)
class MimasISPyBUnitCell:
    """A unit cell: lengths in Ångström, angles in degrees."""

    a: float
    b: float
    c: float
    alpha: float
    beta: float
    gamma: float

    @functools.cached_property
    def string(self) -> str:
        """The six values joined by commas, exactly as given: ``10,11,12,90,91.0,92``."""
        return f"{self.a},{self.b},{self.c},{self.alpha},{self.beta},{self.gamma}"


@dataclass(frozen=True)
class MimasISPyBSpaceGroup:
    """A space group, by any symbol that gemmi knows."""

    symbol: str

    @property
    def string(self) -> str:
        """Gemmi's Hermann-Mauguin symbol without spaces and setting: ``R 3 2:H`` is ``R32``.

        Raises ValueError for a symbol that gemmi does not know.
        """
        return _space_group_name(self.symbol)


@dataclass(frozen=True)
class MimasISPyBAnomalousScatterer:
    """The element whose anomalous signal the experiment is after, by its symbol."""

    symbol: str

    @property
    def string(self) -> str:
        """Gemmi's name of the element: ``se`` is ``Se``."""
        import gemmi

        return gemmi.Element(self.symbol).name


@dataclass(frozen=True)
class MimasISPyBParameter:
    """One parameter of a processing job: a key and its value, both text."""

    key: str
    value: str


@dataclass(frozen=True)
class MimasISPyBTriggerVariable:
    """One variable of the message that starts a job (not stored with the job)."""

    key: str
    value: str


@dataclass(frozen=True)
class MimasScenario:
    """One event of one data collection, with all that the rules may look at.

    :param runstatus: how the collection ended, in ISPyB's words.
    :param getsweepslistfromsamedcg: all sweeps of the collection's group, its own included.
    :param preferred_processing: the name of the visit's preferred pipeline (``xia2/DIALS``).
    :param cloudbursting: the cloud offers, as ``dlstbx_cli.mimas.cloud`` describes them.
    """

    DCID: int
    dcclass: MimasDCClass
    event: MimasEvent
    beamline: str | None
    visit: str | None
    runstatus: str | None
    spacegroup: MimasISPyBSpaceGroup | None = None
    unitcell: MimasISPyBUnitCell | None = None
    getsweepslistfromsamedcg: Sequence[MimasISPyBSweep] = ()
    preferred_processing: str | None = None
    detectorclass: MimasDetectorClass | None = None
    anomalous_scatterer: MimasISPyBAnomalousScatterer | None = None
    cloudbursting: Sequence[Any] | None = None


@dataclass(frozen=True)
class MimasRecipeInvocation:
    """Run this recipe on this data collection now."""

    DCID: int
    recipe: str


@dataclass(frozen=True)
class MimasISPyBJobInvocation:
    """Create a ProcessingJob in ISPyB.

    :param autostart: start it at once (trigger), or wait for room on the cluster (hold).
    :param source: who asks; the rules are ``automatic``.
    :param sweeps: none means: all images of the data collection.
    """

    DCID: int
    autostart: bool
    recipe: str
    source: str
    comment: str = ""
    displayname: str = ""
    parameters: Sequence[MimasISPyBParameter] = ()
    sweeps: Sequence[MimasISPyBSweep] = ()
    triggervariables: Sequence[MimasISPyBTriggerVariable] = ()


Invocation = MimasRecipeInvocation | MimasISPyBJobInvocation


@functools.lru_cache(maxsize=1024)
def _space_group_name(symbol: str) -> str:
    import gemmi

    return gemmi.SpaceGroup(symbol).hm.replace(" ", "")
