"""Documents: numbers, references, and the same content in every format."""

from __future__ import annotations

import csv
from io import StringIO

import pytest
from PIL import Image

from adlib.report.document import (
    Document,
    Illustration,
    Paragraph,
    Section,
    Span,
    Table,
    as_csv,
    as_latex,
    labels,
    spans,
    write_html,
    write_pdf,
    write_tables,
)


def table(key="first", cell="a & b_c <1 %>"):
    rows = [["screw", cell, "\N{MINUS SIGN}0.5"], ["screw", cell, "0.25"]]
    return Table(key, "See [figure:dot].", ["class", "kind", "x"], rows, 2, ["r.json"])


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "dot.png"
    Image.new("RGB", (4, 2)).save(path)
    blocks = [
        Paragraph('[table:second] has "quotes", \\, #hash and $x$.', heading="Look"),
        table(),
        Illustration("dot", "A dot, unlike [table:first].", path, ["dot.png"]),
        table("second"),
    ]
    return Document("T & <i>", "below", "In short.", [Section("One", blocks)])


def test_tables_and_pictures_are_numbered_apart_in_their_order(document):
    assert labels(document) == {
        "table:first": "Table 1",
        "table:second": "Table 2",
        "figure:dot": "Figure 1",
    }


def test_a_key_is_there_once(document):
    double = Document("", "", "", [*document.sections, Section("", [table()])])
    with pytest.raises(ValueError, match="'table:first' must be there once"):
        labels(double)


def test_references_become_numbers():
    numbers = {"table:a": "Table 1", "figure:b": "Figure 4"}
    assert spans("[table:a] and [figure:b], [1, 2].", numbers) == [
        Span("Table 1", "table:a"),
        Span(" and ", None),
        Span("Figure 4", "figure:b"),
        Span(", [1, 2].", None),
    ]


def test_a_reference_to_nothing_is_refused():
    with pytest.raises(ValueError, match="refers to 'table:gone'"):
        spans("as [table:gone] says", {})


def test_a_row_has_as_many_cells_as_columns():
    with pytest.raises(ValueError, match="'a' must have 2 cells; one has 1"):
        Table("a", "", ["x", "y"], [["1", "2"], ["3"]], 1, [])


def test_csv_reads_back():
    read = list(csv.reader(StringIO(as_csv(table()))))
    assert read == [["class", "kind", "x"], *map(list, table().rows)]


def test_latex_escapes_what_it_would_read():
    text = as_latex(table(), "50 % of a_b")
    assert r"\caption{50 \% of a\_b}" in text
    assert r"screw & a \& b\_c \textless{}1 \%\textgreater{} & $-$0.5 \\" in text
    assert r"\begin{tabular}{llr}" in text


def test_tables_are_written_both_ways(document, tmp_path):
    written = write_tables(document, tmp_path / "tables")
    names = {path.name for path in written}
    assert names == {"first.csv", "first.tex", "second.csv", "second.tex"}
    assert "See Figure 1." in (tmp_path / "tables/first.tex").read_text()


def test_the_page_links_and_escapes(document, tmp_path):
    page = write_html(document, tmp_path / "page.html").read_text()
    assert "<h1>T &amp; &lt;i&gt;</h1>" in page
    assert '<a href="#table:second">Table 2</a> has &#34;quotes&#34;' in page
    assert 'id="table:second"' in page
    assert 'src="dot.png"' in page
    assert "a &amp; b_c &lt;1 %&gt;" in page


def test_the_pdf_is_the_same_twice(document, tmp_path):
    first = write_pdf(document, tmp_path / "a.pdf").read_bytes()
    second = write_pdf(document, tmp_path / "b.pdf").read_bytes()
    assert first.startswith(b"%PDF")
    assert first == second
    assert b"CreationDate" not in first  # else it would be the same for a second only
    assert b"CreateDate" not in first
