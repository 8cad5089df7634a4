from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy import make_url, text

from dlstbx_cli.database.connection import connect, reading, url_from_credentials, writing
from dlstbx_cli.database.embedded import create
from dlstbx_cli.database.lookup import Lookup
from dlstbx_cli.services.errors import Misconfigured, Unavailable
from tests.database.building import empty

REQUEST = {"parameters": {"ispyb_dcid": 1}}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "not one that SQLAlchemy knows"),
        ("", "not one that SQLAlchemy knows"),
        ("nosuch://host/db", "cannot be used"),
        ("mysql+nosuch://host/db", "cannot be used"),
        ("mysql://user:secret@host:port/db", "not one that SQLAlchemy knows"),
    ],
)
def test_urls_that_are_none(url, words):
    with pytest.raises(Misconfigured, match=words) as caught:
        connect(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["mysql", "mariadb", "mysql+mysqlconnector"])
def test_the_driver_of_ispyb(name):
    engine = connect(f"{name}://user:secret@localhost:3306/ispyb")
    assert engine.url.drivername == "mysql+mysqlconnector"


def test_a_server_that_is_away_hides_the_password():
    engine = connect("mysql://user:secret@127.0.0.1:9/ispyb")
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:9/ispyb is not available") as caught:
        Lookup(engine)(REQUEST)
    assert "secret" not in str(caught.value)


def test_a_missing_file_is_not_made(tmp_path):
    path = tmp_path / "none.sqlite3"
    with pytest.raises(Misconfigured, match=r"none\.sqlite3: dlstbx-demo makes one"):
        connect(f"sqlite:///{path}")
    assert not path.exists()


def test_a_file_that_went_away_is_not_made_again(tmp_path):
    engine = empty(tmp_path)
    (tmp_path / "ispyb.sqlite3").unlink()
    with pytest.raises(Misconfigured, match="there is no database"):
        Lookup(engine)(REQUEST)
    assert not (tmp_path / "ispyb.sqlite3").exists()


def test_names_with_signs_that_urls_use(tmp_path):
    path = tmp_path / "100% ä#1.sqlite3"
    create(f"sqlite:///{path}").dispose()
    assert path.exists()
    with reading(connect(f"sqlite:///{path}")) as connection:
        assert connection.scalar(text("SELECT count(*) FROM DataCollection")) == 0


def test_a_database_without_the_tables(tmp_path):
    path = tmp_path / "empty.sqlite3"
    sqlite3.connect(path).close()
    path.touch()
    with pytest.raises(Misconfigured, match="no such table"):
        Lookup(connect(f"sqlite:///{path}"))(REQUEST)


def test_a_file_that_is_no_database(tmp_path):
    path = tmp_path / "text.sqlite3"
    path.write_text("this is not a database, but it is long enough to be looked at" * 20)
    with pytest.raises(Misconfigured, match="not a database"):
        Lookup(connect(f"sqlite:///{path}"))(REQUEST)


def test_a_locked_database(tmp_path, monkeypatch):
    monkeypatch.setattr("dlstbx_cli.database.connection.PATIENCE", 0.1)
    engine = empty(tmp_path)
    further = writing(connect(str(engine.url)))
    with writing(engine), pytest.raises(Unavailable, match="locked"), further:
        pass


def test_an_error_rolls_back(tmp_path):
    engine = empty(tmp_path)

    def fail() -> None:
        with writing(engine) as connection:
            connection.execute(text("INSERT INTO PDB (name) VALUES ('x')"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with reading(engine) as connection:
        assert connection.scalar(text("SELECT count(*) FROM PDB")) == 0


def test_an_embedded_ispyb_is_sqlite():
    with pytest.raises(Misconfigured, match="SQLite file"):
        create("mysql://user@localhost/ispyb")


def _credentials(tmp_path, lines):
    path = tmp_path / "credentials.cfg"
    path.write_text("\n".join(lines))
    return str(path)


def test_credentials(tmp_path):
    from ispyb.sqlalchemy import url as reference

    path = _credentials(
        tmp_path,
        [
            "[ispyb_sqlalchemy]",
            "username = user",
            "password = p%%40:s%2Fs",
            "host = db.example.org",
            "port = 3306",
            "database = ispyb",
            "[ispyb_mariadb_sp]",
            "pw = other",
        ],
    )
    url = make_url(url_from_credentials(path))
    assert url == make_url(reference(path))
    assert url.password == "p%@:s/s"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["[ispyb_mariadb_sp]", "pw = secret"], "has no section"),
        (["[ispyb_sqlalchemy]", "password = secret", "host = h"], "lacks username, port, database"),
        (["[ispyb_sqlalchemy", "password = secret"], "not an INI file"),
        (["password = secret"], "not an INI file"),
        (
            [
                "[ispyb_sqlalchemy]",
                "username=u",
                "password=secret",
                "host=h",
                "port=x",
                "database=d",
            ],
            "port",
        ),
    ],
)
def test_credentials_that_cannot_be_used(tmp_path, lines, words):
    with pytest.raises(Misconfigured, match=words) as caught:
        url_from_credentials(_credentials(tmp_path, lines))
    assert "secret" not in str(caught.value)
    assert "credentials.cfg" in str(caught.value)


def test_credentials_that_are_not_there(tmp_path):
    with pytest.raises(Misconfigured, match="No such file"):
        url_from_credentials(str(tmp_path / "none"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Misconfigured, match="not a text file"):
        url_from_credentials(str(tmp_path / "binary"))
