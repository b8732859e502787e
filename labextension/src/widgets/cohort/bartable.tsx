import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import type { IBar, ICountReply } from '../../contracts';

/**
 * The bars of one Trust, or of all of them.
 */
export interface ISeries {
  name: string;
  reply: ICountReply;
  bars: ReadonlyArray<IBar>;
}

/**
 * One chart of people, with a series for each Trust.
 */
export interface IBarsProps {
  title: string;
  series: ReadonlyArray<ISeries>;
  trans: TranslationBundle;
}

/**
 * A released number, or what stands for a suppressed one.
 */
export function shownNumber(reply: ICountReply, people: number | null): string {
  return people === null
    ? `<${reply.threshold ?? ''}`
    : `n ≈ ${people.toLocaleString()}`;
}

/**
 * Numbers by bar: a row for each, a column for each Trust.
 */
export function BarTable(props: IBarsProps): JSX.Element {
  const { title, series } = props;
  const labels = series[0]?.bars.map(bar => bar.label) ?? [];
  return (
    <div className="jp-FlipTable-scroll" tabIndex={0}>
      <table className="jp-FlipTable">
        <thead>
          <tr>
            <th scope="col">{title}</th>
            {series.map(one => (
              <th scope="col" key={one.name}>
                {one.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {labels.map((label, index) => (
            <tr key={label}>
              <th scope="row">{label}</th>
              {series.map(one => (
                <td key={one.name} className="jp-mod-number">
                  {shownNumber(one.reply, one.bars[index]?.people ?? null)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/**
 * A titled table of numbers by bar.
 */
export function BarFigure(props: IBarsProps): JSX.Element {
  return (
    <figure className="jp-FlipChart">
      <BarTable {...props} />
    </figure>
  );
}
