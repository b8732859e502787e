import type { IRunView } from '../contracts';
import { pointText, ranSeconds, runName, waitedSeconds } from './naming';
import { hasEnded } from './wording';

/**
 * A column by which runs can be sorted.
 */
export type RunColumn =
  'name' | 'notebook' | 'state' | 'rounds' | 'waited' | 'ran' | 'submitted';

/**
 * How a person looks at the list of runs; kept over a reload.
 */
export interface IRunsLook {
  filter: string;
  /**
   * A state, or empty for every one.
   */
  state: string;
  /**
   * Null: what goes on first, then the newest.
   */
  column: RunColumn | null;
  falling: boolean;
}

const COLUMNS: ReadonlySet<unknown> = new Set<RunColumn>([
  'name',
  'notebook',
  'state',
  'rounds',
  'waited',
  'ran',
  'submitted'
]);

/**
 * What was kept, as far as it makes sense.
 */
export function keptLook(kept: unknown): IRunsLook {
  const found = (typeof kept === 'object' && kept) || {};
  const { filter, state, column, falling } = found as Partial<IRunsLook>;
  return {
    filter: typeof filter === 'string' ? filter : '',
    state: typeof state === 'string' ? state : '',
    column: COLUMNS.has(column) ? (column as RunColumn) : null,
    falling: falling === true
  };
}

/**
 * The runs that hold every word of the filter (title, parameters, notebook, id) and are in the state.
 */
export function findRuns(
  runs: ReadonlyArray<IRunView>,
  { filter, state }: Pick<IRunsLook, 'filter' | 'state'>
): IRunView[] {
  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  return runs.filter(run => {
    const text =
      `${run.title} ${pointText(run)} ${run.notebook} ${run.run}`.toLowerCase();
    return (
      words.every(word => text.includes(word)) &&
      (state === '' || run.state === state)
    );
  });
}

/**
 * A run and the other runs of its bundle that have numbers, the first sent first, at most so many: what its sweep is
 * compared by. Empty where there is none beside it.
 */
export function sweepOf(
  runs: ReadonlyArray<IRunView>,
  run: IRunView,
  most: number
): IRunView[] {
  const others = runs.filter(
    other =>
      other.bundle === run.bundle &&
      other.run !== run.run &&
      (other.rounds_done > 0 || other.state === 'succeeded')
  );
  const bySent = (a: IRunView, b: IRunView): number =>
    Date.parse(a.submitted) - Date.parse(b.submitted);
  const kept = others.sort(bySent).slice(0, most - 1);
  return kept.length === 0 ? [] : [run, ...kept].sort(bySent);
}

/**
 * The most runs that are compared at once.
 */
export const MOST_COMPARED = 12;

/**
 * By a column, what has no value there last; without one, what goes on comes first, then the newest.
 */
export function sortRuns(
  runs: ReadonlyArray<IRunView>,
  { column, falling }: Pick<IRunsLook, 'column' | 'falling'>
): IRunView[] {
  const sorted = [...runs];
  if (column === null) {
    return sorted.sort((a, b) => Number(hasEnded(a)) - Number(hasEnded(b)));
  }
  const values: {
    [column in RunColumn]: (run: IRunView) => string | number | null;
  } = {
    name: run => runName(run).toLowerCase(),
    notebook: run => run.notebook || null,
    state: run => run.state,
    rounds: run => run.rounds_done,
    waited: run => waitedSeconds(run),
    ran: run => ranSeconds(run),
    submitted: run => run.submitted
  };
  const value = values[column];
  const sign = falling ? -1 : 1;
  return sorted.sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) {
      return Number(x === null) - Number(y === null);
    }
    return x < y ? -sign : x > y ? sign : 0;
  });
}
