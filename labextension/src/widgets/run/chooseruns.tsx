import type { Dialog } from '@jupyterlab/apputils';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { JSX } from 'react';

import type { IRunView } from '../../contracts';
import { runName } from '../../models/naming';
import { runDetail } from '../../models/wording';

/**
 * The body of a dialog that asks which runs to compare.
 */
export class ChooseRuns
  extends ReactWidget
  implements Dialog.IBodyWidget<string[]>
{
  constructor(
    private readonly _runs: ReadonlyArray<IRunView>,
    private readonly _most: number,
    private readonly _titleOf: (trust: string) => string,
    private readonly _trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-FlipChoose');
  }

  getValue(): string[] {
    return this._runs
      .map(run => run.run)
      .filter(run => this._chosen.has(run))
      .slice(0, this._most);
  }

  protected override render(): JSX.Element {
    const trans = this._trans;
    return (
      <fieldset>
        <legend>{trans.__('Select two to %1 runs', this._most)}</legend>
        {this._runs.slice(0, 100).map(run => (
          <label key={run.run} className="jp-FlipCheck">
            <input
              type="checkbox"
              onChange={event => {
                if (event.target.checked) {
                  this._chosen.add(run.run);
                } else {
                  this._chosen.delete(run.run);
                }
              }}
            />
            {runName(run)}{' '}
            <span className="jp-FlipView-note">
              {runDetail(trans, run, this._titleOf)}
            </span>
          </label>
        ))}
      </fieldset>
    );
  }

  private readonly _chosen = new Set<string>();
}
