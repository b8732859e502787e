"""The template *Table, yes or no*: a logistic regression over a table of variables."""

from __future__ import annotations

from typing import Any

from flipnb.workbench.templates.starting_point import (
    adults_on_their_first_angiography,
    age,
    cholesterol,
    depression,
    heart_rate,
    pressure,
    sex,
    status,
    training,
)
from flipnb.workbench.templates.template import Content, Template, code, notebook_of, text


def _plan(name: str) -> dict[str, Any]:
    return {
        "title": f"{name}: yes or no, from a table",
        "dataset": {"variables": [age(), sex(), pressure(), cholesterol(), heart_rate(), depression(), status()]},
        "split": {"seed": 0, "shares": {"train": 2, "test": 1}, "stratify": {"variable": "status", "above": 0}},
        "outputs": [
            {"name": "loss", "minimum": 0, "maximum": 20, "decimals": 4, "over": "train"},
            {"name": "accuracy", "minimum": 0, "maximum": 1, "decimals": 4, "over": "test"},
        ],
        "plan": training(20),
    }


def _notebook(name: str) -> dict[str, Any]:
    return notebook_of(
        text(
            "title",
            f"""
            # {name}

            Who has it, and who has not? A logistic regression over a table: one row per person, one column per
            variable. It runs here on a *twin* of invented people (press **Rehearse**), and unchanged in every
            hospital that approves it (press **Send**).

            Make it yours: the **cohort** says whose records are used, the **plan** (the `.flip.json` beside this
            notebook) which variables are seen and which numbers leave, and the cells below what is done with them.
            To begin with, they are those of the demo's four hospitals.
            """,
        ),
        code(
            "parameters",
            """
            lr: float = 0.5  # [0.0001, 10] learning rate
            local_steps: int = 5  # [1, 100] full-batch gradient steps per round
            l2: float = 0.001  # [0, 1] weight decay
            """,
            "parameters",
        ),
        code(
            "data",
            """
            import numpy as np
            import torch

            import flipnb as flip

            data = flip.data()
            data.train.frame().describe().loc[["count", "mean", "std"]].round(1)
            """,
        ),
        text(
            "features-text",
            """
            ## From variables to numbers

            Every hospital must scale alike, so centres and scales are constants. A missing value counts as the
            centre.
            """,
        ),
        code(
            "features",
            """
            OUTCOME, ABOVE = "status", 0  # yes, where this variable is above this number
            SCALES = {  # variable: (centre, scale)
                "age": (54.0, 9.0),
                "pressure": (132.0, 19.0),
                "cholesterol": (200.0, 110.0),
                "heart_rate": (137.0, 26.0),
                "depression": (0.9, 1.1),
            }
            MALE = 8507


            def tensors(part):
                \"\"\"Features [people, features] and labels [people], float32.\"\"\"
                frame = part.frame()
                columns = [((frame[name] - centre) / scale).fillna(0.0) for name, (centre, scale) in SCALES.items()]
                columns.append(frame["sex"] == MALE)
                x = np.column_stack([column.to_numpy(np.float64) for column in columns])
                y = (frame[OUTCOME] > ABOVE).to_numpy(np.float32)
                return torch.tensor(x, dtype=torch.float32), torch.tensor(y)


            train_x, train_y = tensors(data.train)
            test_x, test_y = tensors(data.test)
            """,
        ),
        code(
            "model",
            """
            model = torch.nn.Linear(train_x.shape[1], 1)
            torch.nn.init.zeros_(model.weight)
            torch.nn.init.zeros_(model.bias)
            optimiser = torch.optim.SGD(model.parameters(), lr=lr)


            def loss_of(x, y):
                likelihood = torch.nn.functional.binary_cross_entropy_with_logits(model(x).squeeze(1), y)
                return likelihood + l2 / 2 * model.weight.square().sum()


            def accuracy_of(x, y):
                with torch.no_grad():
                    return ((model(x).squeeze(1) > 0) == (y > 0.5)).float().mean().item() if len(x) else 0.0
            """,
        ),
        text(
            "rounds-text",
            """
            ## Rounds

            Each turn of the loop is one round: the global weights are in the model already, and what training
            changes is sent when the next round is asked for. `report` sends the numbers that the plan declares,
            nothing else.
            """,
        ),
        code(
            "rounds",
            """
            for rnd in flip.rounds(model, state=[optimiser]):
                loss = loss_of(train_x, train_y).item()
                accuracy = accuracy_of(test_x, test_y)
                if rnd.training:
                    for step in range(local_steps):
                        optimiser.zero_grad()
                        (loss_of(train_x, train_y) + rnd.proximal(model)).backward()
                        optimiser.step()
                rnd.report(loss=loss, accuracy=accuracy)
            """,
        ),
    )


def _content(name: str) -> Content:
    return Content(_notebook(name), _plan(name), adults_on_their_first_angiography().expression())


TEMPLATE = Template(
    name="table",
    title="Table, yes or no",
    says="A logistic regression over a table of variables",
    packages=("torch",),
    content=_content,
    rank=1,
)
