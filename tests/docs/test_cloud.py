"""What the pages and the example of a site's configuration say of cloud bursting."""

from __future__ import annotations

import yaml

from dlstbx_cli.services.cloud_settings import ENTRY_KEYS, KEYS, LIMITS, CloudSettings, Entry
from dlstbx_cli.services.held.statistics import TOPIC
from tests.docs.pages import MAN, TOP, Page

CONFIGURATION = Page(MAN / "dlstbx.5")
PLAN = Page(MAN / "mimas-plan.1")


def test_keys_and_defaults() -> None:
    table, example = (
        block for block in CONFIGURATION.blocks("DESCRIPTION") if "zocalo.mimas.cloud" in block
    )
    default = CloudSettings()
    limits = ", ".join(f"{cluster} {number}" for cluster, number in LIMITS.items())
    assert f"off; {default.quota:g}; {default.timeout:g} seconds; {limits}; no" in table
    assert [key for key in KEYS if key not in table] == []
    assert [key for key in ENTRY_KEYS if key not in CONFIGURATION.text.split(example)[-1]] == []


def test_the_example_of_the_page() -> None:
    *_, example = (
        block for block in CONFIGURATION.blocks("DESCRIPTION") if "zocalo.mimas.cloud" in block
    )
    settings = CloudSettings.from_storage(yaml.safe_load(example))
    offer = {
        "beamlines": ["i03", "i04"],
        "visit_pattern": ["cm", "mx23694"],
        "recipes": ["autoprocessing-xia2", "autoPROC"],
    }
    assert settings == CloudSettings(on=True, entries=(Entry(offer, {"slurm": 60, "iris": 200}),))


def test_the_example_of_a_site_makes_sense_and_is_switched_off() -> None:
    storage = yaml.safe_load((TOP / "share/dlstbx/zocalo.yml").read_text())["live-storage"]
    assert not CloudSettings.from_storage(storage).on
    settings = CloudSettings.from_storage({**storage, "cloudbursting": True})
    assert [entry.on for entry in settings.entries] == [True]
    assert settings.entries[0].limits == LIMITS


def test_what_the_command_s_page_says() -> None:
    default = CloudSettings()
    for words in (
        TOPIC,
        f"timeout ({default.timeout:g} seconds)",
        f"at most {default.full:g} percent of s3echo_quota ({default.quota:g})",
        f"more jobs than its limit ({LIMITS['slurm']}) wait on slurm",
        f"fewer jobs than its limit ({LIMITS['iris']}) wait on iris",
    ):
        assert words in PLAN.text
    record = ("explain", "dcid", "event", "entry", "condition", "value", "relation", "threshold")
    assert [key for key in record if key not in PLAN.text] == []
