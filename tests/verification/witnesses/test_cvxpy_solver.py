"""CVXPY is imported quietly."""

from __future__ import annotations

import logging
import subprocess
import sys

import numpy as np
import pytest

from verification.witnesses import cvxpy_solver


def printed(code):
    """What a fresh process of Python prints that carries it out."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return done.stdout


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


def test_what_cvxpy_needs_of_scipy_stats_is_imported_when_it_is_used():
    """The import of CVXPY leaves `scipy.stats` alone; its atom finds the function all the same, and so does a user."""
    code = (
        "import sys, numpy as np\n"
        "from verification.witnesses.cvxpy_solver import load_cvxpy\n"
        "cp = load_cvxpy()\n"
        "print('scipy.stats' in sys.modules)\n"
        "print(cp.quantum_rel_entr(np.diag([0.5, 0.5]), np.diag([0.25, 1.0])).value)\n"
        "import scipy.stats\n"
        "print(scipy.stats.norm.cdf(0.0), scipy.stats.entropy([1.0, 1.0]))\n"
    )
    left_alone, relative_entropy, real = printed(code).splitlines()
    assert left_alone == "False"
    assert float(relative_entropy) == pytest.approx(0.5 * np.log(2.0) + 0.5 * np.log(0.5), abs=1e-12)
    assert [float(number) for number in real.split()] == pytest.approx([0.5, np.log(2.0)])


def test_what_solvers_import_for_nothing_is_put_off_and_real_afterwards():
    """OSQP's jinja2, and the jax of a solver that is not there, wait; CVXPY knows the same solvers as on its own."""
    code = (
        "import sys\n"
        "from verification.witnesses.cvxpy_solver import load_cvxpy\n"
        "known = load_cvxpy().reductions.solvers.defines.INSTALLED_SOLVERS\n"
        "print([name for name in ('jinja2', 'jax') if name in sys.modules])\n"
        "import importlib.util\n"
        "from osqp.interface import Environment, select_autoescape\n"
        "print(Environment(autoescape=select_autoescape()).from_string('{{ 6 * 7 }}').render())\n"
        "if importlib.util.find_spec('jax'):\n"
        "    import jax.numpy\n"
        "    assert jax.numpy.ones(2).sum() == 2.0\n"
        "for name in [name for name in sys.modules if name.partition('.')[0] == 'cvxpy']:\n"
        "    del sys.modules[name]\n"
        "from cvxpy.reductions.solvers.defines import INSTALLED_SOLVERS\n"
        "print(INSTALLED_SOLVERS == known, 'CLARABEL' in known, 'OSQP' in known)\n"
    )
    assert printed(code).splitlines() == ["[]", "42", "True True True"]


def test_an_import_hook_that_fails_says_nothing_of_a_package(monkeypatch):
    def broken(name):
        raise RuntimeError("a library is missing")

    monkeypatch.setattr(cvxpy_solver, "find_spec", broken)
    assert cvxpy_solver._is_there("mpax") is None
    monkeypatch.undo()
    assert cvxpy_solver._is_there("no_such_package") is False
    assert cvxpy_solver._is_there("no_such_package.part") is False
    assert cvxpy_solver._is_there("numpy") is True


def test_a_solver_whose_own_needs_are_not_there_is_not_there():
    """OSQP without the jinja2 that it imports is no solver, as in CVXPY on its own."""
    code = (
        "import sys\n"
        "class Without:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'jinja2':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Without())\n"
        "from verification.witnesses.cvxpy_solver import load_cvxpy\n"
        "print('OSQP' in load_cvxpy().installed_solvers(), 'CLARABEL' in load_cvxpy().installed_solvers())\n"
    )
    assert printed(code) == "False True\n"


def test_what_others_import_meanwhile_is_the_real_thing():
    """While CVXPY is being imported another thread imports what is put off, and gets it."""
    code = (
        "import importlib.util, pickle, sys, threading\n"
        "seen = []\n"
        "def user():\n"
        "    try:\n"
        "        import jinja2.ext, scipy.stats.qmc\n"
        "        from jinja2 import Environment\n"
        "        from scipy.stats import entropy\n"
        "        pickle.dumps((entropy, Environment))\n"
        "        if importlib.util.find_spec('jax'):\n"
        "            import jax.numpy\n"
        "        seen.append('all')\n"
        "    except BaseException as error:\n"
        "        seen.append(error)\n"
        "def hook(event, given):\n"
        "    if event == 'import' and given[0] == 'clarabel' and not seen:\n"
        "        thread = threading.Thread(target=user)\n"
        "        thread.start()\n"
        "        thread.join()\n"
        "sys.addaudithook(hook)\n"
        "plain = __import__\n"
        "from verification.witnesses.cvxpy_solver import load_cvxpy\n"
        "print(load_cvxpy().Variable(2).size, seen, __import__ is plain)\n"
    )
    assert printed(code) == "2 ['all'] True\n"


def test_an_import_that_fails_midway_leaves_nothing_behind():
    """The statement `import` is Python's own again, and the next try succeeds."""
    code = (
        "import sys\n"
        "class Broken:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'cvxpy.reductions':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Broken())\n"
        "plain = __import__\n"
        "from verification.witnesses.cvxpy_solver import load_cvxpy\n"
        "try:\n"
        "    load_cvxpy()\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', __import__ is plain)\n"
        "del sys.meta_path[0]\n"
        "print('CLARABEL' in load_cvxpy().installed_solvers())\n"
    )
    assert printed(code) == "interrupted True\nTrue\n"


def test_other_names_of_a_module_put_off_are_its_own_at_once():
    """A stand-in has the functions that are called later; whoever wants more, or is not CVXPY, gets the module."""
    given = cvxpy_solver._stand_in("cvxpy.atoms", "scipy.stats", frozenset({"entropy"}))
    if given is not None:  # scipy.stats is not imported yet
        assert given.entropy([1.0, 1.0]) == pytest.approx(np.log(2.0))
    assert cvxpy_solver._called_later("colorsys", "rgb_to_hsv")(1.0, 0.0, 0.0) == (0.0, 1.0, 1.0)
    assert cvxpy_solver._stand_in("cvxpy.atoms", "scipy.stats", frozenset({"entropy", "norm"})) is None
    assert cvxpy_solver._stand_in("cvxpy.atoms", "scipy.stats", frozenset()) is None
    assert cvxpy_solver._stand_in("__main__", "scipy.stats", frozenset({"entropy"})) is None
    assert cvxpy_solver._stand_in("cvxpy.atoms", "jax", frozenset()) is None
