"""Results as one page of HTML that stands alone: no network, light and dark, on a phone, in print, read aloud."""

from verification.page.document import Page, Picture, Section, Table, TableCell

__all__ = ["Page", "Picture", "Section", "Table", "TableCell"]
