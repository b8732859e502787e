import type { IRoundSummary, IRunRecord } from '../contracts';
import type { ICurve } from './curves';

/**
 * One line of a comparison: a name, and a value for each run; null where a run has none.
 */
export interface IComparedRow {
  name: string;
  values: (string | number | boolean | null)[];
}

/**
 * The summary of the final weights, else of the last round that was finished.
 */
export function lastRound(record: IRunRecord): IRoundSummary | null {
  return record.rounds[record.rounds.length - 1] ?? null;
}

/**
 * Parameters and what else was asked of each run.
 */
export function settingRows(
  records: ReadonlyArray<IRunRecord>
): IComparedRow[] {
  const names = [
    ...new Set(records.flatMap(record => Object.keys(record.point)))
  ];
  return [
    ...names.map(name => ({
      name,
      values: records.map(record => record.point[name] ?? null)
    })),
    {
      name: 'cohort',
      values: records.map(record => record.cohort.slice(0, 12))
    },
    {
      name: 'bundle',
      values: records.map(record => record.bundle.slice(0, 12))
    },
    { name: 'Trusts', values: records.map(record => trustsOf(record)) },
    {
      name: 'rounds',
      values: records.map(
        record => record.rounds.filter(r => r.training).length
      )
    },
    { name: 'state', values: records.map(record => record.state) }
  ];
}

/**
 * The numbers of the final weights: averages, then single Trusts' where their policies let them out.
 */
export function metricRows(
  records: ReadonlyArray<IRunRecord>,
  titleOf: (trust: string) => string
): IComparedRow[] {
  const lasts = records.map(lastRound);
  const names = [
    ...new Set(lasts.flatMap(last => Object.keys(last?.metrics ?? {})))
  ];
  return names.flatMap(name => {
    const trusts = [
      ...new Set(lasts.flatMap(last => Object.keys(last?.trust_metrics ?? {})))
    ].sort((a, b) => titleOf(a).localeCompare(titleOf(b)));
    const own = trusts.map(trust => ({
      name: `${name}, ${titleOf(trust)}`,
      values: lasts.map(last => last?.trust_metrics[trust]?.[name] ?? null)
    }));
    return [
      { name, values: lasts.map(last => last?.metrics[name] ?? null) },
      ...own
    ];
  });
}

/**
 * Whether the runs differ in a row.
 */
export function differs(row: IComparedRow): boolean {
  return new Set(row.values.map(String)).size > 1;
}

/**
 * A metric's average by round, one curve for each run; `trust` holds the run's id.
 */
export function comparedCurves(
  records: ReadonlyArray<IRunRecord>,
  metric: string
): ICurve[] {
  return records.map(record => {
    const rounds = record.rounds.filter(round => metric in round.metrics);
    return {
      trust: record.run,
      rounds: rounds.map(round => round.round),
      values: rounds.map(round => round.metrics[metric])
    };
  });
}

/**
 * A table as CSV, every text in quotes.
 */
export function toCsv(
  head: ReadonlyArray<string>,
  rows: ReadonlyArray<IComparedRow>
): string {
  const quoted = (value: string | number | boolean | null): string =>
    `"${String(value ?? '').replace(/"/g, '""')}"`;
  return [head, ...rows.map(row => [row.name, ...row.values])]
    .map(line => line.map(quoted).join(','))
    .join('\n');
}

function trustsOf(record: IRunRecord): string {
  return Object.values(record.members).sort().join(', ');
}
