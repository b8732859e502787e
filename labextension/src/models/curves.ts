import type { IRoundSummary, IRunEvent } from '../contracts';
import type { Share } from './wording';

/**
 * One line of a chart: a number by round, of the global model or of a single Trust.
 */
export interface ICurve {
  /**
   * The Trust's key; null for the average over all.
   */
  trust: string | null;
  rounds: number[];
  values: number[];
}

/**
 * The rounds that are over, in the order of their events.
 */
export function roundsOf(events: ReadonlyArray<IRunEvent>): IRoundSummary[] {
  return events.flatMap(event => (event.round ? [event.round] : []));
}

/**
 * Each Trust's share in the last round that it was in, by its key; in an earlier version's rounds nobody has one.
 */
export function sharesOf(
  rounds: ReadonlyArray<IRoundSummary>
): Map<string, Share> {
  return new Map(rounds.flatMap(round => Object.entries(round.shares)));
}

/**
 * The names of all metrics, in the order in which they were reported first.
 */
export function metricNames(rounds: ReadonlyArray<IRoundSummary>): string[] {
  const names = new Set<string>();
  for (const round of rounds) {
    Object.keys(round.metrics).forEach(name => names.add(name));
  }
  return [...names];
}

/**
 * The evaluation of the final model, after training: no point of any curve. Null before it is there.
 */
export function finalOf(
  rounds: ReadonlyArray<IRoundSummary>
): IRoundSummary | null {
  return rounds.find(round => !round.training) ?? null;
}

/**
 * By training round, the average over all Trusts first, then each Trust whose policy lets its own numbers out.
 */
export function curvesOf(
  rounds: ReadonlyArray<IRoundSummary>,
  metric: string
): ICurve[] {
  const all: ICurve = { trust: null, rounds: [], values: [] };
  const single = new Map<string, ICurve>();
  for (const round of rounds.filter(round => round.training)) {
    if (metric in round.metrics) {
      all.rounds.push(round.round);
      all.values.push(round.metrics[metric]);
    }
    for (const [trust, numbers] of Object.entries(round.trust_metrics)) {
      if (metric in numbers) {
        append(single, trust, round.round, numbers[metric]);
      }
    }
  }
  return [all, ...single.values()];
}

/**
 * How many Trusts voted 1, by round; no rounds without a consensus rule.
 */
export function voteCurve(rounds: ReadonlyArray<IRoundSummary>): ICurve {
  const votes: ICurve = { trust: null, rounds: [], values: [] };
  for (const round of rounds) {
    if (round.votes !== null && round.voters) {
      votes.rounds.push(round.round);
      votes.values.push(round.votes);
    }
  }
  return votes;
}

/**
 * By round: the agreements of those Trusts whose policies let them out.
 */
export function agreementCurves(
  rounds: ReadonlyArray<IRoundSummary>
): ICurve[] {
  const single = new Map<string, ICurve>();
  for (const round of rounds) {
    for (const [trust, value] of Object.entries(round.agreements)) {
      append(single, trust, round.round, value);
    }
  }
  return [...single.values()];
}

/**
 * Who voted 0 in a round: the figures that policies let out, the lowest first, and how many Trusts keep theirs.
 */
export interface IHoldOuts {
  told: ReadonlyArray<{ trust: string; value: number }>;
  kept: number;
}

/**
 * Null where the round had no vote. A figure's vote is what its Trust made of that very figure.
 */
export function holdOuts(
  round: IRoundSummary,
  threshold: number
): IHoldOuts | null {
  if (round.votes === null || !round.voters) {
    return null;
  }
  const told = Object.entries(round.agreements)
    .filter(([, value]) => value < threshold)
    .map(([trust, value]) => ({ trust, value }))
    .sort((a, b) => a.value - b.value);
  const kept = round.voters - round.votes - told.length;
  return { told, kept: Math.max(0, kept) };
}

/**
 * The average first, then the Trusts by their names, so that a Trust has the same colour in each chart.
 */
export function byName(
  curves: ReadonlyArray<ICurve>,
  nameOf: (trust: string) => string
): ICurve[] {
  const name = ({ trust }: ICurve) => (trust === null ? '' : nameOf(trust));
  return [...curves].sort((a, b) => name(a).localeCompare(name(b)));
}

/**
 * Seconds that are left by the mean of the last five rounds; null before the third round.
 */
export function secondsLeft(
  rounds: ReadonlyArray<IRoundSummary>,
  of: number
): number | null {
  const training = rounds.filter(round => round.training);
  if (training.length < 3) {
    return null;
  }
  const last = training.slice(-5);
  const mean =
    last.reduce((sum, round) => sum + round.seconds, 0) / last.length;
  return mean * Math.max(0, of - training.length);
}

function append(
  curves: Map<string, ICurve>,
  trust: string,
  round: number,
  value: number
): void {
  const curve = curves.get(trust) ?? { trust, rounds: [], values: [] };
  curve.rounds.push(round);
  curve.values.push(value);
  curves.set(trust, curve);
}
