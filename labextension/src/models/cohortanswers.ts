import type {
  IBudget,
  IQuestion,
  ITrustAnswers,
  ITrustPrice
} from '../contracts';

/**
 * A chart that the Trusts can be asked for.
 */
export type Chart = NonNullable<IQuestion['charts']>[number];

/**
 * How many people all Trusts have told together after each rule, the start first: null where none told a number.
 * Empty where the answers have no such steps.
 */
export function peopleByStep(
  answers: ITrustAnswers | null
): ReadonlyArray<number | null> {
  const funnels = (answers?.answers ?? []).flatMap(({ reply }) =>
    reply !== null && reply.funnel.length > 0 ? [reply.funnel] : []
  );
  return (funnels[0] ?? []).map(({ rules }) => {
    const told = funnels.flatMap(
      steps => steps.find(step => step.rules === rules)?.people ?? []
    );
    return told.length === 0
      ? null
      : told.reduce((sum, people) => sum + people, 0);
  });
}

/**
 * After how many seconds of its own turn each Trust answers, the slowest of them; null while none has said it.
 */
export function slowestSeconds(told: ITrustAnswers | null): number | null {
  const seconds = (told?.answers ?? []).flatMap(({ reply }) =>
    typeof reply?.answer_seconds === 'number' ? [reply.answer_seconds] : []
  );
  return seconds.length === 0 ? null : Math.max(...seconds);
}

/**
 * What a Trust had left when it was heard last; null where it was not.
 */
export function budgetIn(
  told: ITrustAnswers | null,
  key: string
): IBudget | null {
  const answer = told?.answers.find(one => one.key === key);
  return answer?.reply?.budget ?? null;
}

/**
 * The first Trust that has less left than a question will cost there; null where all can be asked.
 */
export function firstUnaffordable(
  prices: ReadonlyArray<ITrustPrice>,
  told: ITrustAnswers | null
): (ITrustPrice & { left: number }) | null {
  for (const price of prices) {
    const left = budgetIn(told, price.key)?.left ?? Infinity;
    if (price.cost > left) {
      return { ...price, left };
    }
  }
  return null;
}
