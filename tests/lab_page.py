"""JupyterLab in a real browser: what a person does there, as a test says it."""

from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
DARK = "JupyterLab Dark"
LIGHT = "JupyterLab Light"
PATIENCE = 60_000


@contextmanager
def chromium():
    """A headless Chromium of the system; its pages have no other network than this machine."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


class LabPage:
    """One browser window with JupyterLab in it."""

    def __init__(self, browser, server, *, width=1280, height=800):
        self.server = server
        self.context = browser.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self._errors = []
        self.console = []
        """What anything on the page has logged as an error."""
        self.page.on("pageerror", lambda error: self._errors.append(f"{error.message}\n{error.stack}"))
        self.page.on("console", lambda said: self.console.append(said.text) if said.type == "error" else None)

    def open(self, path="lab?reset"):
        separator = "&" if "?" in path else "?"
        self.page.goto(f"{self.server.url}/{path}{separator}token={self.server.token}")
        self.page.wait_for_selector("#jupyterlab-splash", state="detached")
        self.page.wait_for_selector(".jp-LauncherCard, .jp-Notebook, .jp-MainAreaWidget")
        return self

    @property
    def errors(self):
        """Script errors that came through FLIP's code; JupyterLab has its own when its server is away."""
        return [error for error in self._errors if "extensions/flipnb" in error]

    def command(self, name, **arguments):
        """Execute a command, as the palette does; returns at once."""
        call = "([name, args]) => { void window.jupyterapp.commands.execute(name, args); }"
        self.page.evaluate(call, [name, arguments])

    def theme(self, name):
        self.command("apputils:change-theme", theme=name)
        self.page.wait_for_selector(f"body[data-jp-theme-name='{name}']", state="attached")

    def notebook(self, path):
        self.command("docmanager:open", path=path)
        self.page.wait_for_selector(".jp-NotebookPanel .jp-Cell")

    def kernel(self):
        """Wait until the open notebook's kernel can be asked."""
        connected = "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
        self.page.wait_for_function(connected)

    def run_cell(self, index):
        self.page.locator(".jp-NotebookPanel .jp-CodeCell").nth(index).locator(".cm-content").click()
        self.command("notebook:run-cell")

    def text(self, selector):
        return self.page.locator(selector).first.inner_text()

    def see(self, text, within="body"):
        self.page.locator(within).get_by_text(text).first.wait_for()

    def shot(self, path):
        self.page.screenshot(path=str(path))

    def close(self):
        self.context.close()
