"""What a verdict is held against, by section of docs/theory.md.

Conditions and how far they are (5), the limit in closed form (6), the trap (7), bounds and predictions (8 to 11 and
15), KKT residuals (12), the convex programs (3), the enumeration of programs (13), linear boundaries (15), rates (16)
and the end of descent on the hinge loss (17).
"""
