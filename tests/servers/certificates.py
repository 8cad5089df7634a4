"""Throw-away certificates: an authority, a server of 127.0.0.1, a client, and a stranger."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_SERVER = "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n"
_CLIENT = "extendedKeyUsage=clientAuth\n"


@dataclass(frozen=True)
class Certificates:
    """Files in PEM; the key store is for Java.

    :param other_ca: an authority that has signed none of them.
    """

    ca: Path
    cert: Path
    key: Path
    client_cert: Path
    client_key: Path
    other_ca: Path
    keystore: Path
    keystore_password: str = "throw-away"


def make(folder: Path) -> Certificates:
    """Make all of them in *folder*, which is made as well."""
    folder.mkdir(parents=True)
    _authority(folder, "ca")
    _authority(folder, "other-ca")
    _signed(folder, "server", _SERVER)
    _signed(folder, "client", _CLIENT)
    made = Certificates(
        ca=folder / "ca.pem",
        cert=folder / "server.pem",
        key=folder / "server.key",
        client_cert=folder / "client.pem",
        client_key=folder / "client.key",
        other_ca=folder / "other-ca.pem",
        keystore=folder / "server.p12",
    )
    _openssl(
        folder,
        *("pkcs12", "-export", "-in", "server.pem", "-inkey", "server.key", "-certfile", "ca.pem"),
        *("-name", "server", "-passout", f"pass:{made.keystore_password}", "-out", "server.p12"),
    )
    return made


def _request(folder: Path, name: str, *arguments: str) -> None:
    _openssl(
        folder,
        *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"),
        *("-keyout", f"{name}.key", "-subj", f"/O=dlstbx tests/CN={name}", *arguments),
    )


def _authority(folder: Path, name: str) -> None:
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _request(folder, name, "-x509", *usage, "-days", "7", "-out", f"{name}.pem")


def _signed(folder: Path, name: str, extensions: str) -> None:
    _request(folder, name, "-out", f"{name}.csr")
    (folder / f"{name}.ext").write_text(extensions, encoding="utf-8")
    _openssl(
        folder,
        *("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key"),
        *("-CAcreateserial", "-days", "7", "-extfile", f"{name}.ext", "-out", f"{name}.pem"),
    )


def _openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(
        ["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")
