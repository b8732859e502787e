import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { messageOf } from '../api';
import type { IBundle, IRoundSummary, IRunEvent, IRunView } from '../contracts';
import type { IWorkbench } from '../tokens';
import { finalOf, roundsOf } from './curves';
import type { RunHistory } from './history';

/**
 * One run as its view shows it: state, events from the beginning, and the bundle when that is asked for.
 */
export class RunModel {
  constructor(
    readonly run: string,
    readonly workbench: IWorkbench
  ) {
    this._history = workbench.history(run);
    this._history.changed.connect(this._emit, this);
    workbench.runChanged.connect(this._onRun, this);
    workbench.changed.connect(this._emit, this);
    void this._fetch();
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get view(): IRunView | null {
    return this._view;
  }

  get events(): ReadonlyArray<IRunEvent> {
    return this._history.events;
  }

  get rounds(): IRoundSummary[] {
    return roundsOf(this._history.events);
  }

  /**
   * The evaluation of the final model; null before it is there.
   */
  get final(): IRoundSummary | null {
    return finalOf(this.rounds);
  }

  get bundle(): IBundle | null {
    return this._bundle;
  }

  get problem(): string {
    const { error } = this._history;
    return this._problem || (error ? messageOf(error) : '');
  }

  async fetchBundle(): Promise<void> {
    if (this._view === null || this._bundle !== null) {
      return;
    }
    try {
      this._bundle = await this.workbench.api.bundle(this._view.bundle);
    } catch (error) {
      this._problem = messageOf(error);
    }
    this._emit();
  }

  /**
   * Look at the run anew: when its Trusts were last heard comes with no event.
   */
  async look(): Promise<void> {
    try {
      const view = await this.workbench.api.run(this.run);
      if (view.last_event >= (this._view?.last_event ?? 0)) {
        this._view = view;
      }
    } catch {
      return; // The banner says that the hub is away.
    }
    this._emit();
  }

  dispose(): void {
    this._history.dispose();
    this.workbench.runChanged.disconnect(this._onRun, this);
    this.workbench.changed.disconnect(this._emit, this);
    Signal.clearData(this);
  }

  private async _fetch(): Promise<void> {
    try {
      this._view = await this.workbench.run(this.run);
    } catch (error) {
      this._problem = messageOf(error);
    }
    this._emit();
  }

  private _onRun(_: IWorkbench, run: IRunView): void {
    if (run.run === this.run) {
      this._view = run;
      this._problem = '';
      this._emit();
    }
  }

  private _emit(): void {
    const known = this.workbench.runs.find(view => view.run === this.run);
    if (known && known.last_event > (this._view?.last_event ?? 0)) {
      this._view = known;
    }
    this._changed.emit();
  }

  private _view: IRunView | null = null;
  private _bundle: IBundle | null = null;
  private _problem = '';
  private readonly _history: RunHistory;
  private readonly _changed = new Signal<this, void>(this);
}
