import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import type { IRange, RangeOp } from '../../models/definition';

const OPERATORS: ReadonlyArray<[RangeOp, string]> = [
  ['gte', '≥'],
  ['gt', '>'],
  ['lte', '≤'],
  ['lt', '<'],
  ['eq', '='],
  ['bt', '…']
];

/**
 * A range of numbers, or none: operator, number, and a second number for "between".
 */
export function RangeFields(props: {
  label: string;
  range: IRange | null;
  onChange: (range: IRange | null) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { label, range, onChange, trans } = props;
  return (
    <span className="jp-FlipRange">
      <select
        className="jp-mod-styled"
        aria-label={trans.__('%1: compared how', label)}
        value={range?.Op ?? ''}
        onChange={event => {
          const Op = event.target.value as RangeOp | '';
          onChange(
            Op === ''
              ? null
              : {
                  Value: range?.Value ?? 0,
                  Op,
                  ...(Op === 'bt' ? { Extent: range?.Extent ?? 0 } : {})
                }
          );
        }}
      >
        <option value="">{trans.__('any %1', label.toLowerCase())}</option>
        {OPERATORS.map(([op, sign]) => (
          <option key={op} value={op}>
            {op === 'bt' ? trans.__('between') : sign}
          </option>
        ))}
        {range && !OPERATORS.some(([op]) => op === range.Op) && (
          <option value={range.Op}>{range.Op}</option>
        )}
      </select>
      {range && (
        <NumberInput
          label={label}
          value={range.Value}
          onChange={Value => onChange({ ...range, Value })}
        />
      )}
      {range?.Op === 'bt' && (
        <>
          {trans.__('and')}
          <NumberInput
            label={trans.__('%1, upper', label)}
            value={range.Extent ?? 0}
            onChange={Extent => onChange({ ...range, Extent })}
          />
        </>
      )}
    </span>
  );
}

/**
 * A number that is named for screen readers; an empty field changes nothing.
 */
export function NumberInput(props: {
  label: string;
  value: number;
  onChange: (value: number) => void;
  minimum?: number;
}): JSX.Element {
  return (
    <input
      className="jp-mod-styled jp-FlipNumber"
      type="number"
      step="any"
      min={props.minimum}
      aria-label={props.label}
      value={props.value}
      onChange={event => {
        if (event.target.value !== '') {
          props.onChange(Number(event.target.value));
        }
      }}
    />
  );
}
