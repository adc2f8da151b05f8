"""Tests that run the example notebook in a real kernel."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "notebook.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[nbformat.NotebookNode]:
    """Run the notebook; return its code cells with their outputs."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_it_runs_to_its_end_without_errors_or_warnings(cells: list[nbformat.NotebookNode]) -> None:
    assert [output for cell in cells for output in cell.outputs if output.output_type in {"stream", "error"}] == []


def test_a_list_is_shown_as_a_table(cells: list[nbformat.NotebookNode]) -> None:
    (output,) = cells[1].outputs
    html = output.data["text/html"]
    assert html.startswith("<table>")
    assert "<td>completed</td>" in html


def test_recordings_are_a_data_frame(cells: list[nbformat.NotebookNode]) -> None:
    (output,) = cells[2].outputs
    assert "audio" in output.data["text/plain"]
    assert "size" in output.data["text/plain"]


def test_it_is_committed_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert [cell for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")] == []
