import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX } from 'react';

import { CommandIDs } from '../../commands';
import type { IRunResults } from '../../contracts';
import { lastRound } from '../../models/comparison';
import { sharesOf } from '../../models/curves';
import {
  clock,
  figures,
  metric,
  shareText,
  shortDigest
} from '../../models/wording';
import { Region } from '../parts/region';

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
  const { record, files } = results;
  const folder = files[0]?.path.split('/').slice(0, -1).join('/') ?? '';
  const point = Object.entries(record.point)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(', ');
  return (
    <div className="jp-FlipView">
      <header className="jp-FlipView-header">
        <h2>{record.title}</h2>
        <span className="jp-FlipView-note">{point}</span>
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
      </header>
      <p className="jp-FlipView-note">
        {[
          record.finished ? trans.__('ended %1', clock(record.finished)) : '',
          record.reason ?? '',
          trans.__('bundle %1', shortDigest(record.bundle))
        ]
          .filter(Boolean)
          .join(' · ')}
      </p>
      <section className="jp-FlipView-section">
        <h3>{trans.__('Numbers of the final model')}</h3>
        <Numbers {...props} />
      </section>
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
                <th scope="row">{file.path.split('/').pop()}</th>
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

function Numbers(props: IResultsProps): JSX.Element {
  const { results, trans } = props;
  const { record } = results;
  const last = lastRound(record);
  if (last === null) {
    return <p className="jp-FlipEmpty">{trans.__('No round was finished.')}</p>;
  }
  const names = Object.keys(last.metrics);
  const members = Object.keys(record.members)
    .map(key => [key, props.titleOf(key)])
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
          {names.map(name => (
            <th scope="col" key={name} className="jp-mod-number">
              {name}
            </th>
          ))}
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
            {names.map(name => {
              const value = last.trust_metrics[key]?.[name];
              return (
                <td key={name} className="jp-mod-number">
                  {value === undefined
                    ? trans.__('kept inside')
                    : metric(value)}
                </td>
              );
            })}
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
