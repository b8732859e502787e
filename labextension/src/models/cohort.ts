import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type {
  IBudget,
  ICohortCheck,
  IFoundConcepts,
  IQuestion,
  ITrustAnswers,
  ITrustPrice
} from '../contracts';
import type { Chart } from './cohortanswers';
import {
  budgetIn,
  firstUnaffordable,
  peopleByStep,
  slowestSeconds
} from './cohortanswers';
import type { ICohortState, ISwitchedRule } from './cohortstate';
import { CohortSteps, expressionOf, stateOf } from './cohortstate';
import type { IDefinition } from './definition';
import { emptyDefinition } from './definition';
import { FlipRefusal, messageOf } from './refusal';

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
  /**
   * Since when the hub can't be asked, where that is known; null where it can.
   */
  readonly away: string | null;
  check(question: IQuestion): Promise<ICohortCheck>;
  ask(study: string, question: IQuestion): Promise<ITrustAnswers>;
  findConcepts(text: string): Promise<IFoundConcepts>;
}

const PAUSE_MILLISECONDS = 400;
const PRICE_CHANGED = 'price-changed';

/**
 * One cohort definition under edit: with undo, checked as it changes, counted by the Trusts when they are asked.
 */
export class CohortModel {
  constructor(readonly source: ICohortSource) {
    this._study = source.study;
    source.changed.connect(this._sourceChanged, this);
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
    return expressionOf(this.state);
  }

  /**
   * Rises when another cohort is shown, which no step goes back from: what was open on the screen is closed then.
   */
  get shown(): number {
    return this._shown;
  }

  get canUndo(): boolean {
    return this._steps.canUndo;
  }

