"""The Jupyter server extension: what the screens in JupyterLab talk to.

The hub's address, the researcher's key and the authority's certificate stay in this process; a browser sees none of
them. Nothing here imports torch, flwr or plotly.
"""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from flipnb.lab.app import FlipApp

    return [{"module": "flipnb.lab", "app": FlipApp}]


def _jupyter_labextension_paths() -> list[dict[str, str]]:
    return [{"src": "../labextension", "dest": "flipnb"}]
