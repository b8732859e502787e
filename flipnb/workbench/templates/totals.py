"""The template *Totals only*: means, spread and a linear regression out of one federated sum, without training."""

from __future__ import annotations

from typing import Any

from flipnb.workbench.templates.starting_point import (
    adults_on_their_first_angiography,
    age,
    cholesterol,
    pressure,
    sex,
)
from flipnb.workbench.templates.template import Content, Template, code, notebook_of, text

_TERMS = ("intercept", "age", "male", "pressure")


def _plan(name: str) -> dict[str, Any]:
    most = 64 * 100_000  # the square of the clipped number, times more people than a hospital has
    size = len(_TERMS)
    bounded = {"minimum": -most, "maximum": most, "decimals": 2}
    results = [*_TERMS, *(f"{term}_error" for term in _TERMS), "mean", "spread"]
    return {
        "title": f"{name}: means and a regression, from totals",
        "dataset": {"variables": [age(), sex(), pressure(), cholesterol()]},
        "split": {"seed": 0, "shares": {"train": 1}},
        "totals": [
            {
                "arrays": [
                    {"name": "products", "shape": [size, size], **bounded},
                    {"name": "moments", "shape": [size], **bounded},
                    {"name": "squares", **bounded},
                ]
            }
        ],
        "outputs": [{"name": n, "minimum": -10000, "maximum": 10000, "decimals": 3, "over": "train"} for n in results],
        "plan": {"rounds": 0, "clip_norm": 1, "round_seconds": 60, "start_seconds": 300},
    }


def _notebook(name: str) -> dict[str, Any]:
    reported = ["mean=mean", "spread=spread"]
    reported += [f"{term}=effect[{index}]" for index, term in enumerate(_TERMS)]
    reported += [f"{term}_error=error[{index}]" for index, term in enumerate(_TERMS)]
    lines = ",\n                    ".join(reported)
    return notebook_of(
        text(
            "title",
            f"""
            # {name}

            How does one number hang together with others? Mean, spread and a linear regression over all hospitals,
            without any training: each hospital adds up products of its columns, the hub adds those sums, and the
            result is to the digit the one that all records in one table would give. No weights leave.

            Press **Rehearse**, then **Send**. On a twin the numbers mean nothing: its people are invented.
            """,
        ),
        code(
            "parameters",
            """
            reach: float = 8.0  # [1, 8] a value further than so many scales from its centre is moved there
            """,
            "parameters",
        ),
        code(
            "data",
            """
            import numpy as np

            import flipnb as flip

            data = flip.data()
            TARGET = "cholesterol"
            SCALES = {  # variable: (centre, scale); they keep every sum within the bounds that the plan declares
                "age": (54.0, 9.0),
                "pressure": (132.0, 19.0),
                "cholesterol": (200.0, 110.0),
            }
            MALE = 8507
            frame = data.train.frame().dropna(subset=list(SCALES))  # people without a value are left out


            def scaled(name):
                centre, scale = SCALES[name]
                return ((frame[name] - centre) / scale).clip(-reach, reach).to_numpy(np.float64)


            male = (frame["sex"] == MALE).to_numpy(np.float64)
            x = np.column_stack([np.ones(len(frame)), scaled("age"), male, scaled("pressure")])
            y = scaled(TARGET)
            """,
        ),
        text(
            "totals-text",
            """
            ## One sum over all hospitals

            `flip.total` gives each hospital the sum over all of them. `products[0, 0]` is the number of people.
            """,
        ),
        code(
            "totals",
            """
            total = flip.total({"products": x.T @ x, "moments": x.T @ y, "squares": y @ y})
            products, moments, squares = total["products"], total["moments"], total["squares"]
            people, terms = products[0, 0], len(products)
            if people <= terms:
                raise ValueError("Too few people have all values.")
            """,
        ),
        text(
            "regression-text",
            """
            ## Mean, spread and regression

            Effects and their standard errors are in the target's own unit, for one more scale of each term (nine
            years of age, 19 mm[Hg]). An effect divided by its error is Student's t.
            """,
        ),
        code(
            "regression",
            """
            centre, scale = SCALES[TARGET]
            mean = centre + scale * moments[0] / people
            spread = scale * np.sqrt((squares - moments[0] ** 2 / people) / (people - 1))
            inverse = np.linalg.pinv(products)
            beta = inverse @ moments
            residual = max(squares - beta @ moments, 0.0) / (people - terms)
            effect = scale * beta
            error = scale * np.sqrt(np.maximum(residual * np.diag(inverse), 0.0))
            effect[0] += centre
            {"mean": round(mean, 1), "spread": round(spread, 1), "t": (effect / error).round(2).tolist()}
            """,
        ),
        text(
            "rounds-text",
            """
            ## What leaves

            No round trains anything, so the loop has one turn. All hospitals report the same numbers; their mean is
            the result.
            """,
        ),
        code(
            "rounds",
            f"""
            for rnd in flip.rounds({{"nothing": np.zeros(1, np.float32)}}):
                rnd.report(
                    {lines},
                )
            """,
        ),
    )


def _content(name: str) -> Content:
    return Content(_notebook(name), _plan(name), adults_on_their_first_angiography().expression())


TEMPLATE = Template(
    name="totals",
    title="Totals only",
    says="Means, spread and a linear regression out of one sum, without training",
    packages=("numpy",),
    content=_content,
    rank=3,
)
