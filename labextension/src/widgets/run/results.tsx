import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX } from 'react';

import { CommandIDs } from '../../commands';
import type { IRunResults } from '../../contracts';
import { lastRound } from '../../models/comparison';
import { finalOf, sharesOf } from '../../models/curves';
import { memberTitle, pointText, runName } from '../../models/naming';
import {
  clock,
  figures,
  metric,
  runStateWord,
  shareText,
  shortDigest
} from '../../models/wording';
import { Region } from '../parts/region';
import { FigureCells, FigureHeads } from './figures';

/**
 * What the view of results is made of.
 */
export interface IResultsProps {
  results: IRunResults;
  /**
   * A Trust's title, by its key.
   */
  titleOf: (trust: string) => string;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

/**
 * A finished run: numbers by Trust, files with their checksums, and the way into a notebook.
 */
export class ResultsView extends Region<IResultsProps> {
  constructor(props: IResultsProps) {
    const look = {
      className: 'jp-FlipResults',
      label: props.trans.__('Results')
    };
    super(Results, props, look);
  }
}

function Results(props: IResultsProps): JSX.Element {
  const { results, commands, trans } = props;
  const { record, files, folder } = results;
  return (
    <div className="jp-FlipView">
      <div className="jp-FlipView-header">
        <h2>{runName(record)}</h2>
        <span className="jp-FlipView-note">
          {runStateWord(trans, record.state)}
        </span>
        <span className="jp-FlipRun-actions">
          <button
            type="button"
            className="jp-mod-styled jp-mod-accept"
            onClick={() =>
              void commands.execute(CommandIDs.useResults, { run: record.run })
            }
          >
            {trans.__('Use in Notebook')}
          </button>
          <button
            type="button"
            className="jp-mod-styled jp-mod-reject"
            onClick={() =>
              void commands.execute(CommandIDs.openResultsNotebook, {
                run: record.run
              })
            }
          >
            {trans.__('Open as Notebook')}
          </button>
          <button
            type="button"
            className="jp-mod-styled jp-mod-reject"
            onClick={() =>
              void commands.execute('docmanager:open', {
                path: `${folder}/record.json`
              })
            }
          >
            {trans.__('Open Record')}
          </button>
        </span>
      </div>
      <p className="jp-FlipView-note">
        {[
          record.notebook,
          trans.__('study %1', record.study),
          trans.__('bundle %1', shortDigest(record.bundle)),
          record.finished ? trans.__('ended %1', clock(record.finished)) : '',
          pointText(record),
          results.packages.torch
            ? trans.__('torch %1', results.packages.torch)
            : ''
        ]
          .filter(Boolean)
          .join(' · ')}
      </p>
      {record.state !== 'succeeded' && (
        <p className="jp-FlipBanner jp-mod-warn" role="status">
          {record.final_weights === null
            ? trans.__('This run has no final weights.')
            : ''}{' '}
          {record.reason}
        </p>
      )}
      <section className="jp-FlipView-section">
        <h3>
          {finalOf(record.rounds)
            ? trans.__('Numbers of the final model')
            : trans.__('Numbers after the last round')}
        </h3>
        <Numbers {...props} />
      </section>
      <Totals {...props} />
      <section className="jp-FlipView-section">
        <h3>
          {trans.__('Files')}
          <span className="jp-FlipView-note">{folder}</span>
        </h3>
        <table className="jp-FlipTable">
          <thead>
            <tr>
              <th scope="col">{trans.__('File')}</th>
              <th scope="col" className="jp-mod-number">
                {trans.__('Size')}
              </th>
              <th scope="col">{trans.__('SHA-256')}</th>
            </tr>
          </thead>
          <tbody>
            {files.map(file => (
              <tr key={file.path}>
                <th scope="row">{file.path.slice(folder.length + 1)}</th>
                <td className="jp-mod-number">{sizeOf(trans, file.size)}</td>
                <td>
                  <code title={file.sha256}>{shortDigest(file.sha256)}</code>{' '}
                  {file.sha256 === record.final_weights &&
                    trans.__('as the record names it')}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </section>
    </div>
  );
}

/**
 * The sums of `flip.total`, by name; what is long is in totals.json.
 */
function Totals(props: IResultsProps): JSX.Element | null {
  const { results, trans } = props;
  if (results.totals.length === 0) {
    return null;
  }
  return (
    <section className="jp-FlipView-section">
      <h3>{trans.__('Totals')}</h3>
      <div className="jp-FlipTable-scroll" tabIndex={0}>
        <table className="jp-FlipTable">
          <thead>
            <tr>
              <th scope="col">{trans.__('Name')}</th>
              <th scope="col">{trans.__('Shape')}</th>
              <th scope="col">{trans.__('First values')}</th>
            </tr>
          </thead>
          <tbody>
            {results.totals.map(total => (
              <tr key={total.name}>
                <th scope="row">{total.name}</th>
                <td>{total.shape.join(' × ') || trans.__('one number')}</td>
                <td>{total.first.map(figures).join('  ')}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </section>
  );
}

function Numbers(props: IResultsProps): JSX.Element {
  const { results, trans } = props;
  const { record } = results;
  const last = lastRound(record);
  if (last === null) {
    return <p className="jp-FlipEmpty">{trans.__('No round was finished.')}</p>;
  }
  const names = Object.keys(last.metrics);
  const members = Object.keys(record.members)
    .map(key => [key, memberTitle(record, key, props.titleOf)])
    .sort((a, b) => a[1].localeCompare(b[1]));
  const shares = sharesOf(record.rounds);
  const shareOf = (key: string) => {
    const share = shares.get(key);
    return share ? shareText(trans, share) : '';
  };
  return (
    <table className="jp-FlipTable">
      <thead>
        <tr>
          <th scope="col">{trans.__('Trust')}</th>
          <FigureHeads names={names} />
          {shares.size > 0 && (
            <th scope="col" className="jp-mod-number">
              {trans.__('Share of people')}
            </th>
          )}
        </tr>
      </thead>
      <tbody>
        <tr>
          <th scope="row">{trans.__('all Trusts')}</th>
          {names.map(name => (
            <td key={name} className="jp-mod-number">
              {metric(last.metrics[name])}
            </td>
          ))}
          {shares.size > 0 && <td />}
        </tr>
        {members.map(([key, title]) => (
          <tr key={key}>
            <th scope="row">{title}</th>
            <FigureCells
              names={names}
              figures={last.trust_metrics[key]}
              trans={trans}
            />
            {shares.size > 0 && (
              <td className="jp-mod-number">{shareOf(key)}</td>
            )}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function sizeOf(trans: TranslationBundle, bytes: number): string {
  if (bytes < 1000) {
    return trans.__('%1 B', bytes);
  }
  return bytes < 1e6
    ? trans.__('%1 kB', figures(bytes / 1e3))
    : trans.__('%1 MB', figures(bytes / 1e6));
}
