import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type {
  IBudget,
  ICohortCheck,
  IFoundConcepts,
  IQuestion,
  ITrustAnswers
} from '../contracts';
import type { IDefinition, IRule } from './definition';
import { emptyDefinition } from './definition';
import { messageOf } from './refusal';

/**
 * A chart that the Trusts can be asked for.
 */
export type Chart = NonNullable<IQuestion['charts']>[number];

/**
 * A rule that can be switched off without being lost; off, it is no part of the definition.
 */
export interface ISwitchedRule {
  on: boolean;
  rule: IRule;
}

/**
 * What is edited.
 */
export interface ICohortState {
  definition: IDefinition;
  rules: ReadonlyArray<ISwitchedRule>;
}

/**
 * Who checks and counts a cohort: the server extension, or the kernel of a notebook.
 */
export interface ICohortSource {
  /**
   * Whether the Trusts can be asked has changed.
   */
  readonly changed: ISignal<unknown, unknown>;
  /**
   * Whose Trusts are asked; null where there is no study.
   */
  readonly study: string | null;
  readonly online: boolean;
  check(expression: IDefinition): Promise<ICohortCheck>;
  ask(study: string, question: IQuestion): Promise<ITrustAnswers>;
  findConcepts(text: string): Promise<IFoundConcepts>;
}

const PAUSE_MILLISECONDS = 400;
const MOST_STEPS = 200;

/**
 * One cohort definition under edit: with undo, checked as it changes, counted by the Trusts when they are asked.
 */
export class CohortModel {
  constructor(readonly source: ICohortSource) {
    this.schedule();
  }

  get changed(): ISignal<this, void> {
    return this._changed;
  }

  get definition(): IDefinition {
    return this.state.definition;
  }

  get rules(): ReadonlyArray<ISwitchedRule> {
    return this.state.rules;
  }

  /**
   * The whole definition as ATLAS JSON, without the rules that are switched off.
   */
  get expression(): IDefinition {
    const rules = this.rules.filter(({ on }) => on).map(({ rule }) => rule);
    return { ...this.definition, InclusionRules: rules };
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
   * Whether people are counted, not only budgets asked for.
   */
  get counting(): boolean {
    return this._counting;
  }

  /**
   * After how many seconds of its own turn each Trust answers, the slowest of them; null while none has said it.
   */
  get answerSeconds(): number | null {
    const told = (this._answers?.answers ?? []).flatMap(({ reply }) =>
      typeof reply?.answer_seconds === 'number' ? [reply.answer_seconds] : []
    );
    return told.length === 0 ? null : Math.max(...told);
  }

  /**
   * The Trust with the least left, and what is left there; null while no budget is known.
   */
  get scarcest(): { title: string; budget: IBudget } | null {
    let found: { title: string; budget: IBudget } | null = null;
    for (const { title, reply } of this._answers?.answers ?? []) {
      const budget = reply?.budget ?? null;
      if (
        budget !== null &&
        (found === null || budget.left < found.budget.left)
      ) {
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
    this.step({ ...this.state, definition });
  }

  setRules(rules: ReadonlyArray<ISwitchedRule>): void {
    this.step({ ...this.state, rules });
  }

  undo(): void {
    const before = this._past.pop();
    if (before !== undefined) {
      this._future.push(this.state);
      this.show(before);
    }
  }

  redo(): void {
    const after = this._future.pop();
    if (after !== undefined) {
      this._past.push(this.state);
      this.show(after);
    }
  }

  /**
   * Show another definition, as an edit.
   */
  take(expression: IDefinition): void {
    this.step(stateOf(expression));
  }

  /**
   * Ask every Trust; with nothing to count it asks for the budgets alone, for nothing.
   */
  async ask(what: {
    people: boolean;
    funnel: boolean;
    charts: Chart[];
  }): Promise<void> {
    const { study } = this.source;
    if (study === null || this._asking) {
      return;
    }
    this._asking = true;
    this._counting = what.people || what.funnel || what.charts.length > 0;
    this.changedNow();
    const expression = this.expression;
    try {
      this._answers = await this.source.ask(study, {
        expression: expression as { [name: string]: unknown },
        ...what
      });
      this._asked = what.people ? JSON.stringify(expression) : '';
      this._answeredAt = what.people ? new Date() : null;
      this._problem = '';
    } catch (error) {
      this._problem = messageOf(error);
    }
    this._asking = this._counting = false;
    this.changedNow();
  }

  findConcepts(text: string): Promise<IFoundConcepts> {
    return this.source.findConcepts(text);
  }

  dispose(): void {
    this._isDisposed = true;
    clearTimeout(this._timer);
    Signal.clearData(this);
  }

  protected step(next: ICohortState): void {
    this._past.push(this.state);
    this._past.splice(0, this._past.length - MOST_STEPS);
    this._future = [];
    this.show(next);
  }

  /**
   * Show a state without a step to undo.
   */
  protected show(state: ICohortState): void {
    this.state = state;
    this.schedule();
    this.changedNow();
  }

  /**
   * Forget the steps: another cohort is shown.
   */
  protected forget(): void {
    this._past = [];
    this._future = [];
  }

  protected say(problem: string): void {
    this._problem = problem;
    this.changedNow();
  }

  protected changedNow(): void {
    this._changed.emit();
  }

  protected schedule(): void {
    clearTimeout(this._timer);
    if (this._isDisposed) {
      return;
    }
    this._timer = setTimeout(() => void this._checkNow(), PAUSE_MILLISECONDS);
  }

  private async _checkNow(): Promise<void> {
    const checked = JSON.stringify(this.expression);
    const isLate = (): boolean =>
      this._isDisposed || JSON.stringify(this.expression) !== checked;
    try {
      const check = await this.source.check(this.expression);
      if (!isLate()) {
        this._check = check;
        this._problem = '';
        if (check.problem === null && this._answers === null && !this._asking) {
          await this.ask({ people: false, funnel: false, charts: [] });
        }
      }
    } catch (error) {
      if (!isLate()) {
        this._problem = messageOf(error);
      }
    }
    this.changedNow();
  }

  protected state: ICohortState = { definition: emptyDefinition(), rules: [] };
  private _past: ICohortState[] = [];
  private _future: ICohortState[] = [];
  private _check: ICohortCheck | null = null;
  private _problem = '';
  private _answers: ITrustAnswers | null = null;
  private _answeredAt: Date | null = null;
  private _asked = '';
  private _asking = false;
  private _counting = false;
  private _isDisposed = false;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private readonly _changed = new Signal<this, void>(this);
}

/**
 * A definition with all of its rules switched on.
 */
export function stateOf(expression: IDefinition): ICohortState {
  const { InclusionRules, ...definition } = expression;
  return {
    definition: definition as IDefinition,
    rules: (InclusionRules ?? []).map(rule => ({ on: true, rule }))
  };
}
