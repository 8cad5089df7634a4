from __future__ import annotations

from collections import Counter

import pytest
from sqlalchemy import text

from dlstbx_cli.database import demo
from dlstbx_cli.database.connection import connect, reading, writing
from dlstbx_cli.database.lookup import SOURCES, Lookup
from dlstbx_cli.database.tables import snapshot
from dlstbx_cli.services.errors import Misconfigured
from tests.database.building import ROWS, add, ispyb
from tests.database.recent_contract import check_dispatch
from tests.database.several_contract import check_whole_facility


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return demo.make(f"sqlite:///{tmp_path_factory.mktemp('demo')}/a/ispyb.sqlite3")


@pytest.fixture(scope="module")
def listed(engine):
    return demo.collections(engine)


@pytest.fixture(scope="module")
def found(engine, listed):
    lookup = Lookup(engine)
    return {
        collection.dcid: lookup({"parameters": {"ispyb_dcid": collection.dcid}})["parameters"]
        for collection in listed
    }


def test_beamlines(listed):
    assert Counter(collection.beamline for collection in listed) == {
        "i03": 18,
        "i04": 14,
        "i24": 9,
        "i19-2": 11,
        "i02-2": 5,
        "i15": 3,
        "i02-1": 4,
    }
    assert len({collection.visit for collection in listed}) == 13


def test_classes(listed):
    assert Counter(kind for collection in listed for kind in collection.kinds) == {
        "rotation": 44,
        "grid": 7,
        "screen": 7,
        "characterization": 2,
        "serial_fixed": 4,
        "serial_jet": 2,
        "diamond_anvil_cell": 5,
    }


def test_the_first_one_is_for_the_examples(listed, found):
    first = listed[0]
    assert (first.dcid, first.beamline, first.kinds) == (993677, "i03", ("rotation",))
    parameters = found[993677]
    assert parameters["ispyb_detectorclass"] == "eiger"
    assert parameters["ispyb_space_group"] == "P212121"
    assert parameters["ispyb_unit_cell"] == [53.4, 71.9, 72.3, 90.0, 90.0, 90.0]
    assert first.related == len(parameters["ispyb_dcg_dcids"]) == 2
    assert parameters["ispyb_visit_directory"] == "/dls/i03/data/2026/mx37124-8"


def test_the_variety(listed, found):
    def values(name):
        return {str(parameters[name]) for parameters in found.values()}

    assert values("ispyb_detectorclass") == {"eiger", "pilatus"}
    assert values("ispyb_preferred_processing") == {"xia2/DIALS", "xia2/3dii", "autoPROC"}
    assert {"None", "P212121", "P21/c"} <= values("ispyb_space_group")
    assert {"None", "False"} <= values("ispyb_unit_cell")
    assert {"Eiger16M", "Eiger4M", "Eiger9MCdTe", "None"} == values("ispyb_detectorname")
    plans = [parameters["ispyb_diffraction_plan"] for parameters in found.values()]
    assert {"Se", "Hg", "S", "Fe"} == {plan["anomalousScatterer"] for plan in plans if plan}
    assert sum(collection.running for collection in listed) == 3
    assert None in {collection.sample for collection in listed}


