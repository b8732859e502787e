import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { messageOf } from '../api';
import type { IAuditCheck } from '../contracts';
import type { IDesk } from '../tokens';

/**
 * One entry of the audit log, as a line of its table.
 */
export interface IAuditItem {
  index: number;
  at: string;
  kind: string;
  /**
   * Name and value pairs as text, without empty ones; they may come from strangers.
   */
  details: string;
  /**
   * The run whose progress was told; null for all other entries.
   */
  progressOf: string | null;
  /**
   * How many earlier reports of the same run's progress this line stands for.
   */
  earlier: number;
}

const GROUPS: { [group: string]: (kind: string) => boolean } = {
  all: () => true,
  left: kind => kind.endsWith('-released') || kind.endsWith('told'),
  refused: kind => kind.endsWith('-refused'),
  decided: kind =>
    ['approved', 'declined', 'joined', 'stopped', 'left'].includes(kind)
};

/**
 * The audit log of this enclave, the newest entry first; it grows as the desk changes.
 */
export class AuditModel {
  constructor(private readonly _desk: IDesk) {
    _desk.changed.connect(this._fetchAnew, this);
    void this._fetch();
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get items(): ReadonlyArray<IAuditItem> {
    return this._items;
  }

  get size(): number {
    return this._size;
  }

  get head(): string {
    return this._head;
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
   * The entries of a group; of a run's reports of progress the last alone, which says how many came before.
   */
  of(group: string): ReadonlyArray<IAuditItem> {
    const last = new Map<string, IAuditItem>();
    const shown: IAuditItem[] = [];
    for (const item of this._items) {
      if (!GROUPS[group](item.kind)) {
        continue;
      }
      const newer = last.get(item.progressOf ?? '');
      if (newer !== undefined) {
        newer.earlier += 1;
        continue;
      }
      const line = { ...item };
      if (item.progressOf !== null) {
        last.set(item.progressOf, line);
      }
      shown.push(line);
    }
    return shown;
  }

  /**
   * All entries as they were written, one canonical JSON document a line.
   */
  get text(): string {
    return this._lines.map(line => `${line}\n`).join('');
  }

  dispose(): void {
    this._isDisposed = true;
    Signal.clearData(this);
  }

  private _fetchAnew(): void {
    void this._fetch();
  }

  /**
   * Fetch what is not here yet; a call while that is under way has it look once more at its end.
   */
  private async _fetch(): Promise<void> {
    if (this._fetching) {
      this._stale = true;
      return;
    }
    this._fetching = true;
    do {
      this._stale = false;
      await this._fetchPages();
    } while (this._stale && !this._isDisposed);
    this._fetching = false;
    this._changed.emit();
  }

  private async _fetchPages(): Promise<void> {
    try {
      do {
        const page = await this._desk.audit(this._lines.length);
        this._size = page.size;
        this._head = page.head;
        if (page.entries.length === 0) {
          break;
        }
        this._lines.push(...page.entries);
        this._items = [...page.entries.map(itemOf).reverse(), ...this._items];
      } while (this._lines.length < this._size && !this._isDisposed);
      this._problem = '';
    } catch (error) {
      this._problem = messageOf(error);
    }
  }

  private readonly _lines: string[] = [];
  private _items: IAuditItem[] = [];
  private _size = 0;
  private _head = '';
  private _problem = '';
  private _check: IAuditCheck | null = null;
  private _verifying = false;
  private _fetching = false;
  private _stale = false;
  private _isDisposed = false;
  private readonly _changed = new Signal<this, void>(this);
}

function itemOf(line: string): IAuditItem {
  const { index, at, kind, details } = JSON.parse(line);
  const parts = Object.entries(details as { [name: string]: unknown }).filter(
    ([, value]) => value !== null
  );
  return {
    index,
    at,
    kind,
    details: parts
      .map(([name, value]) => `${name}: ${plain(value)}`)
      .join('  '),
    progressOf: kind === 'progress-told' ? String(details.run) : null,
    earlier: 0
  };
}

function plain(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
