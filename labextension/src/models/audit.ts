import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { messageOf } from '../api';
import type { IAuditCheck, IAuditLines, IAuditTold } from '../contracts';
import type { IDesk } from '../tokens';

/**
 * The audit log of this enclave in plain words, the newest line first; it grows as the desk changes.
 */
export class AuditModel {
  constructor(private readonly _desk: IDesk) {
    _desk.changed.connect(this._fetchAnew, this);
    void this._fetch();
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  /**
   * The newest lines of the chosen group; null before the first answer.
   */
  get found(): IAuditLines | null {
    return this._found;
  }

  get group(): string {
    return this._group;
  }

  get problem(): string {
    return this._problem;
  }

  /**
   * What the last reading of the whole log found; null before the first.
   */
  get check(): IAuditCheck | null {
    return this._check;
  }

  get verifying(): boolean {
    return this._verifying;
  }

  /**
   * Look at the lines of another group.
   */
  choose(group: string): void {
    this._group = group;
    void this._fetch();
  }

  /**
   * The entries of a line, the newest first.
   */
  async entries(line: string): Promise<ReadonlyArray<IAuditTold>> {
    return (await this._desk.auditEntries(line)).entries;
  }

  async verify(): Promise<void> {
    this._verifying = true;
    this._changed.emit();
    try {
      this._check = await this._desk.checkAudit();
      this._problem = '';
    } catch (error) {
      this._problem = messageOf(error);
    }
    this._verifying = false;
    this._changed.emit();
  }

  /**
   * All entries as they were written, one canonical JSON document a line, page by page.
   */
  async whole(): Promise<string> {
    const lines: string[] = [];
    for (;;) {
      const page = await this._desk.audit(lines.length);
      lines.push(...page.entries);
      if (page.entries.length === 0 || lines.length >= page.size) {
        return lines.map(line => `${line}\n`).join('');
      }
    }
  }

  dispose(): void {
    this._isDisposed = true;
    Signal.clearData(this);
  }

  private _fetchAnew(): void {
    void this._fetch();
  }

  /**
   * Fetch the lines; a call while that is under way has it look once more at its end.
   */
  private async _fetch(): Promise<void> {
    if (this._fetching) {
      this._stale = true;
      return;
    }
    this._fetching = true;
    do {
      this._stale = false;
      try {
        this._found = await this._desk.auditLines(this._group);
        this._problem = '';
      } catch (error) {
        this._problem = messageOf(error);
      }
    } while (this._stale && !this._isDisposed);
    this._fetching = false;
    this._changed.emit();
  }

  private _found: IAuditLines | null = null;
  private _group = 'all';
  private _problem = '';
  private _check: IAuditCheck | null = null;
  private _verifying = false;
  private _fetching = false;
  private _stale = false;
  private _isDisposed = false;
  private readonly _changed = new Signal<this, void>(this);
}
