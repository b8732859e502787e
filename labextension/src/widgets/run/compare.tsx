import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';
import { useState } from 'react';

import type { IRunRecord } from '../../contracts';
import type { IComparedRow } from '../../models/comparison';
import {
  commonTitle,
  comparedCurves,
  differs,
  lastRound,
  letterAt,
  metricRows,
  runHeads,
  settingRows,
  toCsv
} from '../../models/comparison';
import { figures, metric } from '../../models/wording';
import { Region } from '../parts/region';
import { CurveChart } from './chart';

/**
 * What the comparison of runs is made of.
 */
export interface ICompareProps {
  records: ReadonlyArray<IRunRecord>;
  /**
   * A Trust's title, by its key.
   */
  titleOf: (trust: string) => string;
  saveCsv: (text: string) => void;
  trans: TranslationBundle;
}

/**
 * Runs side by side: what was asked of them, what came of them, and their curves in one chart.
 */
export class CompareView extends Region<ICompareProps> {
  constructor(props: ICompareProps) {
    const look = {
      className: 'jp-FlipResults',
      label: props.trans.__('Comparison of runs')
    };
    super(Compare, props, look);
  }
}

const MOST_CURVES = 6;

function Compare(props: ICompareProps): JSX.Element {
  const { records, saveCsv, trans } = props;
  const [onlyDifferent, setOnlyDifferent] = useState(true);
  const title = commonTitle(records);
  const heads = runHeads(records);
  const settings = settingRows(records, props.titleOf);
  const metrics = metricRows(records, props.titleOf);
  const shown = [
    ...settings.filter(row => !onlyDifferent || differs(row)),
    ...metrics
  ];
  const names = Object.keys(lastRound(records[0])?.metrics ?? {});
  const letterOf = (run: string): string =>
    letterAt(records.findIndex(record => record.run === run));
  return (
    <div className="jp-FlipView">
      <div className="jp-FlipView-header">
        <h2>
          {title === null
            ? trans._n('%1 run', '%1 runs', records.length)
            : trans.__('%1, %2 runs', title, records.length)}
        </h2>
        <label className="jp-FlipCheck">
          <input
            type="checkbox"
            checked={onlyDifferent}
            onChange={event => setOnlyDifferent(event.target.checked)}
          />
          {trans.__('Only differences')}
        </label>
        <span className="jp-FlipRun-actions">
          <button
            type="button"
            className="jp-mod-styled jp-mod-reject"
            onClick={() =>
              saveCsv(toCsv(['', ...heads], [...settings, ...metrics]))
            }
          >
            {trans.__('Export CSV')}
          </button>
        </span>
      </div>
      {new Set(records.map(record => record.cohort)).size > 1 && (
        <p className="jp-FlipBanner jp-mod-warn" role="status">
          {trans.__('These runs are about different cohorts.')}
        </p>
      )}
      <div className="jp-FlipTable-scroll" tabIndex={0}>
        <table className="jp-FlipTable">
          <thead>
            <tr>
              <td />
              {records.map((record, index) => (
                <th
                  scope="col"
                  key={record.run}
                  className="jp-FlipCompare-run"
                  title={record.run}
                >
                  {heads[index]}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {shown.map(row => (
              <ComparedRow
                key={row.name}
                row={row}
                shown={metrics.includes(row) ? metric : figures}
                trans={trans}
              />
            ))}
          </tbody>
        </table>
      </div>
      {records.length <= MOST_CURVES &&
        names.map(name => (
          <CurveChart
            key={name}
            title={name}
            allName=""
            nameOf={letterOf}
            curves={comparedCurves(records, name)}
            trans={trans}
            empty={trans.__('No round was finished.')}
          />
        ))}
    </div>
  );
}

function ComparedRow(props: {
  row: IComparedRow;
  shown: (value: number) => string;
  trans: TranslationBundle;
}): JSX.Element {
  const { row, trans } = props;
  return (
    <tr>
      <th scope="row">{row.name}</th>
      {row.values.map((value, index) => (
        <td
          key={index}
          className={
            typeof value === 'number' ? 'jp-mod-number' : 'jp-FlipCompare-text'
          }
        >
          {value === null
            ? trans.__('none')
            : typeof value === 'number'
              ? props.shown(value)
              : String(value)}
        </td>
      ))}
    </tr>
  );
}