  get canRedo(): boolean {
    return this._steps.canRedo;
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

  /**
   * The last counts; before there are any, what the Trusts told of their budgets.
   */
  get answers(): ITrustAnswers | null {
    return this._answers ?? this._told;
  }

  /**
   * When people were counted last, in another session too; null where there is no count.
   */
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
   * Whether the size after each rule is asked for, too.
   */
  get funnel(): boolean {
    return this._funnel;
  }

  get charts(): ReadonlyArray<Chart> {
    return this._charts;
  }

  /**
   * How many people all Trusts have told together after each rule, the start first: null where none told a number.
   * Empty where the last answer has no such steps.
   */
  get steps(): ReadonlyArray<number | null> {
    return peopleByStep(this._answers);
  }

  /**
   * After how many seconds of its own turn each Trust answers, the slowest of them; null while none has said it.
   */
  get answerSeconds(): number | null {
    return slowestSeconds(this._told);
  }

  /**
   * What a Trust had left when it was heard last in this session; null while it was not.
   */
  budgetOf(key: string): IBudget | null {
    return budgetIn(this._told, key);
  }

  /**
   * The first Trust that has less left than the question will cost there; null where all can be asked.
   */
  get unaffordable(): (ITrustPrice & { left: number }) | null {
    return firstUnaffordable(this._check?.prices ?? [], this._told);
  }

  /**
   * What asking will be charged, at the Trust where it is most; null until what is shown has been looked at.
   */
  get price(): number | null {
    return this._checked === JSON.stringify(this._question())
      ? (this._check?.cost ?? null)
      : null;
  }

  /**
   * What is to be asked beside the number of people.
   */
  choose(funnel: boolean, charts: ReadonlyArray<Chart>): void {
    this._funnel = funnel;
    this._charts = charts;
    this.schedule(0);
    this.changedNow();
  }

  edit(definition: IDefinition): void {
    this.step({ ...this.state, definition });
  }

  setRules(rules: ReadonlyArray<ISwitchedRule>): void {
    this.step({ ...this.state, rules });
  }

  undo(): void {
    const before = this._steps.back(this.state);
    if (before !== undefined) {
      this.show(before);
    }
  }

  redo(): void {
    const after = this._steps.forward(this.state);
    if (after !== undefined) {
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
   * Ask every Trust how many people there are, at the price that is shown; and what else was chosen.
   */
  ask(): Promise<void> {
    return this._ask({ ...this._question(), agreed: this.price });
  }

  /**
   * Ask for the budgets alone, for nothing.
   */
  protected askBudgets(): Promise<void> {
    const { expression } = this._question();
    return this._ask({ expression, people: false, funnel: false, charts: [] });
  }

  private async _ask(question: IQuestion): Promise<void> {
    const { study } = this.source;
    if (study === null || this._asking) {
      return;
    }
    this._asking = true;
    this._counting = question.people === true;
    this.changedNow();
    const expression = JSON.stringify(question.expression);
    try {
      const told = await this.source.ask(study, question);
      if (study === this.source.study) {
        this._told = told;
        if (question.people) {
          this._answers = told;
          this._asked = expression;
          this._answeredAt = new Date();
        }
      }
      this._problem = '';
      this._refused = false;
      // What was told has changed what the next question costs.
      this.schedule(0);
    } catch (error) {
      this._problem = messageOf(error);
      this._refused = true;
      if (error instanceof FlipRefusal && error.reason === PRICE_CHANGED) {
        this.schedule(0);
      }
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
    this._steps.leave(this.state);
    this.show(next);
  }

  /**
   * Show a state without a step to undo.
   */
  protected show(state: ICohortState): void {
    this.state = state;
    this._refused = false;
    this.schedule();
    this.changedNow();
  }

  /**
   * Forget the steps: another cohort is shown.
   */
  protected forget(): void {
    this._shown += 1;
    this._steps.forget();
  }

  protected say(problem: string): void {
    this._problem = problem;
    this.changedNow();
  }

  protected changedNow(): void {
    this._changed.emit();
  }

  protected schedule(after = PAUSE_MILLISECONDS): void {
    clearTimeout(this._timer);
    if (this._isDisposed) {
      return;
    }
    this._timer = setTimeout(() => void this._checkNow(), after);
  }

  private _question(): IQuestion {
    const expression = this.expression as { [name: string]: unknown };
    const { _funnel: funnel, _charts: charts } = this;
    return { expression, people: true, funnel, charts: [...charts] };
  }

  private async _checkNow(): Promise<void> {
    const question = this._question();
    const checked = JSON.stringify(question);
    const isLate = (): boolean =>
      this._isDisposed || JSON.stringify(this._question()) !== checked;
    try {
      const check = await this.source.check(question);
      if (!isLate()) {
        this._check = check;
        this._checked = checked;
        this._bringBack();
        if (!this._refused) {
          this._problem = '';
        }
        if (check.problem === null && this._told === null && !this._asking) {
          await this.askBudgets();
        }
      }
    } catch (error) {
      if (!isLate()) {
        this._problem = messageOf(error);
      }
    }
    this.changedNow();
  }

  /**
   * Show what was told of this very cohort before, where that is not what is shown already.
   */
  private _bringBack(): void {
    const last = this._check?.last ?? null;
    if (last !== null && !this._asking && !this.current) {
      this._answers = last.answers;
      this._answeredAt = new Date(last.asked);
      this._asked = JSON.stringify(this.expression);
    }
  }

  private _sourceChanged(): void {
    const { study } = this.source;
    if (study !== this._study) {
      this._study = study;
      this._told = this._answers = this._answeredAt = null;
      this._asked = '';
      this.schedule(0);
      this.changedNow();
    }
  }

  protected state: ICohortState = { definition: emptyDefinition(), rules: [] };
  private _shown = 0;
  private readonly _steps = new CohortSteps();
  private _check: ICohortCheck | null = null;
  private _problem = '';
  /** Whether the problem is that the Trusts could not be asked: it stays until there is an edit. */
  private _refused = false;
  private _checked = '';
  private _study: string | null;
  private _funnel = false;
  private _charts: ReadonlyArray<Chart> = [];
  private _told: ITrustAnswers | null = null;
  private _answers: ITrustAnswers | null = null;
  private _answeredAt: Date | null = null;
  private _asked = '';
  private _asking = false;
  private _counting = false;
  private _isDisposed = false;
  private _timer: ReturnType<typeof setTimeout> | undefined;
  private readonly _changed = new Signal<this, void>(this);
}
