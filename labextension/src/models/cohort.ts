import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { FlipApi } from '../api';
import { FlipRefusal, messageOf } from '../api';
import type {
  IBudget,
  ICohortCheck,
  ICohortDefinition,
  IFoundConcepts,
  IQuestion,
  ITrustAnswers
} from '../contracts';
import type { IWorkbench } from '../tokens';
import type { IDefinition, IRule } from './definition';
import { emptyDefinition } from './definition';

export type Chart = NonNullable<IQuestion['charts']>[number];

/**
 * A rule that can be switched off without being lost; off, it is no part of the definition.
 */
export interface ISwitchedRule {
  on: boolean;
  rule: IRule;
}

interface IState {
  definition: IDefinition;
  rules: ReadonlyArray<ISwitchedRule>;
}

/**
 * What a draft keeps in the browser: definitions, never counts.
 */
export interface IDraft extends IState {
  path: string | null;
  version: string | null;
}

const PAUSE_MILLISECONDS = 400;
const MOST_STEPS = 200;

/**
 * One cohort definition under edit: with undo, checked as it changes, counted by the Trusts when they are asked.
 */
export class CohortModel {
  constructor(
    readonly workbench: IWorkbench,
    private readonly _keepDraft: (draft: IDraft) => void
  ) {
    this._state = { definition: emptyDefinition(), rules: [] };
    this._schedule();
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get path(): string | null {
    return this._path;
  }

  get definition(): IDefinition {
    return this._state.definition;
  }

  get rules(): ReadonlyArray<ISwitchedRule> {
    return this._state.rules;
  }

  /**
   * The whole definition as ATLAS JSON, without the rules that are switched off.
   */
  get expression(): IDefinition {
    const rules = this.rules.filter(({ on }) => on).map(({ rule }) => rule);
    return { ...this.definition, InclusionRules: rules };
  }

  /**
   * Whether the file differs from what is shown.
   */
  get dirty(): boolean {
    return JSON.stringify(this.expression) !== this._saved;
  }

  get canUndo(): boolean {
    return this._past.length > 0;
  }

  get canRedo(): boolean {
    return this._future.length > 0;
  }

  get check(): ICohortCheck | null {
    return this._check;
  }

  /**
   * What could not be done, for a person.
   */
  get problem(): string {
    return this._problem;
  }

  get answers(): ITrustAnswers | null {
    return this._answers;
  }

  get answeredAt(): Date | null {
    return this._answeredAt;
  }

  /**
   * Whether the answers are to what is shown now.
   */
  get current(): boolean {
    return this._asked === JSON.stringify(this.expression);
  }

  get asking(): boolean {
    return this._asking;
  }

  /**
   * The Trust with the least left, and what is left there; null while no budget is known.
   */
  get scarcest(): { title: string; budget: IBudget } | null {
    let found: { title: string; budget: IBudget } | null = null;
    for (const { title, reply } of this._answers?.answers ?? []) {
      const budget = reply?.budget ?? null;
      if (budget !== null && (found === null || budget.left < found.budget.left)) {
        found = { title, budget };
      }
    }
    return found;
  }

  /**
   * What asking costs of each Trust's budget, at most.
   */
  price(funnel: boolean, charts: number): number {
    const check = this._check;
    if (check === null) {
      return 0;
    }
    const numbers = funnel ? check.rules + 1 : 1;
    return numbers * check.count_costs + charts * check.chart_costs;
  }

  edit(definition: IDefinition): void {
    this._step({ ...this._state, definition });
  }

  setRules(rules: ReadonlyArray<ISwitchedRule>): void {
    this._step({ ...this._state, rules });
  }

  undo(): void {
    const before = this._past.pop();
    if (before !== undefined) {
      this._future.push(this._state);
      this._show(before);
    }
  }

  redo(): void {
    const after = this._future.pop();
    if (after !== undefined) {
      this._past.push(this._state);
      this._show(after);
    }
  }

  /**
   * Show the file at `path`. Throws what the server says where it can't be read.
   */
  async open(path: string): Promise<void> {
    this._take(await this._api.readDefinition(path));
  }

  /**
   * Show an imported definition; it is not saved yet.
   */
  take(expression: IDefinition): void {
    this._step(stateOf(expression));
  }

  restore(draft: IDraft): void {
    this._path = draft.path;
    this._version = draft.version;
    this._saved = '';
    this._show({ definition: draft.definition, rules: draft.rules });
  }

  /**
   * Save under `path`, or where it was read from. False where the file was changed elsewhere.
   */
  async save(path = this._path, over = false): Promise<boolean> {
    if (path === null) {
      return false;
    }
    const base = path === this._path ? this._version : null;
    const expression = this.expression as { [name: string]: unknown };
    try {
      let version = base;
      if (over) {
        version = (await this._api.readDefinition(path)).version;
      }
      const saved = await this._api.saveDefinition({ path, expression, base: version });
      this._path = path;
      this._version = saved.version;
      this._saved = JSON.stringify(this.expression);
      this._problem = '';
      this._keep();
      return true;
    } catch (error) {
      if (error instanceof FlipRefusal && error.reason === 'changed-elsewhere') {
        return false;
      }
      this._problem = messageOf(error);
      return true;
    } finally {
      this._changed.emit();
    }
  }

  /**
   * Ask every Trust; with nothing to count it asks for the budgets alone, for nothing.
   */
  async ask(what: { people: boolean; funnel: boolean; charts: Chart[] }): Promise<void> {
    const study = this.workbench.study;
    if (study === null || this._asking) {
      return;
    }
    this._asking = true;
    this._changed.emit();
    const expression = this.expression;
    try {
      this._answers = await this._api.askTrusts(study.study, {
        expression: expression as { [name: string]: unknown },
        ...what
      });
      this._asked = what.people ? JSON.stringify(expression) : '';
      this._answeredAt = what.people ? new Date() : null;
      this._problem = '';
    } catch (error) {
      this._problem = messageOf(error);
    }
    this._asking = false;
    this._changed.emit();
  }

  findConcepts(text: string): Promise<IFoundConcepts> {
    return this._api.findConcepts(text);
  }

  dispose(): void {
    window.clearTimeout(this._timer);
    Signal.clearData(this);
  }

  private get _api(): FlipApi {
    return this.workbench.api;
  }

  private _take(read: ICohortDefinition): void {
    this._path = read.path;
    this._version = read.version;
    this._past = [];
    this._future = [];
    this._state = stateOf(read.expression as unknown as IDefinition);
    this._saved = JSON.stringify(this.expression);
    this._schedule();
    this._changed.emit();
  }

  private _step(next: IState): void {
    this._past.push(this._state);
    this._past.splice(0, this._past.length - MOST_STEPS);
    this._future = [];
    this._show(next);
  }

  private _show(state: IState): void {
    this._state = state;
    this._keep();
    this._schedule();
    this._changed.emit();
  }

  private _keep(): void {
    this._keepDraft({ ...this._state, path: this._path, version: this._version });
  }

  private _schedule(): void {
    window.clearTimeout(this._timer);
    this._timer = window.setTimeout(() => void this._checkNow(), PAUSE_MILLISECONDS);
  }

  private async _checkNow(): Promise<void> {
    const expression = this.expression;
    try {
      const check = await this._api.checkDefinition({
        expression: expression as { [name: string]: unknown },
        path: this._path
      });
      if (JSON.stringify(expression) === JSON.stringify(this.expression)) {
        this._check = check;
      }
      if (check.problem === null && this._answers === null && !this._asking) {
        await this.ask({ people: false, funnel: false, charts: [] });
      }
    } catch (error) {
      this._problem = messageOf(error);
    }
    this._changed.emit();
  }

  private _state: IState;
  private _past: IState[] = [];
  private _future: IState[] = [];
  private _path: string | null = null;
  private _version: string | null = null;
  private _saved = '';
  private _check: ICohortCheck | null = null;
  private _problem = '';
  private _answers: ITrustAnswers | null = null;
  private _answeredAt: Date | null = null;
  private _asked = '';
  private _asking = false;
  private _timer = 0;
  private readonly _changed = new Signal<this, void>(this);
}

function stateOf(expression: IDefinition): IState {
  const { InclusionRules, ...definition } = expression;
  return {
    definition: definition as IDefinition,
    rules: (InclusionRules ?? []).map(rule => ({ on: true, rule }))
  };
}