def test_every_parameter_is_shown_by_some_collection(found):
    def some(name, is_shown=bool):
        return [dcid for dcid, parameters in found.items() if is_shown(parameters.get(name))]

    assert found[some("ispyb_energy_scan_info")[0]]["ispyb_energy_scan_info"] == {
        "energyscanid": 1,
        "atom_type": "Se",
        "edge_position": "peak",
        "fp": -7.6,
        "fpp": 5.4,
    }
    assert some("ispyb_pdb", lambda models: models and models[0]["code"])
    kept = some("ispyb_pdb", lambda models: models and models[0]["filepath"])
    assert {found[dcid]["ispyb_visit"] for dcid in kept} == {"in41002-1"}
    assert some("ispyb_pin_info", lambda pin: pin and pin["loopType"])
    assert {len(found[dcid]["ispyb_msp_sample_ids"]) for dcid in some("ispyb_msp_sample_ids")} == {
        2
    }
    shots = {found[dcid]["ispyb_ssx_shots_per_image"] for dcid in some("ispyb_ssx_events")}
    assert shots == {1.0, 5.0}
    names = {
        group.get("name")
        for parameters in found.values()
        for group in parameters["ispyb_related_dcids"]
    }
    assert {"Mpro fragments", "LeuT SeMet", "mpro_f0412", None} <= names
    # Only what is looked up from files, and so differs from one machine to the next, is not.
    never = {"ispyb_reference_geometry"}
    shown = {name for parameters in found.values() for name in parameters if parameters[name]}
    given_by_jobs = {
        "ispyb_process",
        "ispyb_processing_job",
        "ispyb_processing_parameters",
        "ispyb_reprocessing_parameters",
    }
    assert set(SOURCES) - shown == never | given_by_jobs


def test_the_numbers_that_people_know_stay(listed):
    known = {993677: "mx37124-8", 993688: "mx38015-14", 993738: "mx38244-2", 993739: "in41002-1"}
    assert {one.dcid: one.visit for one in listed if one.dcid in known} == known


def test_the_space_groups_are_known(found):
    import gemmi

    for parameters in found.values():
        symbol = parameters["ispyb_space_group"]
        assert symbol is None or gemmi.find_spacegroup_by_name(symbol) is not None


def test_the_listing_says_what_the_look_up_says(listed, found):
    for collection in listed:
        parameters = found[collection.dcid]
        kinds = {kind for kind, true in parameters["ispyb_dc_class"].items() if true}
        assert set(collection.kinds) == kinds
        assert collection.visit == parameters["ispyb_visit"]
        assert collection.beamline == parameters["ispyb_beamline"]
        assert collection.space_group == parameters["ispyb_space_group"]
        assert collection.images == parameters["ispyb_image_last"]


def test_keys_lead_somewhere_and_enumerations_are_kept(engine):
    with reading(engine) as connection:
        assert connection.execute(text("PRAGMA foreign_key_check")).all() == []
        for name, columns in snapshot().items():
            for column in columns:
                if column["type"].startswith("ENUM"):
                    values = connection.scalars(
                        text(f'SELECT DISTINCT "{column["name"]}" FROM "{name}"')
                    )
                    assert all(value is None or f"'{value}'" in column["type"] for value in values)


def test_the_same_every_time(tmp_path, engine):
    def dump(database):
        with reading(database) as connection:
            return [connection.execute(text(f'SELECT * FROM "{t}"')).all() for t in snapshot()]

    assert dump(demo.make(f"sqlite:///{tmp_path}/again.sqlite3")) == dump(engine)


def test_made_again_nothing_changes(tmp_path):
    url = f"sqlite:///{tmp_path}/ispyb.sqlite3"
    with writing(demo.make(url)) as connection:
        connection.execute(text("UPDATE DataCollection SET comments = 'mine'"))
    assert not demo.fill(connect(url))
    with reading(demo.make(url)) as connection:
        assert connection.scalar(text("SELECT count(*) FROM DataCollection")) == 64
        assert connection.scalar(text("SELECT min(comments) FROM DataCollection")) == "mine"


@pytest.mark.parametrize("rows", [ROWS, {"PDB": []} | {"Protein": [{"acronym": "x"}]}])
def test_other_data_is_left_alone(tmp_path, rows):
    engine = ispyb(tmp_path, {})
    add(engine, rows)
    with pytest.raises(Misconfigured, match="other data"):
        demo.fill(engine)
    with reading(engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM Detector")) == 0


def test_all_at_a_time_are_as_each_alone(engine, listed):
    check_whole_facility(engine, [collection.dcid for collection in listed])


def test_what_is_dispatched_is_the_same_if_it_is_shared(engine, listed):
    check_dispatch(engine, [one.dcid for one in listed])
