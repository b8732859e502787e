import type { IRunRecord, IRunView } from '../contracts';

/**
 * What names a run: of its view or its record.
 */
export type Named = Pick<IRunView, 'title' | 'point'> &
  Partial<Pick<IRunView, 'telling' | 'choices'>>;

/**
 * What a run is called everywhere, "Coronary artery disease · lr 0.5": its title, and the parameters that tell it from
 * others of its bundle. `flipnb/workbench/names.py` has the same rule; tests/naming.json holds the two together.
 */
export function runName(run: Named): string {
  const point = runPoint(run);
  return point ? `${run.title} · ${point}` : run.title;
}

/**
 * The second half of a run's name; empty where it has no parameter.
 */
export function runPoint(run: Named): string {
  const told = (run.telling ?? []).filter(name => name in run.point);
  const point = pointText(run, told.length > 0 ? told : undefined);
  return [point, ...chosen(run)].filter(Boolean).join(', ');
}

/**
 * What a run chose within its bundle's space beside its parameters, by what people call it; null where it chose nothing.
 */
export function choicesOf({ choices }: Pick<Named, 'choices'>): {
  [name: string]: number | string | null;
} {
  return {
    rounds: choices?.rounds ?? null,
    'split seed': choices?.seed ?? null,
    fold: choices?.fold ?? null,
    'first weights': choices?.initial_weights?.slice(0, 8) ?? null
  };
}

function chosen(run: Named): string[] {
  return Object.entries(choicesOf(run))
    .filter(([, value]) => value !== null)
    .map(([name, value]) => `${name} ${String(value)}`);
}

/**
 * A run's name for a tab: its title is shortened, so that what tells the run from others is still seen.
 */
export function tabName(run: Named, longest = 30): string {
  const point = runPoint(run);
  const room = Math.max(8, longest - (point ? point.length + 3 : 0));
  const { title } = run;
  const short =
    title.length > room ? `${title.slice(0, room - 1).trimEnd()}…` : title;
  return point ? `${short} · ${point}` : short;
}

/**
 * A run's parameters with their values, those that are named or all.
 */
export function pointText(
  run: Pick<IRunView, 'point'>,
  names: ReadonlyArray<string> = Object.keys(run.point)
): string {
  return names.map(name => `${name} ${String(run.point[name])}`).join(', ');
}

/**
 * Seconds from a run's submission to its start; until now, or its end, where it has not started.
 */
export function waitedSeconds(run: IRunView, now = Date.now()): number {
  const until = run.started ?? run.finished;
  const end = until === null ? now : Date.parse(until);
  return Math.max(0, (end - Date.parse(run.submitted)) / 1000);
}

/**
 * Seconds from a run's start to its end, or until now; null where it has not started.
 */
export function ranSeconds(run: IRunView, now = Date.now()): number | null {
  if (run.started === null) {
    return null;
  }
  const end = run.finished === null ? now : Date.parse(run.finished);
  return Math.max(0, (end - Date.parse(run.started)) / 1000);
}

/**
 * A Trust of a record by its title; `titleOf` gives it, empty where the roster is not here.
 */
export function memberTitle(
  record: IRunRecord,
  key: string,
  titleOf: (trust: string) => string
): string {
  return titleOf(key) || record.members[key] || key.slice(0, 12);
}

/**
 * A text of at most 140 characters, which is where JupyterLab cuts a notification.
 */
export function fitted(text: string): string {
  return text.length > 140 ? `${text.slice(0, 139)}…` : text;
}
