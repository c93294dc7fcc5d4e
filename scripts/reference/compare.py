"""How far two sets of reference files lie apart."""

from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from scripts.reference.arrays import Arrays


def compare(folder: Path, other: Path, tolerance: float) -> bool:
    """Prints the largest difference of every array of `folder` that `other` has too; whether all are small.

    Small: at most `tolerance` × the array's largest magnitude; 100 times that for pictures, since their clamped ends
    hide how large the decoder's numbers were. Whole numbers must be equal.
    """
    fine = True
    for file in sorted(folder.glob("*.safetensors")):
        if (other / file.name).exists():
            fine &= _compare_files(load_file(file), load_file(other / file.name), file.name, tolerance)
    return fine


def _compare_files(arrays: Arrays, others: Arrays, title: str, tolerance: float) -> bool:
    fine = True
    for name, array in arrays.items():
        if name not in others or others[name].shape != array.shape:
            print(f"{title}: {name} is missing or of another shape on the other side")
            fine = False
            continue
        difference = np.abs(array.astype(np.float64) - others[name].astype(np.float64)).max()
        largest = float(np.abs(array.astype(np.float64)).max()) if array.dtype.kind == "f" else 0.0
        close = bool(difference <= tolerance * largest * (100 if name.endswith(".image") else 1))
        print(f"{title}: {name}: {difference:.2e} of {largest:.3g}{'' if close else '  ← too far'}")
        fine &= close
    return fine
