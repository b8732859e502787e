import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { FlipApi } from '../api';
import { messageOf } from '../api';
import type {
  ICohortFile,
  IEvents,
  IHubContact,
  ILabStatus,
  IRunChange,
  IRunView,
  IStudy,
  IStudyTrust
} from '../contracts';
import type { IWorkbench } from '../tokens';
import { RunHistory } from './history';

const RUN_EVENT: keyof IEvents = 'https://schema.jupyter.org/flipnb/run/v1';
const TRUSTS_EVENT: keyof IEvents =
  'https://schema.jupyter.org/flipnb/trusts/v1';
/**
 * Without a word of the Jupyter server for so long, more than two of its beats, nothing can be asked.
 */
export const SILENCE_MILLISECONDS = 35_000;

const HUB_EVENT: keyof IEvents = 'https://schema.jupyter.org/flipnb/hub/v1';

/**
 * The model behind all screens. It fetches lists once; from then on changes are pushed to it through `take`.
 */
export class Workbench implements IWorkbench {
  constructor(readonly api: FlipApi) {}

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get runChanged(): ISignal<this, IRunView> {
    return this._runChanged;
  }

  get ready(): boolean {
    return this._status !== null;
  }

  get status(): ILabStatus | null {
    return this._status;
  }

  get contact(): IHubContact {
    return this._contact;
  }

  get heard(): Date | null {
    return this._heard;
  }

  get problem(): string {
    return this._problem;
  }

  get researcher(): string | null {
    return this._status?.researcher ?? null;
  }

  get studies(): ReadonlyArray<IStudy> {
    return this._studies;
  }

  get study(): IStudy | null {
    return (
      this._studies.find(study => study.study === this._chosen) ??
      this._studies[0] ??
      null
    );
  }

  get trusts(): ReadonlyArray<IStudyTrust> {
    return this._trusts;
  }

  get cohorts(): ReadonlyArray<ICohortFile> {
    return this._cohorts;
  }

  get runs(): ReadonlyArray<IRunView> {
    return this._runs;
  }

  choose(study: string): void {
    if (study === this.study?.study) {
      return;
    }
    this._chosen = study;
    this._runs = [];
    this._trusts = [];
    this._changed.emit();
    void this.refresh();
  }

  /**
   * Ask the server extension who it is, then fetch the lists.
   */
  async begin(chosen: string | null): Promise<ILabStatus> {
    this._chosen = chosen;
    this._status = await this.api.status();
    this._contact = this._status.contact;
    this._changed.emit();
    await this.refresh();
    return this._status;
  }

  async refresh(): Promise<void> {
    const before = new Set(this._runs);
    try {
      const studies = await this.api.studies();
      this._studies = studies;
      const study = this.study;
      if (study !== null) {
        const [trusts, runs, cohorts] = await Promise.all([
          study.kept ? this.api.trusts(study.study) : [],
          this.api.runs(study.study),
          this.api.cohorts()
        ]);
        if (study.study === this.study?.study) {
          const pushed = this._runs.filter(run => !before.has(run));
          this._trusts = trusts;
          this._runs = runs;
          pushed.reverse().forEach(run => this._place(run));
        }
        this._cohorts = cohorts;
      }
      this._heard = new Date();
      this._problem = '';
      this._openHistories().forEach(history => void history.fetch());
    } catch (error) {
      this._problem = messageOf(error);
    }
    this._changed.emit();
  }

  async tryNow(): Promise<void> {
    this._contact = await this.api.tryHub();
    this._changed.emit();
  }

  async run(run: string): Promise<IRunView> {
    const known = this._runs.find(view => view.run === run);
    return known ?? (await this.api.run(run));
  }

  history(run: string): RunHistory {
    const history = new RunHistory(run, this.api);
    this._histories.add(history);
    void history.fetch();
    return history;
  }

  update(run: IRunView): void {
    if (run.study === this.study?.study && !this._place(run)) {
      return;
    }
    this._runChanged.emit(run);
    this._changed.emit();
  }

