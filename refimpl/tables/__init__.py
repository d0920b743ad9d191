"""Tables as people have them, turned into samples and labels, with a record of what was read and what was not.

Text (`.csv`, `.tsv`, compressed or not), Parquet and Arrow files, and data frames come through the same door:
a column of labels is found, columns are left out where that was asked for, the rest must be numbers.
Nothing is left out or converted without being said in the `ReadReport`. When the first line of a text is a header
stands in `refimpl.tables.text`.
"""

from __future__ import annotations

from refimpl.tables.choices import DEFAULT, Choices, ReadReport
from refimpl.tables.columns import read_arrays
from refimpl.tables.frames import read_arrow, read_frame
from refimpl.tables.labels import signs_of
from refimpl.tables.text import read_text_table

__all__ = ["DEFAULT", "Choices", "ReadReport", "read_arrays", "read_arrow", "read_frame", "read_text_table", "signs_of"]
