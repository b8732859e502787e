import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX } from 'react';

import { twinIcon } from '../../icons';
import type { CohortFileModel } from '../../models/cohortfile';
import { ContactBanner } from '../parts/contactbanner';
import { Region } from '../parts/region';
import { useSignal } from '../parts/signal';
import { ToneIcon } from '../parts/states';
import { BarChart } from './barchart';
import { CohortBuilder } from './builder';

/**
 * What the view of a cohort file is made of.
 */
export interface ICohortProps {
  model: CohortFileModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

/**
 * The cohort builder in the main area, on a file.
 */
export class CohortView extends Region<ICohortProps> {
  constructor(props: ICohortProps) {
    const look = {
      className: 'jp-FlipCohort',
      label: props.trans.__('Cohort')
    };
    super(Cohort, props, look, props.model);
    this.node.dataset.jpUndoer = 'true';
  }

  get model(): CohortFileModel {
    return this.props.model;
  }
}

function Cohort(props: ICohortProps): JSX.Element {
  const { model, commands, trans } = props;
  useSignal(model.changed);
  const name = model.path
    ?.split('/')
    .pop()
    ?.replace(/\.cohort\.json$/, '');
  return (
    <div className="jp-FlipView">
      <div className="jp-FlipView-header">
        <h2>{name ?? trans.__('New Cohort')}</h2>
        <span className="jp-FlipView-note">
          {model.dirty ? trans.__('not saved') : trans.__('saved')}
        </span>
      </div>
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
