import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { messageOf } from '../api';
import type { IRequestDetail } from '../contracts';
import type { IDesk } from '../tokens';

/**
 * One request at the desk, fetched again whenever requests have changed; what of it was looked at.
 */
export class RequestModel {
  constructor(
    readonly bundle: string,
    readonly desk: IDesk
  ) {
    desk.requestsChanged.connect(this._fetchAnew, this);
    void this._fetch();
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get detail(): IRequestDetail | null {
    return this._detail;
  }

  get problem(): string {
    return this._problem;
  }

  /**
   * The person has opened a tab.
   */
  look(tab: string): void {
    this._looked.add(tab);
    this._changed.emit();
  }

  /**
   * What is new and what would leave must have been opened, and the enclave must have an estate.
   */
  get mayApprove(): boolean {
    const state = this._detail?.summary.state;
    return (
      (state === 'waiting' || state === 'approved') &&
      this._detail?.estate_version !== null &&
      this._looked.has('change') &&
      this._looked.has('leaves')
    );
  }

  get mayDecline(): boolean {
    const state = this._detail?.summary.state;
    return state === 'waiting' || state === 'approved';
  }

  dispose(): void {
    Signal.clearData(this);
  }

  private _fetchAnew(): void {
    void this._fetch();
  }

  /**
   * Fetch it; an answer counts only while no later one has come.
   */
  private async _fetch(): Promise<void> {
    const number = ++this._asked;
    const answer = await this.desk.detail(this.bundle).then(
      detail => ({ detail, problem: '' }),
      error => ({ detail: this._detail, problem: messageOf(error) })
    );
    if (number > this._answered) {
      this._answered = number;
      this._detail = answer.detail;
      this._problem = answer.problem;
      this._changed.emit();
    }
  }

  private _detail: IRequestDetail | null = null;
  private _problem = '';
  private _asked = 0;
  private _answered = 0;
  private readonly _looked = new Set(['change']);
  private readonly _changed = new Signal<this, void>(this);
}
