import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX } from 'react';

import { CommandIDs } from '../../commands';
import { twinIcon } from '../../icons';
import type { CohortFileModel } from '../../models/cohortfile';
import { ContactBanner } from '../panel/sidepanel';
import { useSignal } from '../parts/signal';
import { ToneIcon } from '../parts/states';
import { BarChart } from './barchart';
import { CohortBuilder, UndoButtons } from './builder';

export interface ICohortProps {
  model: CohortFileModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

/**
 * The cohort builder in the main area, on a file.
 */
export class CohortView extends ReactWidget {
  constructor(private readonly _props: ICohortProps) {
    super();
    this.addClass('jp-FlipCohort');
    this.node.dataset.jpUndoer = 'true';
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', _props.trans.__('Cohort'));
  }

  get model(): CohortFileModel {
    return this._props.model;
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this._props.model.dispose();
    }
    super.dispose();
  }

  protected override render(): JSX.Element {
    return <Cohort {...this._props} />;
  }
}

function Cohort(props: ICohortProps): JSX.Element {
  const { model, commands, trans } = props;
  useSignal(model.changed);
  const name = model.path
    ?.split('/')
    .pop()
    ?.replace(/\.cohort\.json$/, '');
  const button = (command: string, accept = false): JSX.Element => (
    <button
      type="button"
      className={`jp-mod-styled ${accept ? 'jp-mod-accept' : 'jp-mod-reject'}`}
      disabled={!commands.isEnabled(command)}
      title={commands.caption(command)}
      onClick={() => void commands.execute(command)}
    >
      {commands.label(command)}
    </button>
  );
  return (
    <div className="jp-FlipView">
      <header className="jp-FlipView-header">
        <h2>{name ?? trans.__('New Cohort')}</h2>
        <span className="jp-FlipView-note">
          {model.dirty ? trans.__('not saved') : trans.__('saved')}
        </span>
        <span className="jp-FlipRun-actions">
          <UndoButtons model={model} trans={trans} />
          {button(CommandIDs.exportCohort)}
          {button(CommandIDs.insertCohort)}
          {button(CommandIDs.saveCohort)}
        </span>
      </header>
      <ContactBanner
        workbench={model.workbench}
        commands={commands}
        trans={trans}
      />
      <CohortBuilder
        model={model}
        Chart={BarChart}
        twinMark={<ToneIcon icon={twinIcon} tone="quiet" />}
        trans={trans}
      />
    </div>
  );
}
