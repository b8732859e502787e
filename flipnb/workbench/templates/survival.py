"""The template *Table, survival*: a discrete-time hazard model of the time until death."""

from __future__ import annotations

from typing import Any

from flipnb.workbench.templates.starting_point import (
    adults_on_their_first_angiography,
    age,
    cholesterol,
    heart_rate,
    pressure,
    sex,
    training,
)
from flipnb.workbench.templates.template import Content, Template, code, notebook_of, text

_TWO_YEARS = 730


def _plan(name: str) -> dict[str, Any]:
    return {
        "title": f"{name}: survival, from a table",
        "dataset": {
            "variables": [age(), sex(), pressure(), cholesterol(), heart_rate()],
            "tables": [{"name": "death", "columns": ["death_date"]}],
        },
        "split": {"seed": 0, "shares": {"train": 2, "test": 1}},
        "outputs": [
            {"name": "loss", "minimum": 0, "maximum": 50, "decimals": 4, "over": "train"},
            {"name": "concordance", "minimum": 0, "maximum": 1, "decimals": 4, "over": "test"},
        ],
        "plan": training(30),
    }


def _notebook(name: str) -> dict[str, Any]:
    return notebook_of(
        text(
            "title",
            f"""
            # {name}

            How long until it happens? A discrete-time survival model: follow-up is cut into intervals, and in each
            the model says how likely the event is for those who are still at risk. Unlike Cox's partial likelihood,
            which compares people of one hospital with each other, this likelihood is a sum over people, so that
            hospitals can learn it together without anybody's time leaving.

            The event is **death**, up to the end of the cohort: the cohort's *leave* says how long people are
            followed (here two years, or until their observation ends). Press **Rehearse**, then **Send**.
            """,
        ),
        code(
            "parameters",
            """
            lr: float = 0.3  # [0.0001, 10] learning rate
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
            EDGES = np.array([0, 90, 180, 365, 730])  # days; the intervals lie between
            """,
        ),
        text(
            "follow-up-text",
            """
            ## Follow-up

            From the records: days from the cohort's start to its end, and whether the person died by then. A twin's
            people have no follow-up, so theirs is invented here, which a rehearsal needs and a hospital never does.
            """,
        ),
        code(
            "follow-up",
            """
            FOLLOW_UP = \"\"\"
                SELECT
                    c.cohort_end_date - c.cohort_start_date AS stay,
                    d.death_date - c.cohort_start_date AS until_death
                FROM cohort c LEFT JOIN death d ON d.person_id = c.subject_id
                ORDER BY c.subject_id
            \"\"\"


            def follow_up(part):
                \"\"\"Days of follow-up, and whether it ended by death: two arrays [people].\"\"\"
                if data.is_twin:
                    invented = np.random.default_rng(0)
                    until_death = invented.exponential(900, len(part))
                    until_end = np.minimum(invented.uniform(30, 1200, len(part)), EDGES[-1])
                    return np.minimum(until_death, until_end), until_death <= until_end
                found = part.sql(FOLLOW_UP).astype("Float64")
                until_death = found["until_death"].to_numpy(np.float64, na_value=np.inf)
                until_end = found["stay"].to_numpy(np.float64)
                return np.minimum(until_death, until_end), until_death <= until_end
            """,
        ),
        text(
            "features-text",
            """
            ## From variables to numbers

            `at_risk` [people, intervals] says who was seen through an interval, or died in it; `events` who died in
            it. Who left within an interval is not at risk in it. A missing value counts as the centre.
            """,
        ),
        code(
            "features",
            """
            SCALES = {  # variable: (centre, scale)
                "age": (54.0, 9.0),
                "pressure": (132.0, 19.0),
                "cholesterol": (200.0, 110.0),
                "heart_rate": (137.0, 26.0),
            }
            MALE = 8507


            def tensors(part):
                \"\"\"Features [people, features], at risk and events [people, intervals]; days and died [people].\"\"\"
                frame = part.frame()
                columns = [((frame[name] - centre) / scale).fillna(0.0) for name, (centre, scale) in SCALES.items()]
                columns.append(frame["sex"] == MALE)
                x = np.column_stack([column.to_numpy(np.float64) for column in columns])
                days, died = follow_up(part)
                events = died[:, None] & (days[:, None] >= EDGES[:-1]) & (days[:, None] < EDGES[1:])
                events[:, -1] |= died & (days == EDGES[-1])
                at_risk = (days[:, None] >= EDGES[1:]) | events
                as_tensors = (torch.tensor(values, dtype=torch.float32) for values in (x, at_risk, events))
                return *as_tensors, torch.tensor(days), torch.tensor(died)


            train_x, train_at_risk, train_events, _, _ = tensors(data.train)
            test_x, _, _, test_days, test_died = tensors(data.test)
            """,
        ),
        code(
            "model",
            """
            class Hazard(torch.nn.Module):
                \"\"\"log-odds of the event, in each interval: one baseline per interval, one effect per feature.\"\"\"

                def __init__(self, features, intervals):
                    super().__init__()
                    self.baseline = torch.nn.Parameter(torch.full((intervals,), -3.0))
                    self.effect = torch.nn.Parameter(torch.zeros(features))

                def forward(self, x):
                    return (x @ self.effect)[:, None] + self.baseline


            model = Hazard(train_x.shape[1], len(EDGES) - 1)
            optimiser = torch.optim.SGD(model.parameters(), lr=lr)


            def loss_of(x, at_risk, events):
                \"\"\"Minus the log-likelihood per person.\"\"\"
                each = torch.nn.functional.binary_cross_entropy_with_logits(model(x), events, reduction="none")
                return (each * at_risk).sum() / max(len(x), 1) + l2 / 2 * model.effect.square().sum()


            def concordance_of(x, days, died):
                \"\"\"How often, of two people, the one at higher risk died first; 0.5 without pairs.\"\"\"
                with torch.no_grad():
                    risk = x @ model.effect
                right = pairs = 0.0
                for index in torch.nonzero(died).flatten():
                    later = days > days[index]
                    pairs += later.sum().item()
                    higher, equal = risk[index] > risk[later], risk[index] == risk[later]
                    right += higher.sum().item() + 0.5 * equal.sum().item()
                return right / pairs if pairs else 0.5
            """,
        ),
        text(
            "rounds-text",
            """
            ## Rounds

            The concordance is each hospital's own, over its own pairs, and then the mean over their people: no pair
            reaches across hospitals.
            """,
        ),
        code(
            "rounds",
            """
            for rnd in flip.rounds(model, state=[optimiser]):
                loss = loss_of(train_x, train_at_risk, train_events).item()
                concordance = concordance_of(test_x, test_days, test_died)
                if rnd.training:
                    for step in range(local_steps):
                        optimiser.zero_grad()
                        (loss_of(train_x, train_at_risk, train_events) + rnd.proximal(model)).backward()
                        optimiser.step()
                rnd.report(loss=loss, concordance=concordance)
            """,
        ),
    )


def _content(name: str) -> Content:
    cohort = adults_on_their_first_angiography().leave_after(_TWO_YEARS)
    return Content(_notebook(name), _plan(name), cohort.expression())


TEMPLATE = Template(
    name="survival",
    title="Table, survival",
    says="A discrete-time hazard model of the time until death",
    packages=("torch",),
    content=_content,
    rank=2,
)
