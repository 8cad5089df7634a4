"""The parameter that lists model structures: the protein's PDB entries, the visit's files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dlstbx_cli.database.rows import Part, Query, Row
from dlstbx_cli.database.tables import Schema, column

if TYPE_CHECKING:
    from dlstbx_cli.database.inquiry import Inquiry

_CODE_LENGTH = 4

#: Where each parameter comes from, for people.
SOURCES = {
    "ispyb_pdb": "PDB.code, or PDB.contents written to VISIT/tmp/pdb, for the protein of the"
    " collection's own sample (Protein_has_PDB); then the files VISIT/processing/pdb/*.pdb"
}


def query(schema: Schema) -> Query:
    """Build the statement for the PDB entries that are linked to a protein, in order."""
    from sqlalchemy import bindparam

    link, pdb = schema["Protein_has_PDB"], schema["PDB"]
    return Query(
        {"pdb": Part.of(pdb, "PDB", ["name", "contents", "code", "source"])},
        lambda select: (
            select.select_from(link.join(pdb, pdb.c.pdbId == column(link, "pdbid")))
            .where(column(link, "proteinid") == bindparam("protein"))
            .order_by(link.c.proteinhaspdbid)
        ),
    )


def parameters(inquiry: Inquiry) -> dict[str, Any]:
    """Return the parameters of this group: none without a visit. Raises Stuck."""
    if inquiry.files is None:
        return {}
    linked = _linked(inquiry)
    to_keep = [entry for entry in linked if not has_code(entry)]
    texts = [(entry["name"], entry["contents"]) for entry in to_keep]
    paths = inquiry.files.keep(texts) if texts else []
    by_entry = {entry["pdbId"]: path for entry, path in zip(to_keep, paths, strict=True)}
    models = [
        _model(by_entry.get(entry["pdbId"]), entry["code"] if has_code(entry) else None, entry)
        for entry in linked
    ]
    return {
        "ispyb_pdb": [
            *(model for model in models if model["filepath"] or model["code"]),
            *(_model(path, None, {}) for path in inquiry.contents.pdb),
        ]
    }


def has_code(entry: Row) -> bool:
    """Tell whether a row of PDB has a code that is one: four letters or digits."""
    code = entry["code"] or ""
    return len(code) == _CODE_LENGTH and code.isascii() and code.isalnum()


def _linked(inquiry: Inquiry) -> list[Row]:
    """Return the linked entries, each once, that have a code or contents."""
    protein = inquiry.value("own_crystal", "proteinId")
    if protein is None:
        return []
    rows = [joined["pdb"] or {} for joined in inquiry.rows(query, protein=protein)]
    entries = {row["pdbId"]: row for row in rows}
    return [entry for entry in entries.values() if has_code(entry) or entry["contents"]]


def _model(path: str | None, code: str | None, entry: Row) -> dict[str, str | None]:
    return {"filepath": path, "code": code, "source": entry.get("source")}
