import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import { sexWord } from '../../models/cohortwords';
import type { IDemographic } from '../../models/definition';
import { FEMALE, MALE, sexOf } from '../../models/definition';
import { RangeFields } from './rangefields';

/**
 * A person's age and sex at the start.
 */
export function DemographicFields(props: {
  demographic: IDemographic;
  onChange: (demographic: IDemographic) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { demographic, onChange, trans } = props;
  const sex = sexOf(demographic);
  const choices = ['any' as const, FEMALE, MALE, 'both' as const, sex];
  return (
    <span className="jp-FlipCriterion">
      {trans.__('Age')}
      <RangeFields
        label={trans.__('Age')}
        range={demographic.Age ?? null}
        trans={trans}
        onChange={Age => onChange({ ...demographic, Age })}
      />
      {trans.__('sex')}
      <select
        className="jp-mod-styled"
        aria-label={trans.__('Sex')}
        value={String(sex)}
        onChange={event => onChange(withSex(demographic, event.target.value))}
      >
        {[...new Set(choices)].map(choice => (
          <option key={choice} value={String(choice)}>
            {sexWord(trans, choice)}
          </option>
        ))}
      </select>
    </span>
  );
}

function withSex(demographic: IDemographic, choice: string): IDemographic {
  const concepts: { [choice: string]: number[] } = {
    any: [],
    both: [FEMALE, MALE]
  };
  return {
    ...demographic,
    Gender: (concepts[choice] ?? [Number(choice)]).map(CONCEPT_ID => ({
      CONCEPT_ID
    }))
  };
}
