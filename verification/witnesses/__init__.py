"""What a verdict is held against, by section of docs/theory.md.

Conditions (5), the limit in closed form (6), bounds and predictions (8 to 11), KKT residuals (12), the convex programs
(3) and the enumeration of programs (13).
"""
