import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import { metric } from '../../models/wording';

/**
 * A column head for each number that a notebook reports.
 */
export function FigureHeads(props: {
  names: ReadonlyArray<string>;
}): JSX.Element {
  return (
    <>
      {props.names.map(name => (
        <th scope="col" key={name} className="jp-mod-number">
          {name}
        </th>
      ))}
    </>
  );
}

/**
 * A Trust's own numbers, a cell for each; what its policy does not let out is kept inside.
 */
export function FigureCells(props: {
  names: ReadonlyArray<string>;
  figures: { readonly [name: string]: number } | undefined;
  trans: TranslationBundle;
}): JSX.Element {
  const { names, figures, trans } = props;
  return (
    <>
      {names.map(name => {
        const value = figures?.[name];
        return (
          <td key={name} className="jp-mod-number">
            {value === undefined ? trans.__('kept inside') : metric(value)}
          </td>
        );
      })}
    </>
  );
}
