import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { FlipApi } from '../api';
import type { IRunChange, IRunEvent } from '../contracts';

/**
 * One run's events without a gap: fetched from the beginning, then appended to as they are pushed.
 */
export class RunHistory {
  constructor(
    readonly run: string,
    private readonly _api: FlipApi
  ) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get events(): ReadonlyArray<IRunEvent> {
    return this._events;
  }

  /**
   * Why the events could not be fetched; null where they could.
   */
  get error(): unknown {
    return this._error;
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /**
   * Fetch what is not here yet. Calls while one is under way join it.
   */
  fetch(): Promise<void> {
    this._fetching ??= this._fetch().finally(() => {
      this._fetching = null;
    });
    return this._fetching;
  }

  /**
   * Take pushed events on; where there is a gap before them, fetch instead.
   */
  async take(change: IRunChange): Promise<void> {
    const next = this._last + 1;
    const fresh = change.events.filter(event => event.number >= next);
    if (fresh.length === 0) {
      return;
    }
    if (fresh[0].number > next || this._fetching) {
      await this._fetching;
      await this.fetch();
      return;
    }
    this._append(fresh);
  }

  dispose(): void {
    this._isDisposed = true;
    Signal.clearData(this);
  }

  private get _last(): number {
    return this._events.length === 0
      ? 0
      : this._events[this._events.length - 1].number;
  }

  private async _fetch(): Promise<void> {
    try {
      for (;;) {
        const page = await this._api.runEvents(this.run, this._last);
        if (this._isDisposed || page.length === 0) {
          break;
        }
        this._append(page);
      }
      this._error = null;
    } catch (error) {
      this._error = error;
    }
    if (!this._isDisposed) {
      this._changed.emit();
    }
  }

  private _append(events: IRunEvent[]): void {
    this._events = [...this._events, ...events];
    this._changed.emit();
  }

  private _events: IRunEvent[] = [];
  private _error: unknown = null;
  private _fetching: Promise<void> | null = null;
  private _isDisposed = false;
  private _changed = new Signal<this, void>(this);
}
