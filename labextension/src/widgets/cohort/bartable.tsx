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
 * What a suppressed number stands for, in words.
 */
export function suppressedWords(
  trans: TranslationBundle,
  reply: ICountReply
): string {
  return trans.__(
    'fewer than %1, or not answered in time',
    reply.threshold ?? ''
  );
}

/**
 * A released number, or what stands for a suppressed one, where there is room for words.
 */
export function shownNumber(
  trans: TranslationBundle,
  reply: ICountReply,
  people: number | null
): string {
  return people === null
    ? suppressedWords(trans, reply)
    : `n ≈ ${people.toLocaleString()}`;
}

/**
 * A released number in a table; a suppressed one is a sign to the eye, and words to a pointer and a screen reader.
 */
export function ShownNumber(props: {
  reply: ICountReply;
  people: number | null;
  trans: TranslationBundle;
}): JSX.Element {
  const { reply, people, trans } = props;
  const words = shownNumber(trans, reply, people);
  return people === null ? (
    <span title={words}>
      <span aria-hidden="true">{`<${reply.threshold ?? ''}`}</span>
      <span className="jp-FlipHidden">{words}</span>
    </span>
  ) : (
    <>{words}</>
  );
}

/**
 * What the sign of suppressed numbers means, once below all that has one.
 */
export function SuppressedNote(props: {
  reply: ICountReply | undefined;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { reply, trans } = props;
  return reply === undefined ? null : (
    <p className="jp-FlipView-note">
      {`<${reply.threshold ?? ''}: ${suppressedWords(trans, reply)}`}
    </p>
  );
}

/**
 * The reply of the first Trust that suppresses a bar.
 */
export function firstSuppressed(
  series: ReadonlyArray<ISeries>
): ICountReply | undefined {
  return series.find(({ bars }) => bars.some(bar => bar.people === null))
    ?.reply;
}

/**
 * Numbers by bar: a row for each, a column for each Trust.
 */
export function BarTable(props: IBarsProps): JSX.Element {
  const { title, series, trans } = props;
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
                  <ShownNumber
                    reply={one.reply}
                    people={one.bars[index]?.people ?? null}
                    trans={trans}
                  />
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
      <SuppressedNote reply={firstSuppressed(series)} trans={trans} />
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
