"""Arithmetic without rounding: certificates over the rationals, their checker, an oracle in ball arithmetic."""
