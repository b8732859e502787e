import type { ILayoutRestorer, JupyterFrontEnd } from '@jupyterlab/application';
import { MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import type { Widget } from '@lumino/widgets';

/**
 * How views come back when Lab is reloaded. The names are kept in workspaces: another one is another view.
 */
export interface IRestoring<T> {
  command: string;
  args?: (content: T, id: string) => ReadonlyPartialJSONObject;
  /**
   * Without it a view is known by its id.
   */
  name?: (content: T) => string;
  when?: Promise<unknown>;
}

/**
 * Views of one kind in the main area. Each is there once: asked for again, it comes to the front.
 */
export class Views<T extends Widget = Widget> {
  constructor(
    private readonly _app: JupyterFrontEnd,
    namespace: string
  ) {
    this._tracker = new WidgetTracker<MainAreaWidget<T>>({ namespace });
  }

  /**
   * The content of the view that was in front last; null where none is open.
   */
  get current(): T | null {
    return this._tracker.currentWidget?.content ?? null;
  }

  /**
   * The contents of all views that are open.
   */
  get contents(): T[] {
    return this._tracker.filter(() => true).map(view => view.content);
  }

  /**
   * Bring the view with an id to the front; where there is none, show what `make` makes, under its title.
   */
  async open(
    id: string,
    make: () => Promise<T>,
    options?: DocumentRegistry.IOpenOptions
  ): Promise<T> {
    const known = this._tracker.find(view => view.id === id);
    if (known) {
      this._app.shell.activateById(id);
      return known.content;
    }
    let making = this._making.get(id);
    if (making === undefined) {
      making = this._add(id, make, options).finally(() => {
        this._making.delete(id);
      });
      this._making.set(id, making);
    }
    return making;
  }

  /**
   * Have the views come back when Lab is reloaded.
   */
  restore(restorer: ILayoutRestorer | null, how: IRestoring<T>): void {
    const { command, args, name, when } = how;
    void restorer?.restore(this._tracker, {
      command,
      args: view => args?.(view.content, view.id) ?? {},
      name: view => name?.(view.content) ?? view.id,
      when
    });
  }

  private async _add(
    id: string,
    make: () => Promise<T>,
    options?: DocumentRegistry.IOpenOptions
  ): Promise<T> {
    const content = await make();
    const view = new MainAreaWidget({ content });
    view.id = id;
    await this._tracker.add(view);
    show(this._app, view, options);
    return content;
  }

  private readonly _tracker: WidgetTracker<MainAreaWidget<T>>;
  private readonly _making = new Map<string, Promise<T>>();
}

/**
 * Show a view in the main area; where that takes one document alone, as in Notebook, in the panel on the right.
 */
function show(
  app: JupyterFrontEnd,
  view: Widget,
  options?: DocumentRegistry.IOpenOptions
): void {
  const { shell } = app;
  shell.add(view, 'main', options);
  shell.activateById(view.id);
  void app.restored.then(() => {
    if (view.parent === null && !view.isDisposed) {
      shell.add(view, 'right');
      shell.activateById(view.id);
    }
  });
}
