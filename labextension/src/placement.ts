import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { DocumentRegistry } from '@jupyterlab/docregistry';
import type { Widget } from '@lumino/widgets';

/**
 * Show a view in the main area; where that takes one document alone, as in Notebook, in the panel on the right.
 */
export function addView(
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