  trustTitle(key: string): string {
    const trust = this._trusts.find(trust => trust.key === key);
    const parts = this._runs.flatMap(run => run.trusts);
    const part = trust ?? parts.find(part => part.trust === key);
    return trust?.title ?? part?.name ?? key.slice(0, 12);
  }

  /**
   * Fetch the cohort files again: one was made, renamed or deleted.
   */
  async refreshCohorts(): Promise<void> {
    this._cohorts = await this.api.cohorts();
    this._changed.emit();
  }

  /**
   * Take an event of the Jupyter server on; those of others are ignored.
   */
  take(schema: string, data: unknown): void {
    if (schema === RUN_EVENT) {
      const change = data as IRunChange;
      this._heard = new Date();
      this.update(change.view);
      this._openHistories()
        .filter(history => history.run === change.run)
        .forEach(history => void history.take(change));
    } else if (schema === TRUSTS_EVENT) {
      void this._refreshTrusts();
    } else if (schema === HUB_EVENT) {
      this._takeContact(data as IHubContact);
    }
  }

  /**
   * Contact was made anew: events may have been missed while there was none, so fetch what is shown.
   */
  private _takeContact(contact: IHubContact): void {
    const before = this._contact;
    const wasSilent = this._silent !== null;
    this._contact = contact;
    this._beat = new Date();
    this._silent = null;
    if (
      contact.state === 'online' &&
      contact.connection !== before.connection
    ) {
      void this.refresh();
    } else if (contact.state === 'online' && this._problem === '') {
      this._heard = new Date();
    }
    if (contact.state !== before.state || wasSilent) {
      this._changed.emit();
    }
  }

  /**
   * Show a run as it is now, a new one before the others. False where it is known as it was later.
   */
  private _place(run: IRunView): boolean {
    const index = this._runs.findIndex(view => view.run === run.run);
    if (index >= 0 && this._runs[index].last_event > run.last_event) {
      return false;
    }
    this._runs =
      index < 0
        ? [run, ...this._runs]
        : this._runs.map((view, at) => (at === index ? run : view));
    return true;
  }

  /**
   * The histories that are looked at; those of views that were closed are forgotten.
   */
  private _openHistories(): RunHistory[] {
    for (const history of this._histories) {
      if (history.isDisposed) {
        this._histories.delete(history);
      }
    }
    return [...this._histories];
  }

  private async _refreshTrusts(): Promise<void> {
    const study = this.study;
    if (!study?.kept) {
      return;
    }
    try {
      const trusts = await this.api.trusts(study.study);
      if (study.study === this.study?.study) {
        this._trusts = trusts;
        this._changed.emit();
      }
    } catch {
      // The hub is away: the next contact fetches everything.
    }
  }

  get away(): string | null {
    const { state, since } = this._contact;
    if (state === 'offline') {
      return this._heard?.toISOString() ?? since;
    }
    return this._silent?.toISOString() ?? null;
  }

  /**
   * Notice where the Jupyter server itself is silent, which tells of the hub every fifteen seconds.
   */
  notice(now = Date.now()): void {
    const silent =
      this._beat !== null && now - this._beat.getTime() > SILENCE_MILLISECONDS
        ? this._beat
        : null;
    if ((silent === null) !== (this._silent === null)) {
      this._silent = silent;
      this._changed.emit();
    }
  }

  /**
   * When the Jupyter server was last heard; null before the first event.
   */
  get beat(): Date | null {
    return this._beat;
  }

  private _status: ILabStatus | null = null;
  private _contact: IHubContact = {
    state: 'connecting',
    since: new Date().toISOString(),
    connection: 0,
    message: '',
    remedy: ''
  };
  private _heard: Date | null = null;
  private _beat: Date | null = null;
  private _silent: Date | null = null;
  private _problem = '';
  private _chosen: string | null = null;
  private _studies: IStudy[] = [];
  private _trusts: IStudyTrust[] = [];
  private _cohorts: ICohortFile[] = [];
  private _runs: IRunView[] = [];
  private readonly _histories = new Set<RunHistory>();
  private readonly _changed = new Signal<this, void>(this);
  private readonly _runChanged = new Signal<this, IRunView>(this);
}
