"""CVXPY is imported quietly."""

from __future__ import annotations

import logging
import subprocess
import sys

from verification.witnesses import cvxpy_solver


def test_what_cvxpy_says_while_it_is_imported_stays_inside():
    """A solver that fails to load is told of on standard error by CVXPY; here nothing is, and a user's own use is."""
    code = (
        "import sys, warnings\n"
        "class Broken:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('osqp', 'scs'):\n"
        "            warnings.warn('deprecated')\n"
        "            raise RuntimeError('a library is missing')\n"
        "sys.meta_path.insert(0, Broken())\n"
        "import numpy as np\n"
        "from verification.witnesses.least_norm import least_norm\n"
        "print(least_norm(np.eye(2)).status.name)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "SOLVED\n"
    assert done.stderr == ""
    plain = subprocess.run(
        [
            sys.executable,
            "-c",
            code.replace("from verification", "import cvxpy; from verification", 1),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "unexpected exception importing solver" in plain.stderr  # so that the test can fail
    cvxpy_solver.load_cvxpy()
    assert logging.getLogger(cvxpy_solver.LOGGER).filters == []
