"""Results as one page of HTML that stands alone: no network, light and dark, on a phone, in print, read aloud."""

from verification.page.document import Cell, Page, Picture, Section, Table

__all__ = ["Cell", "Page", "Picture", "Section", "Table"]
