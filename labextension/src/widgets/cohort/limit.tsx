import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import type { ILimit } from '../../models/definition';

/**
 * Which of a person's events count: all, the first, the last.
 */
export function LimitChoice(props: {
  label: string;
  limit: ILimit | undefined;
  onChange: (limit: ILimit) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { label, limit, onChange, trans } = props;
  return (
    <select
      className="jp-mod-styled"
      aria-label={label}
      value={(limit?.Type ?? 'All').toLowerCase()}
      onChange={event => {
        const [first, ...rest] = event.target.value;
        onChange({ ...limit, Type: `${first.toUpperCase()}${rest.join('')}` });
      }}
    >
      <option value="first">{trans.__('the first')}</option>
      <option value="all">{trans.__('each')}</option>
      <option value="last">{trans.__('the last')}</option>
    </select>
  );
}
