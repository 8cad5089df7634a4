"""Every rule of every beamline, over all of beamline x event x class x detector.

The tables below are written independently of the rules: a row says where a rule holds and
which commands it plans there. In a command, ``$E`` is ``-eiger`` for an Eiger, ``$SYM``,
``$SG`` and ``$ABS`` are the parameters that follow from the sample, ``$SWEEPS`` is all of
the group, ``$AUTO(name)`` a trigger if that pipeline is preferred (or for a
characterization, where the table says so). A list within the list is planned once without
symmetry and, if a space group is known, again with it.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from dlstbx_cli.mimas import MimasISPyBAnomalousScatterer, MimasScenario, zocalo_command_line
from dlstbx_cli.mimas.core import plan
from dlstbx_cli.mimas.errors import RuleError
from dlstbx_cli.mimas.reasons import deciding
from dlstbx_cli.mimas.registry import OWN as OUR_NAMES
from dlstbx_cli.mimas.registry import load_handlers
from dlstbx_cli.mimas.rule import Family, Rule
from dlstbx_cli.mimas.space import leaves
from tests.mimas.scenarios import (
    BEAMLINES,
    CELL,
    CLASSES,
    DETECTORS,
    OTHER,
    OWN,
    P212121,
    commands,
    scenario,
)

MX = "i02-1 i03 i04 i04-1 i23 i24"
NOT_I03 = "i02-1 i04 i04-1 i23 i24"
I19 = "i19-1 i19-2"
SERIAL = "SERIAL_FIXED SERIAL_JET"
ROT = "ROTATION CHARACTERIZATION"
NOT_SERIAL = "CHARACTERIZATION DIAMOND_ANVIL_CELL GRIDSCAN ROTATION SCREENING UNDEFINED"
NEITHER = "CHARACTERIZATION DIAMOND_ANVIL_CELL ROTATION SCREENING UNDEFINED"
NOT_GRID = f"{NEITHER} {SERIAL}"
ANY = " ".join(CLASSES)
ALL_DETECTORS = "EIGER PILATUS None"
NOT_PILATUS = "EIGER None"

JOB = "ispyb.job --new --dcid=5 --source=automatic --recipe="
CC = "--add-param=resolution.cc_half_significance_level:0.1"
VMXM = (
    "--add-param=ice_rings.unit_cell:3.615,3.615,3.615,90,90,90"
    " --add-param=ice_rings.space_group:fm-3m"
    " --add-param=ice_rings.width:0.01"
    " --add-param=ice_rings.filter:true"
    " --add-param=failover:true"
    " --add-param=remove_blanks:true"
    " --add-param=spotfinder.filter.max_separation:8"
    " --add-param=spotfinder.threshold.dispersion.kernel_size:6,6"
    " --add-param=spotfinder.threshold.dispersion.sigma_background:3"
    " --add-param=spotfinder.threshold.dispersion.sigma_strong:1"
)
DAC = (
    "--add-param=dynamic_shadowing:true"
    " --add-param=ice_rings.filter:true"
    " --add-param=ice_rings.unit_cell:3.1652,3.1652,3.1652,90,90,90"
    " --add-param=ice_rings.space_group:Im-3m"
    " --add-param=ice_rings.width:0.01"
    " --add-param=scan_varying:true"
    " --add-param=resolution_range:999,15"
    " --add-param=keep_all_reflections:false"
    " --add-param=cc_half:none"
    " --add-param=isigma:2"
)


def go(*recipes: str) -> list[str]:
    return [f"zocalo.go -r {recipe} 5" for recipe in recipes]


ALIGN = f"{JOB}strategy-align-crystal --display='align_crystal' --trigger"
FAST_DP = f"{JOB}autoprocessing-fast-dp$E $SG --display='fast_dp' --trigger"
DIALS = f"{JOB}autoprocessing-xia2-dials$E {CC} $SYM $ABS --display='xia2 dials' $AUTO(xia2/DIALS)"
DIALS_VMXM = DIALS.replace("$ABS", f"{VMXM} $ABS")
OTHER_PIPELINES = [
    f"{JOB}autoprocessing-xia2-3dii$E {CC} $SYM --display='xia2 3dii' $AUTO(xia2/3dii)",
    f"{JOB}autoprocessing-autoPROC$E $SYM --display='autoPROC' $AUTO(autoPROC)",
]
MULTI = [
    f"{JOB}autoprocessing-multi-xia2-dials$E $SWEEPS {CC} $SYM $ABS --display='xia2 dials (multi)'",
    f"{JOB}autoprocessing-multi-xia2-3dii$E $SWEEPS {CC} $SYM --display='xia2 3dii (multi)'",
]
ROTATION_RECIPES = go("processing-rlv$E", "generate-diffraction-preview", "processing-mmcif-gen")
SSX = f"{JOB}autoprocessing-xia2-ssx-%s $SWEEPS $SYM --display='xia2.ssx' --trigger"
MOLECULE = f"{JOB}autoprocessing-multi-xia2-smallmolecule"
SMALL = f"{MOLECULE}%s $SWEEPS $SYM $ABS%s --display='xia2 dials' --trigger"
AIMLESS = f"{MOLECULE}-%s $SWEEPS $SYM%s --display='xia2 dials-aimless' --trigger"

# rule, beamlines, event, classes, detectors, only with another collection's sweep, commands
Row = tuple[str, str, str, str, str, bool | None, list[Any]]
TABLE: list[Row] = [
    ("pilatus-gridscan-start", MX, "START", "GRIDSCAN", "PILATUS", None,
     go("archive-cbfs", "per-image-analysis-gridscan")),
    ("pilatus-start", MX, "START", NEITHER, "PILATUS", None,
     go("archive-cbfs", "per-image-analysis-rotation")),
    ("i03-eiger-gridscan-start", "i03", "START", "GRIDSCAN", "EIGER", None,
     go("per-image-analysis-gridscan-i03-gpu")),
    ("i03-eiger-end", "i03", "END", "GRIDSCAN", "EIGER", None,
     go("per-image-analysis-gridscan-i03-no-really")),
    ("i03-eiger-end", "i03", "END", NOT_GRID, "EIGER", None,
     go("per-image-analysis-rotation-swmr")),
    ("eiger-end-images", "i02-1", "END", "GRIDSCAN", "EIGER", None,
     go("per-image-analysis-gridscan-swmr-vmxm")),
    ("eiger-end-images", "i04 i04-1 i23 i24", "END", "GRIDSCAN", "EIGER", None,
     go("per-image-analysis-gridscan-i03")),
    ("eiger-end-images", "i02-1", "END", NEITHER, "EIGER", None,
     go("per-image-analysis-rotation-swmr-vmxm")),
    ("eiger-end-images", "i04 i04-1 i23 i24", "END", NEITHER, "EIGER", None,
     go("per-image-analysis-rotation-swmr")),
    ("eiger-end-archive", MX, "END", ANY, "EIGER", None, go("archive-nexus")),
    ("screening-end", MX, "END", "SCREENING", ALL_DETECTORS, None,
     [*go("strategy-mosflm", "generate-diffraction-preview"), ALIGN]),
    ("characterization-end", MX, "END", "CHARACTERIZATION", ALL_DETECTORS, None,
     [*go("generate-diffraction-preview"), ALIGN]),
    ("rotation-end", "i02-1", "END", "ROTATION", ALL_DETECTORS, True,
     [*ROTATION_RECIPES[:2], FAST_DP, [DIALS_VMXM, *OTHER_PIPELINES, *MULTI]]),
    ("rotation-end", "i02-1", "END", "ROTATION", ALL_DETECTORS, False,
     [*ROTATION_RECIPES[:2], FAST_DP, [DIALS_VMXM, *OTHER_PIPELINES]]),
    ("rotation-end", "i02-1", "END", "CHARACTERIZATION", ALL_DETECTORS, None,
     [*ROTATION_RECIPES[:2], FAST_DP, [DIALS_VMXM, *OTHER_PIPELINES]]),
    ("rotation-end", "i03 i04 i04-1 i23 i24", "END", "ROTATION", ALL_DETECTORS, True,
     [*ROTATION_RECIPES, FAST_DP, [DIALS, *OTHER_PIPELINES, *MULTI]]),
    ("rotation-end", "i03 i04 i04-1 i23 i24", "END", "ROTATION", ALL_DETECTORS, False,
     [*ROTATION_RECIPES, FAST_DP, [DIALS, *OTHER_PIPELINES]]),
    ("rotation-end", "i03 i04 i04-1 i23 i24", "END", "CHARACTERIZATION", ALL_DETECTORS, None,
     [*ROTATION_RECIPES, FAST_DP, [DIALS, *OTHER_PIPELINES]]),
    ("vmxi-end", "i02-2", "END", ANY, ALL_DETECTORS, None, go("archive-nexus")),
    ("vmxi-gridscan-end", "i02-2", "END", "GRIDSCAN", ALL_DETECTORS, None,
     [*go("vmxi-spot-counts-per-image"), SSX % "eiger"]),
    ("vmxi-rotation-end", "i02-2", "END", ROT, ALL_DETECTORS, None, [
        *go("vmxi-per-image-analysis", "processing-mmcif-gen", "generate-diffraction-preview"),
        f"{JOB}autoprocessing-fast-dp-eiger --display='fast_dp' --trigger",
        f"{JOB}autoprocessing-xia2-dials-eiger-vmxi {CC} --add-param=remove_blanks:true"
        " --add-param=failover:true $ABS --display='xia2 dials' $PREFERRED(xia2/DIALS)",
        f"{JOB}autoprocessing-xia2-3dii-eiger {CC} --display='xia2 3dii' $PREFERRED(xia2/3dii)",
        f"{JOB}autoprocessing-autoPROC-eiger --display='autoPROC' $PREFERRED(autoPROC)",
    ]),
    ("ssx-pilatus-start", "i24", "START", SERIAL, "PILATUS", None, go("pia-index-ssx-pilatus")),
    ("ssx-eiger-start", "i24", "START", SERIAL, "EIGER", None, go("pia-index-ssx-swmr")),
    ("ssx-pilatus-end", "i24", "END", SERIAL, "PILATUS", None, [SSX % "pilatus"]),
    ("ssx-eiger-end", "i24", "END", SERIAL, "EIGER", None, [SSX % "eiger"]),
    ("i19-pilatus-start", I19, "START", ANY, "PILATUS", None,
     go("per-image-analysis-rotation-i19")),
    ("i19-pilatus-end", I19, "END", ANY, "PILATUS", None,
     go("archive-cbfs", "processing-rlv", "strategy-screen19")),
    ("i19-eiger-end", I19, "END", NOT_SERIAL, "EIGER", None,
     go("archive-nexus", "processing-rlv-eiger", "strategy-screen19-eiger",
        "per-image-analysis-rotation-swmr-i19")),
    ("i19-eiger-serial-end", I19, "END", SERIAL, "EIGER", None,
     [[(SMALL % ("-nexus", "")).replace("$SWEEPS", "--add-sweep=5:1:100")]]),
    ("i19-eiger-serial-group-end", I19, "END_GROUP", SERIAL, "EIGER", None,
     go("autoprocessing-i19serial-groupend")),
    ("i19-end", I19, "END", "DIAMOND_ANVIL_CELL", "PILATUS", None,
     [*go("generate-diffraction-preview"),
      [SMALL % ("", f" {DAC}"), AIMLESS % ("dials-aiml", f" {DAC}")]]),
    ("i19-end", I19, "END", f"{ROT} GRIDSCAN SCREENING UNDEFINED", "PILATUS", None,
     [*go("generate-diffraction-preview"), [SMALL % ("", ""), AIMLESS % ("dials-aiml", "")]]),
    ("i19-end", I19, "END", "DIAMOND_ANVIL_CELL", NOT_PILATUS, None,
     [*go("generate-diffraction-preview"),
      [SMALL % ("-nexus", f" {DAC}"), AIMLESS % ("d-a-nexus", f" {DAC}")]]),
    ("i19-end", I19, "END", f"{ROT} GRIDSCAN SCREENING UNDEFINED", NOT_PILATUS, None,
     [*go("generate-diffraction-preview"), [SMALL % ("-nexus", ""), AIMLESS % ("d-a-nexus", "")]]),
    ("i15-end", "i15", "END", ANY, ALL_DETECTORS, None,
     [*go("processing-rlv", "strategy-screen19", "per-image-analysis-rotation"),
      [SMALL % ("", ""), AIMLESS % ("dials-aiml", "")]]),
]  # fmt: skip

SG = "--add-param=spacegroup:P212121"
BOTH = f"{SG} --add-param=unit_cell:10,11,12,90,91.0,92"
SYMMETRIES = {
    "nothing known": ({}, ""),
    "cell only": ({"unitcell": CELL}, ""),
    "space group": ({"spacegroup": P212121}, SG),
    "both": ({"spacegroup": P212121, "unitcell": CELL}, BOTH),
}


def filled(template: str, candidate: MimasScenario, sym: str) -> str:
    detector = candidate.detectorclass
    sweeps = [f"--add-sweep={s.DCID}:{s.start}:{s.end}" for s in candidate.getsweepslistfromsamedcg]
    preferred = candidate.preferred_processing
    characterization = candidate.dcclass.name == "CHARACTERIZATION"

    def trigger(match: re.Match[str]) -> str:
        wanted = preferred == match[2] or (match[1] == "AUTO" and characterization)
        return "--trigger" if wanted else ""

    level = "high" if candidate.anomalous_scatterer else "medium"
    command = re.sub(r"\$(AUTO|PREFERRED)\((.*?)\)", trigger, template)
    for name, value in {
        "$E": "-eiger" if detector and detector.name == "EIGER" else "",
        "$SYM": sym,
        "$SG": SG if candidate.spacegroup else "",
        "$ABS": f"--add-param=absorption_level:{level}",
        "$SWEEPS": " ".join(sweeps),
    }.items():
        command = command.replace(name, value)
    return re.sub(r" +", " ", command).strip()


def expected(candidate: MimasScenario, point: tuple[str, ...], sym: str) -> list[tuple[str, str]]:
    """Return (rule, command) in order, as the tables say."""
    beamline, event, dcclass, detector = point
    several = any(sweep.DCID != 5 for sweep in candidate.getsweepslistfromsamedcg)
    found: dict[str, str] = {}
    for rule, beamlines, when, classes, detectors, multi, templates in TABLE:
        if (
            beamline not in beamlines.split()
            or event != when
            or dcclass not in classes.split()
            or detector not in detectors.split()
            or multi not in (None, several)
        ):
            continue
        for template in templates:
            if isinstance(template, str):
                found.setdefault(filled(template, candidate, sym), rule)
                continue
            for symmetry in ["", sym] if sym else [""]:
                for inner in template:
                    found.setdefault(filled(inner, candidate, symmetry), rule)
    return [(rule, command) for command, rule in found.items()]


SE = MimasISPyBAnomalousScatterer("Se")
SITUATIONS = [
    {},
    {"getsweepslistfromsamedcg": (OWN, OTHER), "preferred_processing": "xia2/DIALS"},
    {"getsweepslistfromsamedcg": [OTHER, OWN], "preferred_processing": "autoPROC"},
    {"preferred_processing": "xia2/3dii", "anomalous_scatterer": SE},
    {"preferred_processing": "mxia2/DIALS", "getsweepslistfromsamedcg": [OWN, OTHER]},
    {"preferred_processing": "XIA2/dials", "visit": None},
]  # fmt: skip


@pytest.mark.parametrize("known", SYMMETRIES)
@pytest.mark.parametrize("situation", SITUATIONS, ids=str)
def test_plans_are_those_of_the_tables_everywhere(known: str, situation: dict[str, Any]) -> None:
    symmetry, sym = SYMMETRIES[known]
    events = ("START", "END", "START_GROUP", "END_GROUP")
    planned = 0
    for beamline, event, dcclass, detector in itertools.product(
        BEAMLINES, events, CLASSES, DETECTORS
    ):
        candidate = scenario(beamline, event, dcclass, detector, **symmetry, **situation)
        answer = [(task.rule, zocalo_command_line(task.task)) for task in plan(candidate)]
        assert answer == expected(candidate, (beamline, event, dcclass, str(detector)), sym)
        planned += bool(answer)
    assert planned > 200


def our_rules() -> list[Rule]:
    families = [named.handler for named in load_handlers(OUR_NAMES)]
    return [rule for family in families if isinstance(family, Family) for rule in family.rules]


def test_every_condition_of_every_rule_tells_what_it_saw() -> None:
    candidate = scenario("i03", detector="EIGER", getsweepslistfromsamedcg=(OWN, OTHER))
    for rule in our_rules():
        for ask in rule.asks:
            condition = rule.when if ask.when is None else rule.when & ask.when
            assert " at 0x" not in f"{condition} {condition.label}"
            assert all(leaf.saw(candidate) for leaf in leaves(condition))


def test_explanation_of_a_job_that_is_not_asked_for() -> None:
    rule = our_rules()[8]
    job = next(a for a in rule.asks if a.recipe == "autoprocessing-multi-xia2-dials-eiger-cloud")
    assert job.when
    candidate = scenario("i03", detector="EIGER")
    found = [part for each in job.when.parts for part in deciding(each, candidate)]
    assert [(part.condition, part.holds, part.saw) for part in found] == [
        ("is_eiger", True, "detectorclass is EIGER"),
        (
            "autoprocessing-multi-xia2-dials is offered the cloud",
            False,
            "beamline is i03, visit is nt28218-1, offers []",
        ),
        ("preferred pipeline is mxia2/DIALS", False, "preferred_processing is None"),
        ("is_characterization", False, "dcclass is ROTATION"),
        ("is_rotation", True, "dcclass is ROTATION"),
        ("several_collections", False, "DCID is 5, sweeps of 5"),
    ]


def test_every_rule_of_the_tables_exists_and_no_other() -> None:
    rules = [rule.name for rule in our_rules()]
    in_tables = list(dict.fromkeys(row[0] for row in TABLE))
    in_tables.insert(in_tables.index("vmxi-end"), "vmxi-start")  # plans nothing
    assert rules == in_tables


def test_largest_plan_whole() -> None:
    candidate = scenario(
        "i03",
        "END",
        "ROTATION",
        "PILATUS",
        spacegroup=P212121,
        unitcell=CELL,
        getsweepslistfromsamedcg=(OWN, OTHER),
        preferred_processing="autoPROC",
    )
    job = "ispyb.job --new --dcid=5 --source=automatic --recipe=autoprocessing-"
    cc = "--add-param=resolution.cc_half_significance_level:0.1"
    sym = "--add-param=spacegroup:P212121 --add-param=unit_cell:10,11,12,90,91.0,92"
    medium = "--add-param=absorption_level:medium"
    sweeps = "--add-sweep=5:1:100 --add-sweep=6:1:200"
    assert commands(candidate) == [
        "zocalo.go -r processing-rlv 5",
        "zocalo.go -r generate-diffraction-preview 5",
        "zocalo.go -r processing-mmcif-gen 5",
        f"{job}fast-dp --add-param=spacegroup:P212121 --display='fast_dp' --trigger",
        f"{job}xia2-dials {cc} {medium} --display='xia2 dials'",
        f"{job}xia2-3dii {cc} --display='xia2 3dii'",
        f"{job}autoPROC --display='autoPROC' --trigger",
        f"{job}multi-xia2-dials {sweeps} {cc} {medium} --display='xia2 dials (multi)'",
        f"{job}multi-xia2-3dii {sweeps} {cc} --display='xia2 3dii (multi)'",
        f"{job}xia2-dials {cc} {sym} {medium} --display='xia2 dials'",
        f"{job}xia2-3dii {cc} {sym} --display='xia2 3dii'",
        f"{job}autoPROC {sym} --display='autoPROC' --trigger",
        f"{job}multi-xia2-dials {sweeps} {cc} {sym} {medium} --display='xia2 dials (multi)'",
        f"{job}multi-xia2-3dii {sweeps} {cc} {sym} --display='xia2 3dii (multi)'",
    ]


def test_same_task_of_two_rules_is_planned_once() -> None:
    planned = plan(scenario("i03", "END", "CHARACTERIZATION", "PILATUS"))
    previews = [t for t in planned if t.task.recipe == "generate-diffraction-preview"]
    assert [(task.rule, task.also) for task in previews] == [
        ("characterization-end", ("rotation-end",))
    ]
    assert planned[0] == previews[0]


@pytest.mark.parametrize("sweeps", [(), (OTHER,), (OWN, OWN), (OWN, OTHER, OWN)])
@pytest.mark.parametrize("dcclass", SERIAL.split())
def test_i19_serial_needs_exactly_one_own_sweep(sweeps: Any, dcclass: str) -> None:
    candidate = scenario("i19-2", "END", dcclass, "EIGER", getsweepslistfromsamedcg=sweeps)
    with pytest.raises(RuleError, match=r"i19-eiger-serial-end.*exactly one sweep.* 5, not [02]"):
        plan(candidate)


def test_no_rule_matches_no_plan() -> None:
    assert commands(scenario("b99")) == []
    assert commands(scenario(None)) == []
