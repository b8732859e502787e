import type { IStateDB } from '@jupyterlab/statedb';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { ReadonlyPartialJSONValue } from '@lumino/coreutils';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import { messageOf } from '../api';
import type {
  IBundlePreview,
  ICheckIssue,
  ICheckReport,
  IKnownStrategy,
  IPlanInput,
  IReceipt,
  IRunView,
  IShapeCheck,
  IStudyTrust
} from '../contracts';
import type { IWorkbench } from '../tokens';
import { needsHub } from './offline';
import type { IReading, Scalar } from './parameters';
import { grid, readSeeds, readValues, shown } from './parameters';
import { isUnwilling } from './wording';

const MOST_RUNS = 200;
const PAUSE_MILLISECONDS = 500;

/**
 * What a person may change before sending. `seeds` and `values`, by parameter, are texts as typed; `without` the Trusts
 * left out.
 */
export interface IDraft {
  title: string;
  plan: IPlanInput;
  seeds: string;
  minimumTrusts: number | null;
  values: { [name: string]: string };
  without: string[];
}

/**
 * What goes on with the notebook; null where nothing does.
 */
export type Activity =
  'checking' | 'preparing' | 'modelling' | 'sending' | null;

/**
 * The way of one open notebook to the Trusts: checks, form, the exact bundle, the receipt.
 */
