import type { TranslationBundle } from '@jupyterlab/translation';

import type {
  IFailure,
  IRoundSummary,
  IRunView,
  ITrustPart
} from '../contracts';

/**
 * A state of a run.
 */
export type RunState = IRunView['state'];
/**
 * A state of a Trust's part in a run.
 */
export type TrustState = ITrustPart['state'];

/**
 * How much of a round's weight one Trust has, as a band.
 */
export type Share = IRoundSummary['shares'][string];

const ENDED: ReadonlySet<RunState> = new Set([
  'succeeded',
  'failed',
  'stopped'
]);

/**
 * Whether a run is over, however it ended.
 */
export function hasEnded(run: IRunView): boolean {
  return ENDED.has(run.state);
}

/**
 * Whether a run waits for a person: some Trust has not decided and nothing has started.
 */
function isWaiting(run: IRunView): boolean {
  return run.state === 'waiting';
}

/**
 * Whether a Trust has yet to say whether it takes part.
 */
function isUndecided(part: ITrustPart): boolean {
  return part.state === 'waiting' || part.state === 'notified';
}

/**
 * Whether a Trust will not take part, for its controller declined or its agent refused.
 */
export function isUnwilling(part: ITrustPart): boolean {
  return part.state === 'declined' || part.state === 'refused';
}

/**
 * A Trust's share of all people in train, as far as it is shown to anybody outside.
 */
export function shareText(trans: TranslationBundle, share: Share): string {
  switch (share) {
    case 'under-10':
      return trans.__('under 10 %');
    case '10-to-25':
      return trans.__('10 to 25 %');
    case '25-to-50':
      return trans.__('25 to 50 %');
    case 'over-50':
      return trans.__('over 50 %');
  }
}

/**
 * The word for the state of a run.
 */
export function runStateWord(
  trans: TranslationBundle,
  state: RunState
): string {
  switch (state) {
    case 'waiting':
      return trans.__('waits for approvals');
    case 'queued':
      return trans.__('waits for slots');
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

/**
 * The word for the state of a Trust's part.
 */
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
    case 'queued':
      return trans.__('waits for a slot');
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
 * Where a run is, in a few words that name the Trusts it waits for.
 */
export function runDetail(
  trans: TranslationBundle,
  run: IRunView,
  titleOf: (trust: string) => string
): string {
  switch (run.state) {
    case 'waiting': {
      const undecided = run.trusts.filter(isUndecided);
      return undecided.length === 1
        ? trans.__('awaits %1', titleOf(undecided[0].trust))
        : trans.__(
            'awaits %1 of %2 Trusts',
            undecided.length,
            run.trusts.length
          );
    }
    case 'queued': {
      const full = run.trusts.filter(part => part.state === 'queued');
      return full.length === 1
        ? trans.__('waits for a slot at %1', titleOf(full[0].trust))
        : runStateWord(trans, run.state);
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
 * Where a run is, for a narrow list whose icon says the state: of one that has ended only when.
 */
export function runBrief(
  trans: TranslationBundle,
  run: IRunView,
  titleOf: (trust: string) => string
): string {
  if (hasEnded(run) && run.finished) {
    return ago(trans, run.finished);
  }
  const undecided = run.trusts.filter(isUndecided).length;
  return isWaiting(run) && undecided !== 1
    ? trans.__('awaits %1 of %2', undecided, run.trusts.length)
    : runDetail(trans, run, titleOf);
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
  const where = [failure.error_class, ...place].join(', ');
  const refused = failure.refusal ? refusalText(trans, failure.refusal) : '';
  return refused ? `${where}: ${refused}` : where;
}

/**
 * What an enclave's airlock had refused the notebook, by its code; empty for a code of another version.
 */
function refusalText(trans: TranslationBundle, refusal: string): string {
  switch (refusal) {
    case 'not-finite':
      return trans.__('its update holds NaN or infinity');
    case 'integer-change-too-large':
      return trans.__('an integer tensor changed by more than allowed');
    case 'update-missing':
      return trans.__('it submitted no update in a training round');
    case 'wrong-tensors':
      return trans.__('its model has other tensors than the bundle');
    case 'undeclared-output':
      return trans.__('it reports a number that is not declared');
    case 'missing-output':
      return trans.__('its report lacks a declared number');
    case 'not-a-number':
      return trans.__('it reports what is no finite number');
    case 'output-out-of-bounds':
      return trans.__('it reports a number out of its declared bounds');
    case 'no-agreement':
      return trans.__('it compared nothing, which the consensus needs');
    case 'wrong-agreement':
      return trans.__('its agreement is no number in its range');
    case 'undeclared-total':
      return trans.__('it totals arrays that are not declared');
    case 'wrong-total':
      return trans.__('an array of its total is not as declared');
    case 'total-refused':
      return trans.__('the sum that came back is impossible');
    case 'wrong-place':
      return trans.__('it totals in another round than declared');
    case 'state-too-large':
      return trans.__('its declared state is too large to be saved');
    default:
      return '';
  }
}

/**
 * How long ago a Trust's agent was last heard, to the second; "not lately" where it was not.
 */
export function aliveText(
  trans: TranslationBundle,
  heard: string | null,
  now: number
): string {
  if (heard === null) {
    return trans.__('not lately');
  }
  const seconds = Math.max(0, Math.round((now - Date.parse(heard)) / 1000));
  return seconds < 120
    ? trans.__('alive %1 s ago', seconds)
    : trans.__('heard %1 min ago', Math.floor(seconds / 60));
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
 * 512 MB, 1.5 GB, of bytes in powers of 1024, as memory is sold.
 */
export function memory(trans: TranslationBundle, bytes: number): string {
  const mega = bytes / 2 ** 20;
  return mega < 1024
    ? trans.__('%1 MB', figures(Math.round(mega)))
    : trans.__('%1 GB', figures(mega / 1024));
}

/**
 * A metric: three significant figures always, so that those of a column align.
 */
export function metric(value: number): string {
  const size = Math.abs(value);
  return size < 1e-4 || size >= 1000
    ? figures(value)
    : value.toLocaleString([], {
        maximumSignificantDigits: 3,
        minimumSignificantDigits: 3
      });
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

/**
 * The beginning and the end of a digest, for people to compare.
 */
export function shortDigest(digest: string): string {
  return `${digest.slice(0, 8)}…${digest.slice(-4)}`;
}
