import type { IDefinition, IRule } from './definition';

const MOST_STEPS = 200;

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
 * A definition with all of its rules switched on.
 */
export function stateOf(expression: IDefinition): ICohortState {
  const { InclusionRules, ...definition } = expression;
  return {
    definition: definition as IDefinition,
    rules: (InclusionRules ?? []).map(rule => ({ on: true, rule }))
  };
}

/**
 * The whole definition as ATLAS JSON, without the rules that are switched off.
 */
export function expressionOf(state: ICohortState): IDefinition {
  const rules = state.rules.filter(({ on }) => on).map(({ rule }) => rule);
  return { ...state.definition, InclusionRules: rules };
}

/**
 * The states to which an edit can be taken back, and those to which it can be brought forward again.
 */
export class CohortSteps {
  get canUndo(): boolean {
    return this._past.length > 0;
  }

  get canRedo(): boolean {
    return this._future.length > 0;
  }

  /**
   * A state is left by an edit: what was taken back before is lost.
   */
  leave(state: ICohortState): void {
    this._past.push(state);
    this._past.splice(0, this._past.length - MOST_STEPS);
    this._future = [];
  }

  /**
   * The state before `now`; undefined where there is none.
   */
  back(now: ICohortState): ICohortState | undefined {
    return moved(this._past, this._future, now);
  }

  /**
   * The state that was taken back to `now`; undefined where there is none.
   */
  forward(now: ICohortState): ICohortState | undefined {
    return moved(this._future, this._past, now);
  }

  forget(): void {
    this._past = [];
    this._future = [];
  }

  private _past: ICohortState[] = [];
  private _future: ICohortState[] = [];
}

function moved(
  from: ICohortState[],
  to: ICohortState[],
  now: ICohortState
): ICohortState | undefined {
  const found = from.pop();
  if (found !== undefined) {
    to.push(now);
  }
  return found;
}
