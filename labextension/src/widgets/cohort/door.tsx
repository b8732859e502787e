import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';
import type { JSX } from 'react';

import { messageOf } from '../../api';
import { CommandIDs } from '../../commands';
import type { IWorkbench } from '../../tokens';
import { Problem } from '../parts/problem';

/**
 * What the way from a cohort's file to the builder needs.
 */
export interface IDoorProps {
  path: string;
  workbench: IWorkbench;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

/**
 * The way from a cohort's file to the builder: what can't be read as a cohort stays here, says why, and opens as text.
 */
export class CohortDoor extends ReactWidget {
  constructor(private readonly _props: IDoorProps) {
    super();
    this.addClass('jp-FlipDoor');
  }

  /**
   * The builder has the cohort: nothing is left to show here.
   */
  get opened(): ISignal<this, void> {
    return this._opened;
  }

  async go(): Promise<void> {
    const { path, workbench, commands } = this._props;
    try {
      await workbench.api.readDefinition(path);
    } catch (error) {
      this._problem = messageOf(error);
      this.update();
      return;
    }
    await commands.execute(CommandIDs.openCohort, { path });
    this._opened.emit();
  }

  protected override render(): JSX.Element {
    const { path, commands, trans } = this._props;
    if (this._problem === '') {
      return <p>{trans.__('Opening…')}</p>;
    }
    return (
      <div className="jp-FlipView">
        <Problem text={this._problem} />
        <button
          type="button"
          className="jp-mod-styled jp-mod-accept"
          onClick={() =>
            void commands.execute('docmanager:open', {
              path,
              factory: 'Editor'
            })
          }
        >
          {trans.__('Open as Text')}
        </button>
      </div>
    );
  }

  private _problem = '';
  private readonly _opened = new Signal<this, void>(this);
}
