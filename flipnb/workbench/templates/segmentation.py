"""The template *Segmentation of CT*: a small three-dimensional UNet, from volumes and DICOM SEG labels."""

from __future__ import annotations

from typing import Any

from flipnb import cohorts
from flipnb.workbench.templates.starting_point import age, sex, training
from flipnb.workbench.templates.template import Content, Template, code, notebook_of, text

COMPUTED_TOMOGRAPHY = 2000000202
"""The concept that a new cohort's scans have: where an estate maps DICOM's CT to another, name that."""


def _plan(name: str) -> dict[str, Any]:
    scan = {
        "name": "scan",
        "modalities": ["CT"],
        "dimensions": 3,
        "window": {"start_days": 0, "end_days": 0},
        "spacing": [10, 10, 16],
        "size": [32, 32, 16],
        "labels": [{"name": "liver", "label": "Liver"}],
    }
    return {
        "title": f"{name}: segmentation of CT",
        "dataset": {"variables": [age() | {"minimum": 18, "maximum": 100}, sex()], "images": [scan]},
        "split": {"seed": 0, "shares": {"train": 3, "test": 1}},
        "outputs": [
            {"name": "loss", "minimum": 0, "maximum": 20, "decimals": 4, "over": "test"},
            {"name": "dice", "minimum": 0, "maximum": 1, "decimals": 4, "over": "test"},
        ],
        "plan": training(10) | {"clip_norm": 30, "round_seconds": 1800, "start_seconds": 3600},
    }


def _notebook(name: str) -> dict[str, Any]:
    return notebook_of(
        text(
            "title",
            f"""
            # {name}

            Where is it? A small UNet learns from CT volumes in which somebody has drawn an organ (DICOM SEG). It runs
            here on a *twin* (press **Rehearse**), whose volumes are phantoms with a ball as the organ, and unchanged in
            every hospital that approves it (press **Send**).

            Make it yours: the **plan** (the `.flip.json` beside this notebook) says which scans are seen, to which
            spacing and size they are brought, and which segments are labels, by the names that their SEG files have.
            The **cohort** says whose they are: whoever has a CT, from that day on.
            """,
        ),
        code(
            "parameters",
            """
            lr: float = 0.005  # [0.00001, 0.1] learning rate
            steps: int = 5  # [1, 1000] batches in each round
            batch_size: int = 4  # [1, 64] volumes at a time
            """,
            "parameters",
        ),
        code(
            "data",
            """
            import torch
            from monai.losses import DiceCELoss
            from monai.networks.nets import UNet

            import flipnb as flip

            data = flip.data()
            train, test = data.train.images("scan"), data.test.images("scan")
            torch.manual_seed(0)
            {"volumes": len(train), "to test with": len(test)}
            """,
        ),
        text(
            "volumes-text",
            """
            ## From a scan to numbers

            Volumes are in Hounsfield units; what is outside of the window of soft tissue tells nothing of an organ.
            """,
        ),
        code(
            "volumes",
            """
            LOWEST, HIGHEST = -1000.0, 1000.0  # Hounsfield units


            def tensors(batch):
                \"\"\"Volumes [people, 1, x, y, z], float32 in 0 to 1, and labels of that shape: 0 or a label's.\"\"\"
                image = (batch["image"].clamp(LOWEST, HIGHEST) - LOWEST) / (HIGHEST - LOWEST)
                return image, batch["label"].long()


            def endless():
                \"\"\"Batches, in another order each time that all were there; none where there is no volume.\"\"\"
                while len(train):
                    yield from map(tensors, train.batches(batch_size, shuffle=True))
            """,
        ),
        code(
            "model",
            """
            model = UNet(
                spatial_dims=3,
                in_channels=1,
                out_channels=2,  # nothing, and each of the plan's labels
                channels=(8, 16, 32),
                strides=(2, 2),
                num_res_units=1,
                norm="instance",  # it keeps no statistics of people, which batch normalisation would send along
            )
            optimiser = torch.optim.AdamW(model.parameters(), lr=lr)
            loss_of = DiceCELoss(to_onehot_y=True, softmax=True, include_background=False)


            def tested():
                \"\"\"Loss, and Dice's coefficient of all labelled voxels: means over volumes.\"\"\"
                model.eval()
                loss, overlap = 0.0, 0.0
                with torch.no_grad():
                    for image, label in map(tensors, test.batches(batch_size)):
                        found = model(image)
                        loss += loss_of(found, label).item() * len(image)
                        drawn, there = found.argmax(1, keepdim=True) > 0, label > 0
                        both, either = (one.sum((1, 2, 3, 4)) for one in (drawn & there, drawn.int() + there.int()))
                        overlap += (2 * both / either.clamp(min=1)).sum().item()
                count = max(1, len(test))
                return loss / count, overlap / count
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
            batches = endless()
            for rnd in flip.rounds(model, state=[optimiser]):
                loss, dice = tested()
                if rnd.training:
                    model.train()
                    for step, (image, label) in zip(range(steps), batches):
                        optimiser.zero_grad()
                        (loss_of(model(image), label) + rnd.proximal(model)).backward()
                        optimiser.step()
                rnd.report(loss=loss, dice=dice)
            """,
        ),
    )


def _content(name: str) -> Content:
    scans = cohorts.concepts("CT", COMPUTED_TOMOGRAPHY)
    cohort = cohorts.enter(cohorts.image(scans).first()).require("Adult", cohorts.age(at_least=18))
    return Content(_notebook(name), _plan(name), cohort.expression())


TEMPLATE = Template(
    name="segmentation",
    title="Segmentation of CT",
    says="A small UNet over CT volumes with drawn labels (DICOM SEG)",
    packages=("monai", "torch"),
    content=_content,
    rank=5,
)
