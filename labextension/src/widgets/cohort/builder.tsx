import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import type { CohortModel } from '../../models/cohort';
import { remainderOf } from '../../models/remainder';
import { Problem } from '../parts/problem';
import { useSignal } from '../parts/signal';
import type { IAnswersProps } from './answers';
import { Answers } from './answers';
import { ConceptSets } from './conceptsets';
import { Entry } from './entry';
import { Dates, Leave } from './leave';
import { Remainder } from './remainder';
import { Rules } from './rules';

/**
 * The cohort builder, in JupyterLab and in a notebook's output: what the file holds beyond it, concept sets, who enters,
 * whom to keep, when they leave; beside it what the Trusts count.
 */
export function CohortBuilder(props: IAnswersProps): JSX.Element {
  const { model, trans } = props;
  useSignal(model.changed);
  return (
    <>
      <Problem text={model.problem} />
      {model.check?.problem && (
        <p className="jp-FlipBanner jp-mod-error" role="status">
          {model.check.problem}
        </p>
      )}
      <div className="jp-FlipCohort-columns">
        <div key={model.shown}>
          <Remainder
            parts={remainderOf(trans, {
              ...model.definition,
              InclusionRules: model.rules.map(({ rule }) => rule)
            })}
            trans={trans}
          />
          <ConceptSets model={model} trans={trans} />
          <Entry model={model} trans={trans} />
          <Rules model={model} trans={trans} />
          <Leave model={model} trans={trans} />
          <Dates model={model} trans={trans} />
        </div>
        <Answers {...props} />
      </div>
    </>
  );
}

/**
 * Steps back and forth, as buttons of a header.
 */
export function UndoButtons(props: {
  model: CohortModel;
  trans: TranslationBundle;
}): JSX.Element {
  const { model, trans } = props;
  return (
    <>
      <button
        type="button"
        className="jp-mod-styled jp-mod-reject"
        disabled={!model.canUndo}
        onClick={() => model.undo()}
      >
        {trans.__('Undo')}
      </button>
      <button
        type="button"
        className="jp-mod-styled jp-mod-reject"
        disabled={!model.canRedo}
        onClick={() => model.redo()}
      >
        {trans.__('Redo')}
      </button>
    </>
  );
}
