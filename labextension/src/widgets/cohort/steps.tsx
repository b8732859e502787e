import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import type { CohortModel } from '../../models/cohort';

/**
 * How many people all Trusts have told after a step, at the end of its line; nothing for what was counted before an edit.
 */
export function StepNumber(props: {
  model: CohortModel;
  step: number;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { model, step, trans } = props;
  const people = model.current ? model.steps[step] : undefined;
  return people === undefined ? null : (
    <span className="jp-FlipLine-number">
      {people === null ? (
        trans.__('no number')
      ) : (
        <>
          <span aria-hidden="true">{`≈ ${people.toLocaleString()}`}</span>
          <span className="jp-FlipHidden">
            {trans.__('about %1', people.toLocaleString())}
          </span>
        </>
      )}
    </span>
  );
}
