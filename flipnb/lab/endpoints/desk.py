"""The data controller's desk: what waits, what would leave, what runs here, what left. Approving is elsewhere."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

from flipnb.contracts.approval import Decline
from flipnb.contracts.desk import (
    ApprovalPage,
    AuditCheck,
    AuditEntries,
    AuditLines,
    AuditPage,
    DeskRuns,
    DeskStatus,
    Opening,
    RequestDetail,
    RequestList,
    ShownNotebook,
)
from flipnb.contracts.document import Digest, Document
from flipnb.contracts.held_images import HeldImage, HeldImages, HeldPicture, ImageMark
from flipnb.contracts.problem import FlipError
from flipnb.contracts.run import RunId
from flipnb.contracts.text import Line
from flipnb.lab.bench import Bench
from flipnb.lab.endpoint import endpoint
from flipnb.link.desk import desk


class DeskHere(Document):
    """``status`` is None where this JupyterLab is not in an enclave: there is no desk here."""

    status: DeskStatus | None


class DeclineReason(Document):
    """Why a data controller declines, for the researcher to read."""

    reason: Line


class Done(Document):
    """The act was done; what it changed is told as an event."""


@endpoint("GET", "desk", "desk")
def view_desk(bench: Bench) -> DeskHere:
    """This Trust's enclave, where JupyterLab runs in one."""
    if bench.enclave is None:
        return DeskHere(status=None)
    with desk(bench.enclave) as client:
        return DeskHere(status=client.get("/status", DeskStatus))


@endpoint("GET", "desk/requests", "desk")
def list_requests(bench: Bench, decided: bool = False) -> RequestList:
    """Requests that wait or hold; with ``decided`` all that ever came."""
    with desk(_enclave(bench)) as client:
        return client.get(f"/requests{'?all=1' if decided else ''}", RequestList)


@endpoint("GET", "desk/requests/{bundle}", "desk")
def view_request(bench: Bench, bundle: Digest) -> RequestDetail:
    """Everything that a person must see to decide; the count in it is exact and stays inside."""
    with desk(_enclave(bench)) as client:
        return client.get(f"/requests/{bundle}", RequestDetail)


@endpoint("POST", "desk/requests/{bundle}/opened", "desk")
def note_opened(bench: Bench, bundle: Digest, body: Opening) -> Done:
    """A data controller has had the brief or the code of a request before them; both are needed to approve it."""
    with desk(_enclave(bench)) as client:
        client.post(f"/requests/{bundle}/opened", body.to_bytes())
    return Done()


@endpoint("POST", "desk/requests/{bundle}/page", "desk")
def open_approval_page(bench: Bench, bundle: Digest) -> ApprovalPage:
    """A page of the agent's own, on another origin, where the controller approves with the passphrase."""
    with desk(_enclave(bench)) as client:
        return ApprovalPage.model_validate_json(client.send("POST", f"/requests/{bundle}/page"))


@endpoint("POST", "desk/requests/{bundle}/decline", "desk")
def decline_request(bench: Bench, bundle: Digest, body: DeclineReason) -> Done:
    """Decline a request; the researcher hears the reason."""
    with desk(_enclave(bench)) as client:
        client.post("/declines", Decline(bundle=bundle, reason=body.reason).to_bytes())
    return Done()


@endpoint("GET", "desk/runs", "desk")
def list_desk_runs(bench: Bench) -> DeskRuns:
    """The runs at this Trust, the newest first."""
    with desk(_enclave(bench)) as client:
        return client.get("/runs", DeskRuns)


@endpoint("POST", "desk/runs/{run}/stop", "desk")
def stop_here(bench: Bench, run: RunId) -> Done:
    """Stop a run at this Trust alone."""
    with desk(_enclave(bench)) as client:
        client.post(f"/runs/{run}/stop")
    return Done()


@endpoint("GET", "desk/runs/{run}/notebook", "desk")
def view_executed(bench: Bench, run: RunId) -> ShownNotebook:
    """The executed notebook as text and pictures drawn anew. It may show patients, and stays inside."""
    with desk(_enclave(bench)) as client:
        return client.get(f"/runs/{run}/shown", ShownNotebook)


@endpoint("GET", "desk/images", "desk")
def list_held_images(bench: Bench, after: str = "") -> HeldImages:
    """Images that are held back: a page of them, those behind the image ``after``."""
    with desk(_enclave(bench)) as client:
        return client.get(f"/images?after={quote(after)}", HeldImages)


@endpoint("GET", "desk/images/{image}/picture", "desk")
def view_held_picture(bench: Bench, image: Digest, frame: int = 0) -> HeldPicture:
    """A frame of a held image as the enclave drew it, its texts in boxes. It may show patients, and stays inside."""
    with desk(_enclave(bench)) as client:
        png = client.send("GET", f"/images/{image}/picture?frame={frame}")
    return HeldPicture(picture=b64encode(png).decode())


@endpoint("POST", "desk/images/{image}/decision", "desk")
def decide_image(bench: Bench, image: Digest, body: ImageMark) -> HeldImage:
    """Release, cover or refuse a held image, or take that back; the next load of images carries it out."""
    with desk(_enclave(bench)) as client:
        return HeldImage.model_validate_json(client.send("POST", f"/images/{image}/decision", body.to_bytes()))


@endpoint("GET", "desk/audit", "desk")
def view_audit(bench: Bench, after: int = 0) -> AuditPage:
    """Audit entries from the index ``after`` on, and the tree head (RFC 6962)."""
    with desk(_enclave(bench)) as client:
        return client.get(f"/audit?after={after}", AuditPage)


@endpoint("GET", "desk/audit/lines", "desk")
def view_audit_lines(bench: Bench, group: str = "all") -> AuditLines:
    """The newest lines of the audit log in plain words, a run in one of them."""
    with desk(_enclave(bench)) as client:
        return client.get(f"/audit/lines?group={quote(group)}", AuditLines)


@endpoint("GET", "desk/audit/lines/{line}", "desk")
def view_audit_entries(bench: Bench, line: str) -> AuditEntries:
    """The entries of one line of the audit log, and each as it was written."""
    with desk(_enclave(bench)) as client:
        return client.get(f"/audit/lines/{quote(line, safe='')}", AuditEntries)


@endpoint("GET", "desk/audit/check", "desk")
def check_audit(bench: Bench) -> AuditCheck:
    """Have the agent read its audit log again, whole; while it is broken nothing can be approved."""
    with desk(_enclave(bench)) as client:
        return client.get("/audit/check", AuditCheck)


def _enclave(bench: Bench) -> Path:
    if bench.enclave is None:
        raise FlipError(
            "no-desk",
            "This JupyterLab is not in an enclave: there is no desk here.",
            remedy="Start it inside the Trust's enclave, with FLIP_ENCLAVE set.",
            status=404,
        )
    return bench.enclave
