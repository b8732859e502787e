import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type {
  ICohortCheck,
  IFoundConcepts,
  IQuestion,
  ITrustAnswers
} from '../contracts';
import type { ICohortSource } from './cohort';
import { CohortModel } from './cohort';
import { stateOf } from './cohortstate';
import type { IDefinition } from './definition';

const PATIENCE_MILLISECONDS = 1500;

/**
 * The definition of the Python object. Its revision rises at each change; `changed_in` says where, for a person.
 */
export interface IHeld {
  definition: IDefinition;
  revision: number;
  changed_in: string;
}

/**
 * What the kernel says of a definition; `taken` is the revision that it became, null where it was not taken.
 */
export interface ITaken {
  check: ICohortCheck;
  taken: number | null;
}

/**
 * The Python object of a notebook's kernel, reached through a comm.
 */
export interface IKernelCohort {
  readonly held: IHeld;
  readonly heldChanged: ISignal<unknown, void>;
  readonly studies: ReadonlyArray<string>;
  call<T>(act: string, body: { [name: string]: unknown }): Promise<T>;
}

/**
 * A cohort under edit in a notebook. Python owns the definition and its revision: the screen follows it and gives it
 * each valid change with the revision it was made on. Where both changed, the person decides.
 */
export class KernelCohortModel extends CohortModel {
  constructor(private readonly _kernel: IKernelCohort) {
    super(new KernelSource(_kernel, question => this._give(question)));
    this._revision = _kernel.held.revision;
    this.state = stateOf(_kernel.held.definition);
    this._inStep = textOf(_kernel.held.definition);
    _kernel.heldChanged.connect(this._follow, this);
  }

  /**
   * The revision of the Python object that the screen is based on.
   */
  get revision(): number {
    return this._revision;
  }

  /**
   * Where the Python object was changed while the screen had changes of its own; null where it was not.
   */
  get staleSince(): string | null {
    return this._stale ? this._kernel.held.changed_in : null;
  }

  /**
   * Whether the Python object has what is shown.
   */
  get inStep(): boolean {
    return JSON.stringify(this.expression) === this._inStep;
  }

  /**
   * Whether the kernel is busy with something else, so that it has not looked at the change yet.
   */
  get waiting(): boolean {
    return this._waiting;
  }

  get studies(): ReadonlyArray<string> {
    return this._kernel.studies;
  }

  get study(): string | null {
    return this.source.study;
  }

  chooseStudy(study: string): void {
    (this.source as KernelSource).choose(study);
  }

  /**
   * Show what the Python object has; what was on the screen is one undo away.
   */
  reload(): void {
    const { definition } = this._kernel.held;
    this._match();
    this.step(stateOf(definition));
  }

  /**
   * Let what is on the screen replace what the Python object has.
   */
  keepMine(): void {
    this._match();
    this.schedule();
    this.changedNow();
  }

  override dispose(): void {
    Signal.clearData(this);
    super.dispose();
  }

  /**
   * The Python object has changed: by what this screen sent, or by somebody else.
   */
  private _follow(): void {
    const { definition, revision } = this._kernel.held;
    if (revision <= this._revision) {
      return;
    }
    const theirs = textOf(definition);
    if (theirs === this._sent || theirs === JSON.stringify(this.expression)) {
      this._sent = null;
      this._match();
      this.changedNow();
    } else if (this.inStep && this._sent === null) {
      this.reload();
    } else {
      this._stale = true;
      this.changedNow();
    }
  }

  /**
   * Base the screen on what the Python object has now.
   */
  private _match(): void {
    const { definition, revision } = this._kernel.held;
    this._stale = false;
    this._revision = revision;
    this._inStep = textOf(definition);
  }

  /**
   * One after the other, so that each change is based on the one before.
   */
  private _give(question: IQuestion): Promise<ICohortCheck> {
    const answer = this._turn.then(async () => {
      const mine = JSON.stringify(question.expression);
      const changes = mine !== this._inStep && !this._stale;
      this._sent = changes ? mine : null;
      const base = changes ? this._revision : null;
      const slow = window.setTimeout(
        () => this._wait(true),
        PATIENCE_MILLISECONDS
      );
      try {
        const { check, taken } = await this._kernel.call<ITaken>('check', {
          question,
          base,
          study: this.source.study
        });
        if (taken !== null && taken >= this._revision) {
          this._revision = taken;
          this._inStep = mine;
        }
        this._stale ||= changes && check.problem === null && taken === null;
        return check;
      } finally {
        this._sent = null;
        window.clearTimeout(slow);
        this._wait(false);
      }
    });
    this._turn = answer.catch(() => undefined);
    return answer;
  }

  private _wait(waiting: boolean): void {
    if (waiting !== this._waiting) {
      this._waiting = waiting;
      this.changedNow();
    }
  }

  private _waiting = false;
  private _revision: number;
  private _inStep: string;
  private _sent: string | null = null;
  private _stale = false;
  private _turn: Promise<unknown> = Promise.resolve();
}

/**
 * A definition as the model writes it, so that texts can be compared.
 */
function textOf(expression: IDefinition): string {
  const { InclusionRules, ...definition } = expression;
  return JSON.stringify({
    ...definition,
    InclusionRules: InclusionRules ?? []
  });
}

class KernelSource implements ICohortSource {
  constructor(
    private readonly _kernel: IKernelCohort,
    readonly check: (question: IQuestion) => Promise<ICohortCheck>
  ) {
    this._study = _kernel.studies[0] ?? null;
  }

  readonly online = true;
  readonly away = null;

  get changed(): ISignal<unknown, void> {
    return this._changed;
  }

  get study(): string | null {
    return this._study;
  }

  choose(study: string): void {
    this._study = study;
    this._changed.emit();
  }

  ask(study: string, question: IQuestion): Promise<ITrustAnswers> {
    return this._kernel.call('ask', { study, question });
  }

  findConcepts(text: string): Promise<IFoundConcepts> {
    return this._kernel.call('concepts', { text });
  }

  private _study: string | null;
  private readonly _changed = new Signal<this, void>(this);
}
