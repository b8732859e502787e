import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import type { IEdge, IWindow } from '../../models/definition';
import { NumberInput } from './rangefields';

/**
 * From when to when a record starts or ends, around the start or the end of what people entered on.
 */
export function WindowFields(props: {
  window: IWindow;
  verb: string;
  onChange: (window: IWindow) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { window, verb, onChange, trans } = props;
  return (
    <span className="jp-FlipCriterion">
      {verb}
      <EdgeFields
        label={trans.__('Window from')}
        edge={window.Start}
        trans={trans}
        onChange={Start => onChange({ ...window, Start })}
      />
      {trans.__('to')}
      <EdgeFields
        label={trans.__('Window to')}
        edge={window.End}
        trans={trans}
        onChange={End => onChange({ ...window, End })}
      />
      <select
        className="jp-mod-styled"
        aria-label={trans.__('Window around')}
        value={window.UseIndexEnd ? 'end' : 'start'}
        onChange={event =>
          onChange({ ...window, UseIndexEnd: event.target.value === 'end' })
        }
      >
        <option value="start">{trans.__('the start')}</option>
        <option value="end">{trans.__('the end')}</option>
      </select>
    </span>
  );
}

function EdgeFields(props: {
  label: string;
  edge: IEdge;
  onChange: (edge: IEdge) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { label, edge, onChange, trans } = props;
  const unbounded = edge.Days === null || edge.Days === undefined;
  const choice = unbounded ? `all ${edge.Coeff}` : String(edge.Coeff);
  return (
    <span className="jp-FlipRange">
      {!unbounded && (
        <NumberInput
          label={trans.__('%1: days', label)}
          minimum={0}
          value={edge.Days ?? 0}
          onChange={Days => onChange({ ...edge, Days })}
        />
      )}
      <select
        className="jp-mod-styled"
        aria-label={label}
        value={choice}
        onChange={event => {
          const [first, second] = event.target.value.split(' ');
          const Coeff = Number(second ?? first) as -1 | 1;
          onChange({
            ...edge,
            Coeff,
            Days: first === 'all' ? null : (edge.Days ?? 0)
          });
        }}
      >
        <option value="all -1">{trans.__('any time before')}</option>
        <option value="-1">{trans.__('days before')}</option>
        <option value="1">{trans.__('days after')}</option>
        <option value="all 1">{trans.__('any time after')}</option>
      </select>
    </span>
  );
}
