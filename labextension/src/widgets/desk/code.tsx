import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import type {
  ICellChange,
  IChangedLine,
  IFileChange,
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
  const freshFiles = changes.files.filter(file => file.kind !== 'same');
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
        freshFiles.length === 0 &&
        changes.fields.length === 0 && (
          <p>{trans.__('Only its time of validity differs.')}</p>
        )}
      {fresh.map(cell => (
        <section key={`${cell.kind}-${cell.id}`} className="jp-FlipCell">
          <h3>{cellTitle(trans, cell)}</h3>
          <Lines
            lines={cell.lines}
            isCode={cell.type === 'code'}
            trans={trans}
          />
        </section>
      ))}
      {freshFiles.map(file => (
        <section key={`${file.kind}-${file.name}`} className="jp-FlipCell">
          <h3>{fileTitle(trans, file)}</h3>
          <Lines
            lines={file.lines}
            isCode={file.type === 'module'}
            trans={trans}
          />
        </section>
      ))}
      {freshFiles.length < detail.files.length && (
        <details className="jp-FlipFold">
          <summary>{trans.__('Every file beside the notebook')}</summary>
          <Files {...props} />
        </details>
      )}
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

/**
 * Every file that goes with the notebook: code whole, of weights what they are made of.
 */
function Files(props: IPart): JSX.Element {
  const { detail, trans } = props;
  return (
    <>
      {detail.files.map(shown => (
        <section key={shown.file.name} className="jp-FlipCell">
          <h3>{shown.file.name}</h3>
          {!shown.here ? (
            <p>{trans.__('It is not here any more.')}</p>
          ) : shown.kind === 'module' ? (
            <Source source={shown.source} />
          ) : (
            <pre className="jp-FlipLines" tabIndex={0}>
              {[
                `SHA-256 ${shown.file.sha256}`,
                ...shown.tensors.map(
                  tensor =>
                    `${tensor.name}: ${tensor.shape.join(' x ') || '1'} ${tensor.dtype}`
                )
              ].join('\n')}
            </pre>
          )}
        </section>
      ))}
    </>
  );
}

function fileTitle(trans: TranslationBundle, file: IFileChange): string {
  switch (file.kind) {
    case 'added':
      return trans.__('%1, new', file.name);
    case 'removed':
      return trans.__('%1, gone', file.name);
    default:
      return trans.__('%1, changed', file.name);
  }
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
  lines: ReadonlyArray<IChangedLine>;
  isCode: boolean;
  trans: TranslationBundle;
}): JSX.Element {
  const { lines, isCode, trans } = props;
  const colours = useColours(lines, isCode);
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
function useColours(
  lines: ReadonlyArray<IChangedLine>,
  isCode: boolean
): ITextRun[][] {
  const textOf = (skipped: IChangedLine['mark']): string =>
    lines
      .filter(({ mark }) => isCode && mark !== skipped)
      .map(({ text }) => text)
      .join('\n');
  const now = byLine(useTextRuns(textOf('earlier')) ?? []);
  const before = byLine(useTextRuns(textOf('new')) ?? []);
  let [atNow, atBefore] = [0, 0];
  return lines.map(({ mark, text }) => {
    const ofBefore = mark === 'new' ? undefined : before[atBefore++];
    const ofNow = mark === 'earlier' ? undefined : now[atNow++];
    const runs = ofNow ?? ofBefore ?? [];
    const same = runs.map(run => run.text).join('') === text;
    return same ? runs : [{ text, style: '' }];
  });
}
