import { ReactWidget } from '@jupyterlab/ui-components';
import type { JSX } from 'react';

/**
 * A React component as a widget: a region with a name for screen readers. A model of its own is disposed with it.
 */
export abstract class Region<P extends object> extends ReactWidget {
  constructor(
    private readonly _component: (props: P) => JSX.Element,
    protected readonly props: P,
    look: { className: string; label: string },
    private readonly _model?: { dispose(): void }
  ) {
    super();
    this.addClass(look.className);
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', look.label);
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this._model?.dispose();
    }
    super.dispose();
  }

  protected override render(): JSX.Element {
    const Component = this._component;
    return <Component {...this.props} />;
  }
}