export class SendModel {
  constructor(
    readonly path: string,
    readonly workbench: IWorkbench,
    private readonly _save: () => Promise<void>,
    private readonly _trans: TranslationBundle,
    private readonly _state: IStateDB | null
  ) {
    workbench.changed.connect(this._onWorkbench, this);
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get report(): ICheckReport | null {
    return this._report;
  }

  get checked(): Date | null {
    return this._checked;
  }

  get strategies(): ReadonlyArray<IKnownStrategy> {
    return this._strategies;
  }

  get draft(): IDraft | null {
    return this._draft;
  }

  get preview(): IBundlePreview | null {
    return this._preview;
  }

  /**
   * At how many of the bundle's points its model is known to be the rehearsed one; null before that is looked at.
   */
  get shapes(): IShapeCheck | null {
    return this._shapes;
  }

  /**
   * Whether the bundle that is shown may be signed.
   */
  get isReady(): boolean {
    const known = this._shapes;
    return (
      this._preview !== null &&
      known !== null &&
      known.problem === null &&
      known.checked === known.of
    );
  }

  /**
   * The Trusts that have approved the bundle that is shown already, with the runs that they still allow.
   */
  get approved(): { trust: IStudyTrust; left: number }[] {
    const left = this._preview?.executions_left ?? {};
    return this.workbench.trusts
      .map(trust => ({ trust, left: left[trust.key] ?? 0 }))
      .filter(item => item.left > 0);
  }

  get receipt(): IReceipt | null {
    return this._receipt;
  }

  get activity(): Activity {
    return this._activity;
  }

  /**
   * What went wrong last, for a person; empty where nothing did.
   */
  get problem(): string {
    return this._problem;
  }

  /**
   * Issues that hold at every Trust.
   */
  get general(): ICheckIssue[] {
    return (this._report?.issues ?? []).filter(issue => issue.trust === null);
  }

  issuesOf(trust: IStudyTrust): ICheckIssue[] {
    return (this._report?.issues ?? []).filter(
      issue => issue.trust === trust.key
    );
  }

  isBlocked(trust: IStudyTrust): boolean {
    return this.issuesOf(trust).some(issue => issue.severity === 'error');
  }

  /**
   * The Trusts that the bundle will name.
   */
  get chosen(): IStudyTrust[] {
    return this.workbench.trusts.filter(
      trust =>
        !this.isBlocked(trust) && !this._draft?.without.includes(trust.name)
    );
  }

  get minimumTrusts(): number {
    const most = this.chosen.length;
    return Math.min(this._draft?.minimumTrusts ?? most, most);
  }

  reading(name: string): IReading {
    const parameter = this._report?.parameters.find(p => p.name === name);
    const text = this._draft?.values[name];
    if (!parameter || text === undefined) {
      return { values: [], problem: '' };
    }
    return readValues(this._trans, parameter, text);
  }

  get seeds(): IReading {
    return readSeeds(this._trans, this._draft?.seeds ?? '');
  }

  /**
   * How many runs the values make.
   */
  get runs(): number {
    return (this._report?.parameters ?? []).reduce(
      (product, parameter) =>
        product * this.reading(parameter.name).values.length,
      this.seeds.values.length
    );
  }

  /**
   * Why it can't be sent as it is, for a person; empty where it can.
   */
  get obstacle(): string {
    const trans = this._trans;
    const away = needsHub(this.workbench, trans);
    if (away) {
      return away;
    }
    if (this._report === null || this._draft === null) {
      return trans.__('The checks have not passed yet.');
    }
    if (this.workbench.contact.state !== 'online') {
      return trans.__('There is no contact with the hub.');
    }
    if (this.general.some(issue => issue.severity === 'error')) {
      return trans.__('A problem stops it at every Trust.');
    }
    if (!this._report.rehearsed) {
      return trans.__('Rehearse the notebook first: that records its model.');
    }
    if (this.chosen.length === 0) {
      return trans.__('No Trust is left to send to.');
    }
    if (this._report.parameters.some(p => this.reading(p.name).problem)) {
      return trans.__('A parameter has no valid value.');
    }
    if (this.seeds.problem) {
      return trans.__('The split has no valid seed.');
    }
    if (this.runs > MOST_RUNS) {
      return trans.__(
        '%1 runs are too many; %2 at most.',
        this.runs,
        MOST_RUNS
      );
    }
    return '';
  }

  /**
   * What became of the runs that were sent, by Trust: those that the hub had when they were sent, as they are now.
   */
  get sent(): IRunView[] {
    return (this._receipt?.runs ?? []).map(
      run => this.workbench.runs.find(known => known.run === run.run) ?? run
    );
  }

  /**
   * Back to the form, without the Trusts that would have none of it.
   */
  async again(): Promise<void> {
    const unwilling = new Set(
      this.sent.flatMap(run =>
        run.trusts.filter(part => isUnwilling(part)).map(part => part.trust)
      )
    );
    this._receipt = null;
    this._preview = null;
    this._shapes = null;
    this.change({
      without: this.workbench.trusts
        .filter(
          trust =>
            unwilling.has(trust.key) ||
            this._draft?.without.includes(trust.name)
        )
        .map(trust => trust.name)
    });
    await this.check();
  }

  get isDisposed(): boolean {
    return this._isDisposed;
  }

  /**
   * Save the notebook, then look it over; the form is filled from its plan file the first time. Of several checks the
   * last one counts.
   */
  async check(): Promise<void> {
    const study = this.workbench.study;
    if (study === null) {
      return;
    }
    const number = ++this._checks;
    await this._do('checking', async () => {
      await this._save();
      const { api } = this.workbench;
      this._unchecked = false;
      const report = await api.check({
        path: this.path,
        study: study.study,
        plan: this._draft?.plan ?? null,
        minimum_trusts: this._draft?.minimumTrusts ?? null
      });
      if (number !== this._checks) {
        return;
      }
      this._report = report;
      this._checked = new Date();
      if (this._strategies.length === 0) {
        this._strategies = await api.strategies();
      }
      await this._fill(report);
    });
    if (number === this._checks) {
      this._prepareSoon();
    }
  }

  /**
   * Change the form; the bundle is made anew shortly after.
   */
  change(change: Partial<IDraft>): void {
    if (this._draft === null) {
      return;
    }
    this._draft = { ...this._draft, ...change };
    this._preview = null;
    this._shapes = null;
    this._changed.emit();
    void this._state?.save(
      this._key,
      this._draft as unknown as ReadonlyPartialJSONValue
    );
    this._unchecked ||= 'plan' in change || 'minimumTrusts' in change;
    this._prepareSoon();
  }

  changeValue(name: string, text: string): void {
    this.change({ values: { ...this._draft?.values, [name]: text } });
  }

  changePlan(change: Partial<IPlanInput>): void {
    if (this._draft !== null) {
      this.change({ plan: { ...this._draft.plan, ...change } });
    }
  }

  toggleTrust(trust: IStudyTrust): void {
    const without = this._draft?.without ?? [];
    this.change({
      without: without.includes(trust.name)
        ? without.filter(name => name !== trust.name)
        : [...without, trust.name]
    });
  }

  /**
   * Have the notebook run on the twin until its model is known, at some points at a time: until all are known, one has
   * another model, or a person stops.
   */
  async checkShapes(): Promise<void> {
    const bundle = this._preview;
    if (bundle === null) {
      return;
    }
    this._isStopped = false;
    await this._do('modelling', async () => {
      while (!this._isStopped && !this._isDisposed) {
        const found = await this.workbench.api.checkShapes(bundle.bundle);
        if (bundle !== this._preview) {
          return;
        }
        this._shapes = found;
        if (found.problem !== null || found.checked === found.of) {
          return;
        }
        this._changed.emit();
      }
    });
  }

  /**
   * Check no further points; `checkShapes` goes on.
   */
  stopShapes(): void {
    this._isStopped = true;
  }

  /**
   * Sign the bundle that is shown, and send it. After a failure the same again sends the same.
   */
  async send(): Promise<IReceipt | null> {
    const shownBundle = this._preview;
    if (shownBundle === null || !this.isReady || this._activity !== null) {
      return null;
    }
    await this._do('sending', async () => {
      this._receipt = await this.workbench.api.sendBundle(shownBundle.bundle);
      this._receipt.runs.forEach(run => this.workbench.update(run));
      await this._state?.remove(this._key);
    });
    return this._receipt;
  }

  dispose(): void {
    this._isDisposed = true;
    clearTimeout(this._timer);
    Signal.clearData(this);
  }

  private get _key(): string {
    return `flipnb:draft:${this.path}`;
  }

  private async _fill(report: ICheckReport): Promise<void> {
    if (report.plan === null) {
      return;
    }
    if (this._draft === null) {
      const kept = (await this._state?.fetch(this._key)) as unknown;
      const names = this.workbench.trusts.map(trust => trust.name);
      const { plan } = report;
      this._draft = (isDraft(kept) ? kept : null) ?? {
        title: plan.title,
        plan: plan.plan,
        seeds: String(plan.seed),
        minimumTrusts: plan.minimum_trusts,
        values: {},
        without:
          plan.trusts.length > 0
            ? names.filter(name => !plan.trusts.includes(name))
            : []
      };
    }
    const values: { [name: string]: string } = {};
    for (const parameter of report.parameters) {
      values[parameter.name] =
        this._draft.values[parameter.name] ?? shown(parameter.default);
    }
    this._draft = { ...this._draft, values };
  }

  private _prepareSoon(): void {
    clearTimeout(this._timer);
    if (this._isDisposed) {
      return;
    }
    this._timer = setTimeout(() => {
      void (this._unchecked ? this.check() : this._prepare());
    }, PAUSE_MILLISECONDS);
  }

  private async _prepare(): Promise<void> {
    const { study } = this.workbench;
    const draft = this._draft;
    if (draft === null || study === null || this.obstacle || this._receipt) {
      return;
    }
    const values: { [name: string]: Scalar[] } = {};
    for (const parameter of this._report?.parameters ?? []) {
      values[parameter.name] = this.reading(parameter.name).values;
    }
    await this._do('preparing', async () => {
      const preview = await this.workbench.api.prepareBundle({
        path: this.path,
        study: study.study,
        title: draft.title,
        plan: draft.plan,
        seeds: this.seeds.values as number[],
        trusts: this.chosen.map(trust => trust.name),
        minimum_trusts: this.minimumTrusts,
        points: grid(values)
      });
      if (draft === this._draft) {
        this._preview = preview;
      }
    });
    if (draft === this._draft && this._preview !== null) {
      await this.checkShapes();
    }
  }

  private async _do(
    activity: Activity,
    act: () => Promise<void>
  ): Promise<void> {
    const number = ++this._acts;
    this._activity = activity;
    this._problem = '';
    this._changed.emit();
    try {
      await act();
    } catch (error) {
      this._problem = messageOf(error);
    }
    if (number === this._acts) {
      this._activity = null;
    }
    if (!this._isDisposed) {
      this._changed.emit();
    }
  }

  /**
   * A view that is restored with Lab is there before the study is known.
   */
  private _onWorkbench(): void {
    const untried = this._report === null && this._problem === '';
    if (untried && this._activity === null && this.workbench.study !== null) {
      void this.check();
    } else {
      this._changed.emit();
    }
  }

  private _report: ICheckReport | null = null;
  private _checked: Date | null = null;
  private _strategies: IKnownStrategy[] = [];
  private _draft: IDraft | null = null;
  private _preview: IBundlePreview | null = null;
  private _shapes: IShapeCheck | null = null;
  private _isStopped = false;
  private _receipt: IReceipt | null = null;
  private _activity: Activity = null;
  private _acts = 0;
  private _checks = 0;
  /**
   * Whether the plan has changed since it was looked over.
   */
  private _unchecked = false;
  private _problem = '';
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private _isDisposed = false;
  private readonly _changed = new Signal<this, void>(this);
}

/**
 * What is kept of a form may be an earlier version's.
 */
function isDraft(kept: unknown): kept is IDraft {
  return typeof (kept as IDraft | undefined)?.seeds === 'string';
}
