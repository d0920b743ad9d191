"""Handwritten digits that come with scikit-learn, as a file that `implicit-bias verify --data` reads.

    python scripts/example_digits.py --digits 3 8 --samples 10 --out digits.npz

Each image has 8 x 8 pixels, scaled to [0, 1]. With --centre the mean image is subtracted, which removes most
of the correlation between images. docs/examples.md tells what comes out.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from refimpl import Dataset
from refimpl.errors import ImplicitBiasError, InvalidParameterError, MissingExtraError
from refimpl.files import open_output


def main() -> int:
    """Write the file; the exit code is 2, with one sentence, for bad input."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--digits", type=int, nargs=2, default=(3, 8), metavar="D", help="the digits: +1, then -1")
    parser.add_argument("--samples", type=int, default=10, help="images of each digit (default: 10)")
    parser.add_argument("--centre", action="store_true", help="subtract the mean image of the chosen ones")
    parser.add_argument("--out", required=True, metavar="FILE.npz")
    parser.add_argument("--force", action="store_true", help="overwrite the file if it exists")
    args = parser.parse_args()
    try:
        data = digits(args.digits[0], args.digits[1], args.samples, args.centre)
        with open_output(args.out, args.force) as handle:
            np.savez(handle, X=data.X, y=data.y)
    except ImplicitBiasError as error:
        print(f"example_digits: error: {error}", file=sys.stderr)
        return 2
    print(f"{args.out}: n = {data.n}, d = {data.d}")
    return 0


def digits(positive: int, negative: int, samples: int, centre: bool) -> Dataset:
    """The first `samples` images of each of the two digits."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "docs") from error
    images, labels = load_digits(return_X_y=True)
    rows, y = [], []
    for digit, label in ((positive, 1.0), (negative, -1.0)):
        own = images[labels == digit][:samples]
        if len(own) < samples or samples < 1:
            raise InvalidParameterError("samples", f"be from 1 to the {len(own)} images of the digit {digit}", samples)
        rows.append(own / 16.0)
        y += [label] * samples
    X = np.vstack(rows)
    return Dataset(X - X.mean(axis=0) if centre else X, np.array(y))


if __name__ == "__main__":
    sys.exit(main())
