"""Cells and files that the workbench's tests are made of."""

import shutil
from pathlib import Path

from flipnb.contracts.keys import SigningKey

NOTEBOOKS = Path(__file__).parents[3] / "notebooks"
PARAMETERS = 'lr: float = 0.1  # [0, 1] learning rate\nsolver: str = "sgd"  # {sgd, adam} which one\nseed: int = 0\n'
ROUNDS = """import numpy as np
import flipnb as flip

data = flip.data()
weights = {"w": np.zeros(2, np.float32)}
for rnd in flip.rounds(weights):
    weights["w"] += np.float32(lr)
    rnd.report(loss=len(data.train) / 1000, accuracy=0.5)
"""


def cell(source, *tags, kind="code", **more):
    body = {"cell_type": kind, "id": f"c{abs(hash(source)) % 10**8}", "metadata": {}, "source": source, **more}
    if tags:
        body["metadata"]["tags"] = list(tags)
    if kind == "code":
        body |= {"outputs": [], "execution_count": None}
    return body


def parameters(source=PARAMETERS):
    return cell(source, "parameters")


TRUSTS = {name: SigningKey.generate() for name in ("north", "south", "west")}


def copy_tutorial(directory):
    for file in NOTEBOOKS.glob("heart_disease.*"):
        shutil.copy(file, directory)
    return directory / "heart_disease.ipynb"
