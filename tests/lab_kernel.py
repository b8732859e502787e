"""A kernel that a real Jupyter server starts for a notebook's session, as JupyterLab asks for it."""

import asyncio
import json
import uuid
from pathlib import Path

from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect


class CellFailed(AssertionError):
    """A cell raised."""


class LabKernel:
    """The kernel of the notebook ``path``, below the server's root, until it is closed."""

    def __init__(self, server, path, *, kind="notebook"):
        self.server = server
        name = Path(path).name
        asked = {"kernel": {"name": "python3"}, "name": name, "path": str(path), "type": kind}
        self.session = server.post("api/sessions", asked).json()
        self.id = self.session["kernel"]["id"]
        self._loop = asyncio.new_event_loop()
        url = f"{server.url.replace('http', 'ws', 1)}/api/kernels/{self.id}/channels"
        request = HTTPRequest(url, headers={"authorization": f"token {server.token}"})
        self._socket = self._loop.run_until_complete(_connected(request))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._loop.run_until_complete(_closed(self._socket))
        self._loop.close()
        self.server.request("DELETE", f"api/sessions/{self.session['id']}")

    def rename(self, path):
        """As JupyterLab does it when a notebook is renamed: the file, then its session."""
        renamed = self.server.request(
            "PATCH", f"api/contents/{self.session['path']}", content=json.dumps({"path": path})
        )
        assert renamed.status_code == 200, renamed.text
        said = json.dumps({"path": path, "name": Path(path).name, "type": "notebook"})
        self.session = self.server.request("PATCH", f"api/sessions/{self.session['id']}", content=said).json()

    def run(self, code, seconds=300):
        """One cell. Returns its outputs (nbformat) as they came; raises CellFailed with the error's words."""
        return self._loop.run_until_complete(asyncio.wait_for(self._run(code), seconds))

    async def _run(self, code):
        asked = uuid.uuid4().hex
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}, "allow_stdin": False}
        header = {"msg_id": asked, "msg_type": "execute_request", "session": asked, "username": "", "version": "5.3"}
        whole = {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}
        await self._socket.write_message(json.dumps(whole))
        outputs, failed, replied, idle = [], None, False, False
        while not (replied and idle):
            message = json.loads(await self._socket.read_message())
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["header"]["msg_type"], message["content"]
            replied = replied or kind == "execute_reply"
            idle = idle or (kind == "status" and content["execution_state"] == "idle")
            if kind == "error":
                failed = content
            if kind in ("stream", "execute_result", "display_data"):
                outputs.append(content)
        if failed is not None:
            raise CellFailed(f"{failed['ename']}: {failed['evalue']}\nin the cell:\n{code}")
        return outputs


async def _closed(socket):
    """Within a loop: tornado writes its farewell by the one that is running."""
    socket.close()
    await asyncio.sleep(0)


async def _connected(request):
    return await websocket_connect(request)


def text_of(outputs):
    """All words of a cell's outputs: streams, and each output's plainest form."""
    return "\n".join(content.get("text") or str(content.get("data", {}).get("text/plain", "")) for content in outputs)
