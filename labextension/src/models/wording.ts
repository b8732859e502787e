import type { TranslationBundle } from '@jupyterlab/translation';

import type { IFailure, IRunView, ITrustPart } from '../contracts';

export type RunState = IRunView['state'];
export type TrustState = ITrustPart['state'];

const ENDED: ReadonlySet<RunState> = new Set([
  'succeeded',
  'failed',
  'stopped'
]);

export function hasEnded(run: IRunView): boolean {
  return ENDED.has(run.state);
}

/**
 * Whether a run waits for a person: some Trust has not decided and nothing has started.
 */
export function isWaiting(run: IRunView): boolean {
  return run.state === 'waiting';
}

export function runStateWord(trans: TranslationBundle, state: RunState): string {
  switch (state) {
    case 'waiting':
      return trans.__('waiting');
    case 'starting':
      return trans.__('starting');
    case 'running':
      return trans.__('running');
    case 'stopping':
      return trans.__('stopping');
    case 'succeeded':
      return trans.__('succeeded');
    case 'failed':
      return trans.__('failed');
    case 'stopped':
      return trans.__('stopped');
  }
}

export function trustStateWord(
  trans: TranslationBundle,
  state: TrustState
): string {
  switch (state) {
    case 'notified':
      return trans.__('not reached yet');
    case 'waiting':
      return trans.__('awaiting approval');
    case 'approved':
      return trans.__('approved');
    case 'declined':
      return trans.__('declined');
    case 'refused':
      return trans.__('refused');
    case 'starting':
      return trans.__('starting');
    case 'running':
      return trans.__('training');
    case 'finished':
      return trans.__('finished');
    case 'failed':
      return trans.__('failed');
    case 'left-out':
      return trans.__('left out');
    case 'stopped':
      return trans.__('stopped');
  }
}

/**
 * What a run is called in lists: its parameters, which tell a sweep's runs apart, else its title.
 */
export function runName(run: IRunView): string {
  return pointText(run) || run.title;
}

export function pointText(run: IRunView): string {
  return Object.entries(run.point)
    .map(([name, value]) => `${name} ${String(value)}`)
    .join(', ');
}

/**
 * Where a run is, in a few words that name the Trusts it waits for.
 */
export function runDetail(trans: TranslationBundle, run: IRunView): string {
  switch (run.state) {
    case 'waiting': {
      const undecided = run.trusts.filter(
        part => part.state === 'waiting' || part.state === 'notified'
      );
      return undecided.length === 1
        ? trans.__('awaits %1', undecided[0].name)
        : trans.__('awaits %1 of %2 Trusts', undecided.length, run.trusts.length);
    }
    case 'running':
      return trans.__('round %1 of %2', run.rounds_done, run.rounds);
    case 'succeeded':
      return run.finished
        ? trans.__('succeeded %1', ago(trans, run.finished))
        : trans.__('succeeded');
    case 'failed':
    case 'stopped': {
      const word = runStateWord(trans, run.state);
      return run.finished ? `${word} ${ago(trans, run.finished)}` : word;
    }
    default:
      return runStateWord(trans, run.state);
  }
}

/**
 * How much of a run is done, from 0 to 1; null where that says nothing.
 */
export function runShare(run: IRunView): number | null {
  return run.state === 'running' && run.rounds > 0
    ? run.rounds_done / run.rounds
    : null;
}

/**
 * Why a Trust's part is as it is: class, round, cell and line; a message never leaves an enclave.
 */
export function failureText(
  trans: TranslationBundle,
  failure: IFailure
): string {
  const place: string[] = [];
  if (failure.round !== null) {
    place.push(trans.__('round %1', failure.round));
  }
  if (failure.cell !== null) {
    place.push(trans.__('cell %1', failure.cell));
  }
  if (failure.line !== null) {
    place.push(trans.__('line %1', failure.line));
  }
  return [failure.error_class, ...place].join(', ');
}

/**
 * How long ago a moment was: "just now", "4 min ago", "3 h ago", else the date.
 */
export function ago(trans: TranslationBundle, moment: string): string {
  const seconds = (Date.now() - Date.parse(moment)) / 1000;
  if (seconds < 45) {
    return trans.__('just now');
  }
  if (seconds < 3600) {
    return trans.__('%1 min ago', Math.max(1, Math.round(seconds / 60)));
  }
  if (seconds < 86400) {
    return trans.__('%1 h ago', Math.round(seconds / 3600));
  }
  return new Date(moment).toLocaleDateString();
}

/**
 * How old something is: "2 h old", "3 d old".
 */
export function age(trans: TranslationBundle, moment: string): string {
  const hours = (Date.now() - Date.parse(moment)) / 3_600_000;
  if (hours < 1) {
    return trans.__('%1 min old', Math.max(1, Math.round(hours * 60)));
  }
  return hours < 48
    ? trans.__('%1 h old', Math.round(hours))
    : trans.__('%1 d old', Math.round(hours / 24));
}

/**
 * A time of today as hours and minutes, another day's with its date.
 */
export function clock(moment: string | Date): string {
  const time = new Date(moment);
  const today = time.toDateString() === new Date().toDateString();
  return today
    ? time.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
    : time.toLocaleString([], {
        day: 'numeric',
        month: 'short',
        hour: '2-digit',
        minute: '2-digit'
      });
}

/**
 * 8 s, 4 min, 1 h 05 min.
 */
export function duration(trans: TranslationBundle, seconds: number): string {
  if (seconds < 60) {
    return trans.__('%1 s', Math.round(seconds));
  }
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) {
    return trans.__('%1 min', minutes);
  }
  const rest = String(minutes % 60).padStart(2, '0');
  return trans.__('%1 h %2 min', Math.floor(minutes / 60), rest);
}

/**
 * Three significant figures.
 */
export function figures(value: number): string {
  if (value === 0) {
    return '0';
  }
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-4
    ? value.toExponential(2)
    : value.toLocaleString([], { maximumSignificantDigits: 3 });
}

export function shortDigest(digest: string): string {
  return `${digest.slice(0, 8)}…${digest.slice(-4)}`;
}
