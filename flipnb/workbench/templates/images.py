"""The template *Radiographs, yes or no*: a small ResNet over radiographs, and their people's rows of the table."""

from __future__ import annotations

from typing import Any

from flipnb import cohorts
from flipnb.workbench.templates.starting_point import age, measured, sex, training
from flipnb.workbench.templates.template import Content, Template, code, notebook_of, text

RADIOGRAPH = 2000000201
"""The concept that a new cohort's radiographs have: where an estate maps DICOM's CR and DX to another, name that."""
_C_REACTIVE_PROTEIN, _PNEUMONIA = 3020460, 255848


def _plan(name: str) -> dict[str, Any]:
    protein = measured("crp", _C_REACTIVE_PROTEIN, "mg/L", 0, 500, "C-reactive protein")
    pneumonia = {
        "name": "pneumonia",
        "source": "condition",
        "concept_id": _PNEUMONIA,
        "window": {"start_days": 0, "end_days": 7},
        "role": "outcome",
        "label": "Pneumonia within a week",
    }
    radiograph = {
        "name": "xray",
        "modalities": ["CR", "DX"],
        "dimensions": 2,
        "window": {"start_days": 0, "end_days": 0},
        "size": [64, 64],
    }
    years = age() | {"minimum": 18, "maximum": 100}
    return {
        "title": f"{name}: yes or no, from radiographs and a table",
        "dataset": {"variables": [years, sex(), protein, pneumonia], "images": [radiograph]},
        "split": {"seed": 0, "shares": {"train": 3, "test": 1}, "stratify": {"variable": "pneumonia", "above": 0}},
        "outputs": [
            {"name": "loss", "minimum": 0, "maximum": 20, "decimals": 4, "over": "test"},
            {"name": "auc", "minimum": 0, "maximum": 1, "decimals": 4, "over": "test"},
        ],
        "plan": training(10) | {"clip_norm": 30, "round_seconds": 600, "start_seconds": 3600},
    }


def _notebook(name: str) -> dict[str, Any]:
    return notebook_of(
        text(
            "title",
            f"""
            # {name}

            Who has it, and who has not? A small network looks at each person's chest radiograph, and at the row that
            the table has of the same person. It runs here on a *twin* (press **Rehearse**), whose radiographs are
            phantoms, and unchanged in every hospital that approves it (press **Send**).

            Make it yours: the **cohort** says whose records are used (whoever has a radiograph, from that day on), the
            **plan** (the `.flip.json` beside this notebook) which images and variables are seen, in which form, and
            which numbers leave; the cells below what is done with them. On a twin the numbers mean nothing.
            """,
        ),
        code(
            "parameters",
            """
            lr: float = 0.002  # [0.00001, 0.1] learning rate
            epochs: int = 1  # [1, 10] passes over the radiographs in each round
            batch_size: int = 32  # [4, 256] radiographs at a time
            """,
            "parameters",
        ),
        code(
            "data",
            """
            import torch
            from monai.networks.nets import ResNet

            import flipnb as flip

            data = flip.data()
            train, test = data.train.images("xray"), data.test.images("xray")
            torch.manual_seed(0)
            {"people": len(data.train.frame()), "radiographs": len(train), "to test with": len(test)}
            """,
        ),
        text(
            "features-text",
            """
            ## From a radiograph and a row to numbers

            Not everybody has a radiograph that can be used, so the radiographs are what is gone through; the row beside
            each is that of its person. Scanners differ in how bright they are, so each radiograph is brought to mean 0
            and spread 1. Every hospital must scale variables alike, so those scales are constants. A missing value
            counts as the centre.
            """,
        ),
        code(
            "features",
            """
            OUTCOME, ABOVE = "pneumonia", 0  # yes, where this variable is above this number
            SCALES = {"age": (60.0, 18.0), "crp": (60.0, 80.0)}  # variable: (centre, scale)
            MALE = 8507


            def tensors(batch):
                \"\"\"Radiographs [people, 1, x, y], features [people, features], labels [people]; float32.\"\"\"
                image, row = batch["image"], batch["row"]
                mean, spread = image.mean((2, 3), keepdim=True), image.std((2, 3), keepdim=True)
                columns = [((row[name] - centre) / scale).nan_to_num(0.0) for name, (centre, scale) in SCALES.items()]
                columns.append(row["sex"] == MALE)
                features = torch.stack([column.float() for column in columns], dim=1)
                return (image - mean) / spread.clamp(min=1e-3), features, (row[OUTCOME] > ABOVE).float()
            """,
        ),
        text(
            "model-text",
            """
            ## The model

            MONAI's ResNet, small, with group normalisation: it keeps no statistics of people, which batch normalisation
            would send along. What it makes of the radiograph, and the features, go into one last layer.
            """,
        ),
        code(
            "model",
            """
            class Network(torch.nn.Module):
                def __init__(self, seen=16):
                    super().__init__()
                    self.radiograph = ResNet(
                        "basic",
                        [1, 1, 1, 1],
                        [16, 32, 64, 128],
                        spatial_dims=2,
                        n_input_channels=1,
                        num_classes=seen,
                        conv1_t_size=3,
                        conv1_t_stride=2,
                        no_max_pool=True,
                        norm=("group", {"num_groups": 8}),
                    )
                    self.last = torch.nn.Linear(seen + len(SCALES) + 1, 1)

                def forward(self, image, features):
                    return self.last(torch.cat([self.radiograph(image), features], dim=1)).squeeze(1)


            model = Network()
            optimiser = torch.optim.AdamW(model.parameters(), lr=lr)
            loss_of = torch.nn.functional.binary_cross_entropy_with_logits


            def tested():
                \"\"\"Loss, and area under the ROC curve: how often who has it is scored above who has not.\"\"\"
                model.eval()
                with torch.no_grad():
                    parts = [(model(image, features), y) for image, features, y in map(tensors, test.batches(256))]
                if not parts:
                    return 0.0, 0.5
                score, y = (torch.cat(part) for part in zip(*parts))
                above = score[y > 0.5].unsqueeze(1) - score[y < 0.5]
                auc = ((above > 0).float() + (above == 0).float() / 2).mean().item() if above.numel() else 0.5
                return loss_of(score, y).item(), auc
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
                loss, auc = tested()
                if rnd.training:
                    model.train()
                    for epoch in range(epochs):
                        for image, features, y in map(tensors, train.batches(batch_size, shuffle=True)):
                            optimiser.zero_grad()
                            (loss_of(model(image, features), y) + rnd.proximal(model)).backward()
                            optimiser.step()
                rnd.report(loss=loss, auc=auc)
            """,
        ),
    )


def _content(name: str) -> Content:
    radiographs = cohorts.concepts("Radiograph", RADIOGRAPH)
    cohort = cohorts.enter(cohorts.image(radiographs).first()).require("Adult", cohorts.age(at_least=18))
    return Content(_notebook(name), _plan(name), cohort.expression())


TEMPLATE = Template(
    name="images",
    title="Radiographs, yes or no",
    says="A small ResNet over radiographs and the table's row of the same person",
    packages=("monai", "torch"),
    content=_content,
    rank=4,
)
