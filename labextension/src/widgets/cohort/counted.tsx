import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import type { ICounted, IOccurrence } from '../../models/definition';
import { NumberInput } from './rangefields';
import { WindowFields } from './windowfields';

/**
 * How many records there must be, and when; which records is said by what stands within.
 */
export function CountedFields(props: {
  counted: ICounted;
  children: JSX.Element;
  trans: TranslationBundle;
  onChange: (counted: ICounted) => void;
}): JSX.Element {
  const { counted, trans, onChange } = props;
  const occurrence: IOccurrence = counted.Occurrence ?? { Type: 2, Count: 1 };
  const window = counted.StartWindow ?? {
    Start: { Days: null, Coeff: -1 as const },
    End: { Days: null, Coeff: 1 as const }
  };
  return (
    <span className="jp-FlipCounted">
      <span className="jp-FlipCriterion">
        <select
          className="jp-mod-styled"
          aria-label={trans.__('Number of records: compared how')}
          value={occurrence.Type}
          onChange={event =>
            onChange({
              ...counted,
              Occurrence: {
                ...occurrence,
                Type: Number(event.target.value) as IOccurrence['Type']
              }
            })
          }
        >
          <option value={2}>{trans.__('at least')}</option>
          <option value={1}>{trans.__('at most')}</option>
          <option value={0}>{trans.__('exactly')}</option>
        </select>
        <NumberInput
          label={trans.__('Number of records')}
          minimum={0}
          value={occurrence.Count}
          onChange={Count =>
            onChange({ ...counted, Occurrence: { ...occurrence, Count } })
          }
        />
      </span>
      {props.children}
      <WindowFields
        window={window}
        verb={window.UseEventEnd ? trans.__('ending') : trans.__('starting')}
        trans={trans}
        onChange={StartWindow => onChange({ ...counted, StartWindow })}
      />
      {counted.EndWindow && (
        <WindowFields
          window={counted.EndWindow}
          verb={
            counted.EndWindow.UseEventEnd === false
              ? trans.__('and starting')
              : trans.__('and ending')
          }
          trans={trans}
          onChange={EndWindow => onChange({ ...counted, EndWindow })}
        />
      )}
      {(
        [
          ['RestrictVisit', trans.__('in the same visit')],
          [
            'IgnoreObservationPeriod',
            trans.__('also outside of the observation period')
          ]
        ] as const
      ).map(([flag, label]) => (
        <label key={flag} className="jp-FlipCheck">
          <input
            type="checkbox"
            checked={counted[flag] === true}
            onChange={event =>
              onChange({ ...counted, [flag]: event.target.checked })
            }
          />
          {label}
        </label>
      ))}
    </span>
  );
}
