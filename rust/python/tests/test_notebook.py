# SPDX-License-Identifier: GPL-2.0-or-later
"""The notebook of docs/ runs as a reader runs it, and is kept without what it says."""

import os
import pathlib

import nbformat
from nbclient import NotebookClient

ROOT = pathlib.Path(os.environ["CONZONE_ROOT"])
NOTEBOOK = ROOT / "docs/model.ipynb"


def read():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_it_is_kept_without_outputs():
    notebook = read()
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert cell.get("outputs", []) == [] and cell.get("execution_count") is None, cell.id
    text = NOTEBOOK.read_text()
    assert text == nbformat.writes(notebook) + "\n" and "SPDX-License-Identifier" in text


def test_it_runs(tmp_path):
    notebook = read()
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path}})
    client.execute()
    outputs = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    kinds = {name: {kind for out in outs for kind in out.get("data", {})} for name, outs in outputs.items()}
    for figure in ("figure", "branches", "sensitivity"):
        assert "image/png" in kinds[figure], figure
    assert "text/html" in kinds["sweep"]
    # What the text says of the figure: the third zone is the one too many for two buffers.
    said = outputs["trace"][0].text.splitlines()
    waf = [float(line.split("amplification ")[1].split(",")[0]) for line in said]
    assert waf[2] > waf[0], said
