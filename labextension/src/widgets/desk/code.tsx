import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import type {
  ICellChange,
  IChangedLine,
  IRequestDetail
} from '../../contracts';
import type { ITextRun } from '../../models/executed';
import { byLine } from '../../models/executed';
import { Code as Source, Coloured, useTextRuns } from '../parts/code';

interface IPart {
  detail: IRequestDetail;
  trans: TranslationBundle;
}

/**
 * What is new of the code since the last approval; where nothing was approved before, every cell.
 */
export function Code(props: IPart): JSX.Element {
  const { detail, trans } = props;
  const { changes, content } = detail;
  const fresh = changes.cells.filter(cell => cell.kind !== 'same');
  const all = content.notebook.cells.length;
  const head =
    changes.since === null
      ? trans.__(
          'Nothing like it was approved here: all %1 cells are new.',
          all
        )
      : trans._n(
          '%1 of %2 cells is new since %3; the rest is below.',
          '%1 of %2 cells are new since %3; the rest is below.',
          fresh.length,
          all,
          changes.since.slice(0, 16)
        );
  return (
    <>
      <p>{head}</p>
      <p className="jp-FlipView-note">
        {trans.__('Sources as text; nothing of it is rendered or run.')}
      </p>
      {changes.since !== null &&
        fresh.length === 0 &&
        changes.fields.length === 0 && (
          <p>{trans.__('Only its time of validity differs.')}</p>
        )}
      {fresh.map(cell => (
        <section key={`${cell.kind}-${cell.id}`} className="jp-FlipCell">
          <h3>{cellTitle(trans, cell)}</h3>
          <Lines cell={cell} trans={trans} />
        </section>
      ))}
      {fresh.length < all && (
        <details className="jp-FlipFold">
          <summary>{trans.__('Every cell')}</summary>
          <Cells {...props} />
        </details>
      )}
    </>
  );
}

/**
 * Every cell as it was sent.
 */
function Cells(props: IPart): JSX.Element {
  const { detail, trans } = props;
  return (
    <>
      {detail.content.notebook.cells.map((cell, index) => (
        <section key={cell.id} className="jp-FlipCell">
          <h3>
            {trans.__(
              'Cell %1, %2',
              index + 1,
              [cell.type, ...cell.tags].join(', ')
            )}
          </h3>
          {cell.type === 'code' ? (
            <Source source={cell.source} />
          ) : (
            <pre className="jp-FlipLines" tabIndex={0}>
              {cell.source}
            </pre>
          )}
        </section>
      ))}
    </>
  );
}

function cellTitle(trans: TranslationBundle, cell: ICellChange): string {
  switch (cell.kind) {
    case 'added':
      return trans.__('Cell %1, %2, new', cell.number, cell.type);
    case 'removed':
      return trans.__('Cell %1, %2, gone', cell.number, cell.type);
    default:
      return trans.__('Cell %1, %2, changed', cell.number, cell.type);
  }
}

const MARKS: { [mark in IChangedLine['mark']]: string } = {
  both: ' ',
  new: '+',
  earlier: '-'
};

/**
 * Lines of a difference as text: a sign in front, and a bar in the colour of its meaning. Where all are new, the
 * heading says so, and no line repeats it to screen readers.
 */
function Lines(props: {
  cell: ICellChange;
  trans: TranslationBundle;
}): JSX.Element {
  const { cell, trans } = props;
  const { lines } = cell;
  const colours = useColours(cell);
  const mixed = lines.some(line => line.mark !== lines[0].mark);
  const spoken = {
    both: '',
    new: mixed ? trans.__('new:') : '',
    earlier: mixed ? trans.__('earlier:') : ''
  };
  return (
    <pre className="jp-FlipLines" tabIndex={0}>
      {lines.map((line, index) => (
        <span key={index} className={`jp-FlipLines-line jp-mod-${line.mark}`}>
          {spoken[line.mark] && (
            <span className="jp-FlipHidden">{spoken[line.mark]} </span>
          )}
          <span aria-hidden="true">{MARKS[line.mark]} </span>
          <Coloured runs={colours[index]} />
          {'\n'}
        </span>
      ))}
    </pre>
  );
}

/**
 * Each line of a difference in runs of one colour: those of now are read together, and so are those of before. A line
 * whose colours are not known, or would change a letter of it, is plain text.
 */
function useColours(cell: ICellChange): ITextRun[][] {
  const textOf = (skipped: IChangedLine['mark']): string =>
    cell.lines
      .filter(({ mark }) => cell.type === 'code' && mark !== skipped)
      .map(({ text }) => text)
      .join('\n');
  const now = byLine(useTextRuns(textOf('earlier')) ?? []);
  const before = byLine(useTextRuns(textOf('new')) ?? []);
  let [atNow, atBefore] = [0, 0];
  return cell.lines.map(({ mark, text }) => {
    const ofBefore = mark === 'new' ? undefined : before[atBefore++];
    const ofNow = mark === 'earlier' ? undefined : now[atNow++];
    const runs = ofNow ?? ofBefore ?? [];
    const same = runs.map(run => run.text).join('') === text;
    return same ? runs : [{ text, style: '' }];
  });
}
