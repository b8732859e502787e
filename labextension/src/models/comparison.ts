import type { IRoundSummary, IRunRecord } from '../contracts';
import type { ICurve } from './curves';
import { finalOf } from './curves';
import { choicesOf, memberTitle, runName, runPoint } from './naming';

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
  return (
    finalOf(record.rounds) ?? record.rounds[record.rounds.length - 1] ?? null
  );
}

/**
 * The title that all runs have; null where they have several.
 */
export function commonTitle(
  records: ReadonlyArray<Pick<IRunRecord, 'title'>>
): string | null {
  const titles = new Set(records.map(record => record.title));
  return titles.size === 1 ? records[0].title : null;
}

/**
 * What each run is called beside the others: a letter, and its name without the title that all have.
 */
export function runHeads(records: ReadonlyArray<IRunRecord>): string[] {
  const common = commonTitle(records) !== null;
  return records.map((record, index) => {
    const name = common
      ? runPoint(record) || record.run.slice(0, 8)
      : runName(record);
    return `${letterAt(index)} ${name}`;
  });
}

/**
 * A, B, C, … for the runs of a comparison.
 */
export function letterAt(index: number): string {
  return String.fromCharCode(65 + index);
}

/**
 * What runs chose beside their parameters, where any of them did: the split's seed, its fold, the first weights.
 */
function choiceRows(records: ReadonlyArray<IRunRecord>): IComparedRow[] {
  const choices = records.map(choicesOf);
  return Object.keys(choicesOf({}))
    .map(name => ({
      name: name === 'rounds' ? 'rounds asked' : name,
      values: choices.map(made => made[name])
    }))
    .filter(row => row.values.some(value => value !== null))
    .map(row => ({
      ...row,
      values: row.values.map(value => value ?? "the plan's")
    }));
}

/**
 * Parameters and what else was asked of each run.
 */
export function settingRows(
  records: ReadonlyArray<IRunRecord>,
  titleOf: (trust: string) => string
): IComparedRow[] {
  const names = [
    ...new Set(records.flatMap(record => Object.keys(record.point)))
  ];
  return [
    ...names.map(name => ({
      name,
      values: records.map(record => record.point[name] ?? null)
    })),
    ...choiceRows(records),
    {
      name: 'notebook',
      values: records.map(record => record.notebook || null)
    },
    {
      name: 'strategy',
      values: records.map(record => strategyText(record))
    },
    {
      name: 'environment',
      values: records.map(
        ({ environment }) =>
          `${environment.name} (${environment.lock.slice(0, 8)})`
      )
    },
    {
      name: 'cohort',
      values: records.map(record => record.cohort.slice(0, 12))
    },
    {
      name: 'bundle',
      values: records.map(record => record.bundle.slice(0, 12))
    },
    {
      name: 'Trusts',
      values: records.map(record => trustsOf(record, titleOf))
    },
    {
      name: 'data',
      values: records.map(record => estatesOf(record, titleOf))
    },
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
    const rounds = record.rounds.filter(
      round => round.training && metric in round.metrics
    );
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

function strategyText({ strategy }: IRunRecord): string | null {
  if (strategy === null) {
    return null;
  }
  const values = Object.entries(strategy.parameters)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ');
  return values ? `${strategy.name}, ${values}` : strategy.name;
}

function trustsOf(
  record: IRunRecord,
  titleOf: (trust: string) => string
): string {
  return Object.keys(record.members)
    .map(key => memberTitle(record, key, titleOf))
    .sort()
    .join(', ');
}

/**
 * The versions of the Trusts' estates, by the names that the study was told.
 */
function estatesOf(
  record: IRunRecord,
  titleOf: (trust: string) => string
): string | null {
  const told = Object.entries(record.estates)
    .map(
      ([key, name]) =>
        `${memberTitle(record, key, titleOf)} ${name.slice(0, 6)}`
    )
    .sort();
  return told.join(', ') || null;
}
