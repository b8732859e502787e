import type { IRequestSummary } from '../contracts';
import type { IDesk } from '../tokens';

const MINUTE_MS = 60_000;

/**
 * What is to be announced: one request with its words, or how many wait. No number of people is in it.
 */
export interface INotice {
  /**
   * The request that it is about; null where it is about several.
   */
  request: IRequestSummary | null;
  waiting: number;
}

/**
 * Which requests are news: those that wait and were not seen waiting before. Of more than one within a minute their
 * number is told; what waited already when Lab was opened does not count for that.
 */
export class Notices {
  constructor(
    private readonly _desk: IDesk,
    private readonly _now: () => number = Date.now
  ) {}

  get waiting(): number {
    return this._waiting().length;
  }

  /**
   * What is to be announced now; null where nothing is new.
   */
  next(): INotice | null {
    const waiting = this._waiting();
    const fresh = waiting.filter(request => !this._known.has(request.bundle));
    const begins = !this._begun;
    this._known = new Set(waiting.map(request => request.bundle));
    this._begun = true;
    if (fresh.length === 0) {
      return null;
    }
    const now = this._now();
    const several = fresh.length > 1 || now - this._last < MINUTE_MS;
    this._last = begins ? -Infinity : now;
    return {
      request: several ? null : fresh[0],
      waiting: waiting.length
    };
  }

  private _waiting(): IRequestSummary[] {
    return this._desk.requests.filter(request => request.state === 'waiting');
  }

  private _known: ReadonlySet<string> = new Set();
  private _begun = false;
  private _last = -Infinity;
}
