"""The demo facility as tables to read and to extend: visits, samples, and what was collected.

One line of ``GROUPS`` is a data collection group. Numbers and times follow from the order
of the lines: add new ones at the end, and the DCIDs that people know stay as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

#: The first DCID and the first group; the others follow one by one.
FIRST_DCID = 993677
FIRST_GROUP = 988855

Cell = tuple[float, float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Detector:
    """A detector: its model and where it stands; ``cbf`` files have one image each."""

    model: str
    manufacturer: str
    pixels: tuple[int, int]
    suffix: str


@dataclass(frozen=True, slots=True)
class Kind:
    """How a kind of data collection looks in ISPyB.

    :param overlap: of one image with the next, in degrees (negative: a gap); 0 for a sweep.
    :param width: of one image in degrees.
    """

    experiment_type: str
    overlap: float
    width: float
    exposure: float


@dataclass(frozen=True, slots=True)
class Visit:
    """A visit, such as ``mx37124-8``: beamline, first day, wavelength in Angstrom.

    :param directory: where its data are, if not at ``/dls/BEAMLINE/data/YEAR/VISIT``.
    """

    name: str
    beamline: str
    start: str
    wavelength: float
    title: str
    directory: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample of a protein or compound, with what its owner knows about the crystal.

    :param pin: the place of its pin in the puck and its own on it, if the pin holds several.
    """

    name: str
    protein: str
    space_group: str | None = None
    cell: Cell | None = None
    scatterer: str | None = None
    pipeline: str = "xia2/DIALS"
    smiles: str | None = None
    pin: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Scan:
    """An energy scan of a sample: the edge's energies in eV, each with f' and f''."""

    visit: str
    sample: str
    element: str
    peak: tuple[float, float, float]
    inflection: tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Model:
    """A model that a protein is linked with: in the Protein Data Bank, or as a text."""

    protein: str
    source: str
    code: str | None = None
    name: str | None = None
    contents: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens to a sample while an image is taken, with times in seconds."""

    kind: str
    offset: float
    duration: float
    repetition: float


@dataclass(frozen=True, slots=True)
class Group:
    """A data collection group: the same sample, one or more collections of one kind.

    :param path: the directory below the visit and the file prefix.
    :param images: of each collection; for a grid (columns, rows).
    :param collections: how many, numbered from 1.
    :param running: whether the last one has not ended yet.
    """

    visit: str
    sample: str | None
    path: str
    kind: str
    detector: str | None
    images: int | tuple[int, int]
    collections: int = 1
    running: bool = False


PIPELINES = (
    "Mosflm",
    "EDNA",
    "Fast DP",
    "xia2/XDS",
    "xia2/Multiplex",
    "xia2/DIALS",
    "xia2/3dii",
    "autoPROC",
)

DETECTORS = {
    "E16M": Detector("Eiger2 XE 16M", "Dectris", (4148, 4362), "h5"),
    "E9M-CdTe": Detector("Eiger2 X CdTe 9M", "Dectris", (3108, 3262), "h5"),
    "E9M": Detector("Eiger2 X 9M", "Dectris", (3108, 3262), "h5"),
    "E4M": Detector("Eiger2 X 4M", "Dectris", (2068, 2162), "h5"),
    "E4M-CdTe": Detector("Eiger2 X CdTe 4M", "Dectris", (2068, 2162), "h5"),
    "P6M": Detector("Pilatus3 6M", "Dectris", (2463, 2527), "cbf"),
    "P6M-F": Detector("PILATUS 6M-F", "Dectris", (2463, 2527), "cbf"),
    "P2M-CdTe": Detector("Pilatus3 X CdTe 2M", "Dectris", (1475, 1679), "cbf"),
    "P300K": Detector("Pilatus 300K", "Dectris", (487, 619), "cbf"),
}

KINDS = {
    "rotation": Kind("SAD", 0.0, 0.1, 0.004),
    "grid": Kind("Mesh", 0.0, 0.0, 0.004),
    "screening": Kind("Screening", -44.5, 0.5, 0.1),
    "characterization": Kind("Characterization", -44.5, 0.5, 0.1),
    "serial fixed": Kind("Serial Fixed", 0.0, 0.0, 0.01),
    "serial jet": Kind("Serial Jet", 0.0, 0.0, 0.002),
    "diamond anvil": Kind("Diamond Anvil High Pressure", 0.0, 0.2, 0.5),
}

VISITS = (
    Visit("mx37124-8", "i03", "2026-02-03", 0.97625, "Kinases and their inhibitors"),
    Visit("mx38015-14", "i03", "2026-02-11", 0.97918, "Phasing of membrane transporters"),
    Visit("cm40607-1", "i03", "2026-01-20", 0.97625, "I03 Commissioning Directory 2026"),
    Visit("nt39881-3", "i04", "2026-02-05", 0.95374, "Fragment screening, industrial"),
    Visit("mx36702-21", "i04", "2026-03-17", 0.97950, "Structural virology"),
    Visit("mx37045-5", "i24", "2026-02-24", 0.99990, "Time-resolved enzymology on chips"),
    Visit("mx38310-2", "i24", "2026-03-03", 0.68880, "Microcrystals of amyloids"),
    Visit("cy36188-2", "i19-2", "2026-02-17", 0.68890, "Spin-crossover frameworks"),
    Visit("cy39950-4", "i19-2", "2026-03-10", 0.48590, "Ice and clathrates under pressure"),
    Visit(
        "mx37910-33",
        "i02-2",
        "2026-02-19",
        0.97910,
        "In situ screening of crystallisation plates",
        directory="/dls/mx/data/mx37910/mx37910-33",
    ),
    Visit("cm40611-1", "i15", "2026-01-27", 0.42460, "I15 Commissioning Directory 2026"),
    Visit("mx38244-2", "i02-1", "2026-03-24", 0.91840, "Needles of a few micrometres"),
    # Here files can be written and put wherever the demo runs: its directory is not at Diamond.
    Visit(
        "in41002-1",
        "i03",
        "2026-03-31",
        0.97625,
        "Models and settings of one's own",
        directory="/tmp/dlstbx-demo/data/2026/in41002-1",  # noqa: S108  the fifth name is the visit
    ),
)

_THAUMATIN: Cell = (57.8, 57.8, 150.2, 90.0, 90.0, 90.0)
_LYSOZYME: Cell = (78.9, 78.9, 37.1, 90.0, 90.0, 90.0)
_INSULIN: Cell = (78.0, 78.0, 78.0, 90.0, 90.0, 90.0)
_CDK2: Cell = (53.4, 71.9, 72.3, 90.0, 90.0, 90.0)
_MPRO: Cell = (112.3, 52.9, 44.6, 90.0, 103.0, 90.0)
_TRANSPORTER: Cell = (88.4, 88.4, 216.7, 90.0, 90.0, 120.0)

SAMPLES = (
    Sample("cdk2_x014", "CDK2", "P212121", _CDK2),
    Sample("cdk2_x022", "CDK2", "P212121", _CDK2, pipeline="autoPROC"),
    Sample("cdk2_apo", "CDK2"),
    Sample("semet_p2", "LeuT", "P3121", _TRANSPORTER, "Se"),
    Sample("semet_p5", "LeuT", "P3121", None, "Se", "xia2/3dii"),
    Sample("hg_soak", "LeuT", None, None, "Hg"),
    Sample("thau_cal3", "Thaumatin", "P41212", _THAUMATIN),
    Sample("ins_cal1", "Insulin", "I213", _INSULIN, "S"),
    Sample("mpro_f0412", "Mpro", "C2", _MPRO, pin=("7", 1)),
    Sample("mpro_f0413", "Mpro", "C2", _MPRO, pipeline="autoPROC"),
    Sample("mpro_f0414", "Mpro", pin=("7", 2)),
    Sample("capsid_a3", "HEV-A71", "I23", (352.0, 352.0, 352.0, 90.0, 90.0, 90.0)),
    Sample("chip_lys7", "Lysozyme", "P43212", _LYSOZYME),
    Sample("jet_fah", "FAcD"),
    Sample("amyloid_n1", "TTR", "P21212", (42.8, 85.4, 64.3, 90.0, 90.0, 90.0)),
    Sample(
        "fe_sco_120K",
        "Fe-SCO",
        "P21/c",
        (10.23, 14.87, 12.02, 90.0, 98.4, 90.0),
        "Fe",
        smiles="c1ccnc(c1)-c1ccccn1",
    ),
    Sample("fe_sco_300K", "Fe-SCO", smiles="c1ccnc(c1)-c1ccccn1"),
    Sample("ice_vi", "Ice VI", "P42/nmc", (6.27, 6.27, 5.79, 90.0, 90.0, 90.0)),
    Sample("clathrate", "THF hydrate", smiles="C1CCOC1"),
    Sample("plate_a07", "Lysozyme", "P43212", _LYSOZYME),
    Sample("plate_c11", "Trypsin", None, None, None, "autoPROC"),
    Sample("ruby", "Corundum", "R-3c", (4.76, 4.76, 12.99, 90.0, 90.0, 120.0)),
    Sample("needle_4", "Polyhedrin", "I23", (103.4, 103.4, 103.4, 90.0, 90.0, 90.0)),
    Sample("needle_9", "Polyhedrin", pipeline="xia2/3dii"),
    Sample("hewl_1", "HEWL"),
)

GROUPS = (
    Group("mx37124-8", "cdk2_x014", "CDK2/x014/cdk2_x014", "rotation", "E16M", 3600, 3),
    Group("mx37124-8", "cdk2_x014", "CDK2/x014/xrc/x014", "grid", "E16M", (30, 16)),
    Group("mx37124-8", "cdk2_x022", "CDK2/x022/cdk2_x022", "rotation", "E16M", 3600),
    Group("mx37124-8", "cdk2_apo", "CDK2/apo/cdk2_apo", "characterization", "E16M", 3),
    Group("mx37124-8", "cdk2_apo", "CDK2/apo/cdk2_apo_full", "rotation", "E16M", 1800),
    Group("mx38015-14", "semet_p2", "LeuT/p2/semet_peak", "rotation", "E16M", 7200, 2),
    Group("mx38015-14", "semet_p5", "LeuT/p5/semet_p5", "rotation", "E16M", 7200),
    Group("mx38015-14", "hg_soak", "LeuT/hg/hg_soak", "screening", "E16M", 3, 2),
    Group("mx38015-14", "hg_soak", "LeuT/hg/hg_full", "rotation", "E16M", 3600, 1, running=True),
    Group("cm40607-1", "thau_cal3", "20260120/thau/thau_cal3", "rotation", "P6M", 900),
    Group("cm40607-1", "ins_cal1", "20260120/ins/ins_cal1", "characterization", "P6M", 3),
    Group("cm40607-1", None, "20260120/beam/direct", "screening", None, 1),
    Group("nt39881-3", "mpro_f0412", "frag/f0412/mpro_f0412", "rotation", "E16M", 3600),
    Group("nt39881-3", "mpro_f0413", "frag/f0413/mpro_f0413", "rotation", "E16M", 3600),
    Group("nt39881-3", "mpro_f0414", "frag/f0414/mpro_f0414", "rotation", "E16M", 3600),
    Group("nt39881-3", "mpro_f0414", "frag/f0414/xrc/f0414", "grid", "E16M", (24, 12), 2),
    Group("mx36702-21", "capsid_a3", "capsid/a3/capsid_a3", "screening", "E16M", 2),
    Group("mx36702-21", "capsid_a3", "capsid/a3/wedges", "rotation", "E16M", 100, 6),
    Group("mx36702-21", "thau_cal3", "test/thau/thau", "rotation", "P6M-F", 900),
    Group("mx36702-21", "thau_cal3", "test/thau/xrc", "grid", "P6M-F", (20, 20)),
    Group("mx37045-5", "chip_lys7", "lys/chip7/run1", "serial fixed", "E9M-CdTe", 25600, 2),
    Group("mx37045-5", "chip_lys7", "lys/chip8/run1", "serial fixed", "P6M", 11664),
    Group("mx37045-5", "jet_fah", "fah/jet/run4", "serial jet", "E9M-CdTe", 60000, 2, running=True),
    Group("mx38310-2", "amyloid_n1", "ttr/n1/n1", "grid", "E9M-CdTe", (40, 40)),
    Group("mx38310-2", "amyloid_n1", "ttr/n1/n1_rot", "rotation", "E9M-CdTe", 1200),
    Group("mx38310-2", "amyloid_n1", "ttr/n2/n2_rot", "rotation", "P6M", 600, 2),
    Group("cy36188-2", "fe_sco_120K", "Fe/120K/fe_sco", "rotation", "E4M-CdTe", 1700, 4),
    Group("cy36188-2", "fe_sco_300K", "Fe/300K/fe_sco", "rotation", "P300K", 850, 2),
    Group("cy36188-2", "fe_sco_300K", "Fe/300K/screen", "screening", "P300K", 10),
    Group("cy39950-4", "ice_vi", "ice/1.2GPa/ice_vi", "diamond anvil", "E4M-CdTe", 400, 2),
    Group("cy39950-4", "clathrate", "thf/0.3GPa/thf", "diamond anvil", "P300K", 300),
    Group("cy39950-4", "ice_vi", "ice/chip/ice", "serial fixed", "E4M-CdTe", 6400),
    Group("mx37910-33", "plate_a07", "CI02/a07/well_33", "grid", "E4M", (22, 18)),
    Group("mx37910-33", "plate_a07", "CI02/a07/well_33_xtal", "rotation", "E4M", 600, 3),
    Group("mx37910-33", "plate_c11", "CI02/c11/well_35", "rotation", "E4M", 600),
    Group("cm40611-1", "ruby", "ruby/0GPa/ruby", "rotation", "P2M-CdTe", 160),
    Group("cm40611-1", "ruby", "ruby/4GPa/ruby", "diamond anvil", "P2M-CdTe", 140, 2),
    Group("mx38244-2", "needle_4", "poly/n4/needle_4", "grid", "E9M", (60, 8)),
    Group("mx38244-2", "needle_4", "poly/n4/needle_4_rot", "rotation", "E9M", 400, 2),
    Group("mx38244-2", "needle_9", "poly/n9/needle_9", "rotation", "E9M", 400, 1, running=True),
    Group("in41002-1", "hewl_1", "hewl/hewl_1", "rotation", "E16M", 1800, 2),
)

SCANS = (
    Scan("mx38015-14", "semet_p2", "Se", (12661.8, -7.6, 5.4), (12658.2, -10.3, 2.7)),
    Scan("mx38015-14", "semet_p2", "Se", (12690.5, -7.1, 4.9), (12687.1, -9.8, 2.5)),
)

MODELS = (
    Model("CDK2", "PDB", code="1HCK"),
    Model("Mpro", "PDB", code="5R7Y"),
    Model(
        "HEWL",
        "user",
        name="hewl_start.pdb",
        contents=(
            "CRYST1   78.900   78.900   37.100  90.00  90.00  90.00 P 43 21 2     8\n"
            "ATOM      1  CA  LYS A   1       2.440  10.324   9.270  1.00 15.00           C\n"
            "END\n"
        ),
    ),
)

#: Samples that are to be processed together.
SAMPLE_GROUPS = {
    "Mpro fragments": ("mpro_f0412", "mpro_f0413", "mpro_f0414"),
    "LeuT SeMet": ("semet_p2", "semet_p5"),
}

#: What happens in the collections of a group, by its path.
EVENTS = {
    "lys/chip7/run1": (
        Event("LaserExcitation", 0.0, 0.0005, 1.0),
        Event("XrayDetection", 0.001, 0.01, 5.0),
    ),
    "fah/jet/run4": (Event("XrayDetection", 0.0, 0.002, 1.0),),
}
