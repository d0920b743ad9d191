"""Trained networks from elsewhere: what the theory says of their checkpoints (docs/audit.md).

`checkpoint.py` and `reading.py` bring in arrays and files, `layers.py` finds the layers, `frame.py` and `measuring.py`
measure, `judging.py` holds claims about the trajectory against them, `words.py` and `report.py` tell. `run.py` has the
function `audit`, `recorder.py` what is called while a network is trained. Nothing is imported until it is used.
"""
