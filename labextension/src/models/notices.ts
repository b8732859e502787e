import type { TranslationBundle } from '@jupyterlab/translation';

import type { IRunView } from '../contracts';
import { fitted, runName } from './naming';
import { hasEnded, isUnwilling } from './wording';

const MINUTE = 60_000;

/**
 * Something that happened to a run, to be told where the person does not see it anyway.
 */
export interface IHappening {
  run: IRunView;
  kind: 'ended' | 'declined';
  /**
   * Of a decline: whose.
   */
  trust?: string;
}

/**
 * What has happened between two looks at a run: its end, or a Trust's no.
 */
export function happenings(
  before: IRunView | undefined,
  run: IRunView
): IHappening[] {
  if (before === undefined) {
    return [];
  }
  if (hasEnded(run)) {
    return hasEnded(before) ? [] : [{ run, kind: 'ended' }];
  }
  const unwilling = new Set(
    before.trusts.filter(isUnwilling).map(part => part.trust)
  );
  return run.trusts
    .filter(part => isUnwilling(part) && !unwilling.has(part.trust))
    .map(part => ({ run, kind: 'declined', trust: part.trust }));
}

/**
 * One thing as a sentence of at most 140 characters, without a reason: reasons may hold numbers.
 */
export function happeningText(
  trans: TranslationBundle,
  { run, kind, trust }: IHappening,
  titleOf: (trust: string) => string
): string {
  const name = runName(run);
  if (kind === 'declined') {
    return fitted(
      trans.__('%1: %2 does not take part.', name, titleOf(trust!))
    );
  }
  if (run.state === 'succeeded') {
    return fitted(
      run.code === 'agreed'
        ? trans.__('%1 agreed.', name)
        : trans.__('%1 succeeded.', name)
    );
  }
  if (run.state === 'stopped') {
    return fitted(trans.__('%1 was stopped.', name));
  }
  const failed = run.trusts.find(part => part.failure !== null);
  return fitted(
    failed
      ? trans.__('%1 failed at %2.', name, titleOf(failed.trust))
      : trans.__('%1 failed.', name)
  );
}

/**
 * The things of one minute in one sentence.
 */
export function digestText(
  trans: TranslationBundle,
  happened: ReadonlyArray<IHappening>
): string {
  const count = (test: (item: IHappening) => boolean): number =>
    new Set(happened.filter(test).map(item => item.run.run)).size;
  const ended = (state: IRunView['state']): number =>
    count(item => item.kind === 'ended' && item.run.state === state);
  const parts = [
    [ended('succeeded'), trans.__('succeeded')] as const,
    [ended('failed'), trans.__('failed')] as const,
    [ended('stopped'), trans.__('stopped')] as const,
    [count(item => item.kind === 'declined'), trans.__('declined')] as const
  ];
  const said = parts
    .filter(([number]) => number > 0)
    .map(([number, word]) => `${number} ${word}`);
  return trans.__('Runs: %1.', said.join(', '));
}

/**
 * What happened within the last minute, `happened` included, the oldest first.
 */
export class Minute {
  add(happened: IHappening, now = Date.now()): IHappening[] {
    this._items = [
      ...this._items.filter(([at]) => now - at < MINUTE),
      [now, happened]
    ];
    return this._items.map(([, item]) => item);
  }

  private _items: [number, IHappening][] = [];
}
