"""The extension's application: configuration, handlers, event schemas, and the listener at the hub."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from traitlets import Bool, Unicode

from flipnb.lab import endpoints
from flipnb.lab.bench import Bench
from flipnb.lab.desk_listener import DeskListener
from flipnb.lab.handlers import routes_of
from flipnb.lab.listener import SCHEMAS, Listener
from flipnb.workbench.home import Home


class FlipApp(ExtensionApp):
    """FLIP's workbench in JupyterLab."""

    name = "flipnb"
    app_name = "FLIP workbench"
    description = "Federated learning from a notebook, on data that never leaves the hospital."
    load_other_extensions = True

    home_directory = Unicode(
        "", config=True, help="Where the researcher's configuration and key lie; empty: $FLIP_HOME, else the user's."
    )
    listens = Bool(True, config=True, help="Whether to follow the hub, so that screens change as runs do.")

    enclave_directory = Unicode(
        "", config=True, help="In a Trust: its enclave's directory, whose desk is shown; empty: $FLIP_ENCLAVE, or none."
    )

    def initialize_settings(self) -> None:
        """Find home and enclave, register the event schemas, make the listeners; nothing listens yet."""
        for schema in sorted(SCHEMAS.glob("*.yaml")):
            self._server.event_logger.register_event_schema(schema)
        home = Home(Path(self.home_directory)) if self.home_directory else Home.find()
        self.listener = Listener(home, self._emit, self.log)
        named = self.enclave_directory or os.environ.get("FLIP_ENCLAVE", "")
        enclave = Path(named).absolute() if named else None
        self.desk_listener = DeskListener(enclave, self._emit, self.log)
        self.bench = Bench(home, Path(self._server.root_dir), self.listener, enclave)

    def initialize_handlers(self) -> None:
        """A handler for the path of each endpoint."""
        self.handlers.extend(routes_of(endpoints.ALL, self.bench))

    async def _start_jupyter_server_extension(self, serverapp: Any) -> None:
        if self.listens:
            self.listener.start()
            self.desk_listener.start()

    async def stop_extension(self) -> None:
        """Stop listening, in an orderly way."""
        await self.desk_listener.stop()
        await self.listener.stop()

    def _emit(self, schema: str, data: dict[str, Any]) -> None:
        self._server.event_logger.emit(schema_id=schema, data=data)

    @property
    def _server(self) -> Any:
        return self.serverapp
