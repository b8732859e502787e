import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { messageOf } from '../api';
import type { IOpening, IRequestDetail } from '../contracts';
import type { IDesk } from '../tokens';

/**
 * What of a request must have been opened before it may be approved.
 */
export type Part = IOpening['part'];

const PARTS: ReadonlyArray<Part> = ['brief', 'code'];

/**
 * One request at the desk, fetched again whenever requests have changed; what of it the person has opened.
 */
export class RequestModel {
  constructor(
    readonly bundle: string,
    readonly desk: IDesk
  ) {
    desk.requestsChanged.connect(this._fetchAnew, this);
    desk.changed.connect(this._personChanged, this);
    this._person = desk.person;
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
   * Who decides here; empty where nobody has said.
   */
  get person(): string {
    return this.desk.person;
  }

  /**
   * The parts that this person has not opened yet, at this screen or before.
   */
  get unread(): ReadonlyArray<Part> {
    const before = this._detail?.opened ?? [];
    return PARTS.filter(
      part =>
        !this._opened.has(part) &&
        !before.some(one => one.controller === this.person && one.part === part)
    );
  }

  /**
   * Whether this person signed the request as its researcher.
   */
  get isOwn(): boolean {
    return this._detail?.own.includes(this.person) ?? false;
  }

  get mayApprove(): boolean {
    return (
      this.mayDecline &&
      this._detail?.estate_version !== null &&
      this.person !== '' &&
      !this.isOwn &&
      this.unread.length === 0
    );
  }

  get mayDecline(): boolean {
    const state = this._detail?.summary.state;
    return state === 'waiting' || state === 'approved' || state === 'over';
  }

  /**
   * The person has a part before them. The agent keeps it; where it can't be told, the part counts as not opened.
   */
  async open(part: Part): Promise<void> {
    const { person } = this;
    if (this._detail === null || person === '' || !this.unread.includes(part)) {
      return;
    }
    this._opened.add(part);
    try {
      await this.desk.noteOpened(this.bundle, person, part);
    } catch (error) {
      this._opened.delete(part);
      this._problem = messageOf(error);
    }
    this._changed.emit();
  }

  dispose(): void {
    Signal.clearData(this);
  }

  /**
   * Another person has opened nothing yet.
   */
  private _personChanged(): void {
    if (this._person !== this.desk.person) {
      this._person = this.desk.person;
      this._opened.clear();
      this._changed.emit();
    }
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
  private _person: string;
  private readonly _opened = new Set<Part>();
  private readonly _changed = new Signal<this, void>(this);
}
