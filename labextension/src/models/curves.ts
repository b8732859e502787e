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
 * The names of all metrics, and "agreement" where Trusts voted or let their agreements out.
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
 * By round: the share of Trusts that voted 1, and the single Trusts' agreements as far as they are let out.
 */
export function agreementCurves(
  rounds: ReadonlyArray<IRoundSummary>
): ICurve[] {
  const all: ICurve = { trust: null, rounds: [], values: [] };
  const single = new Map<string, ICurve>();
  for (const round of rounds) {
    if (round.votes !== null && round.voters) {
      all.rounds.push(round.round);
      all.values.push(round.votes / round.voters);
    }
    for (const [trust, value] of Object.entries(round.agreements)) {
      append(single, trust, round.round, value);
    }
  }
  return all.rounds.length === 0 && single.size === 0
    ? []
    : [all, ...single.values()];
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
