import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';
import { useEffect } from 'react';

import type { IRoundSummary } from '../../contracts';
import type { IHoldOuts } from '../../models/curves';
import {
  agreementCurves,
  byName,
  holdOuts,
  voteCurve
} from '../../models/curves';
import type { RunModel } from '../../models/run';
import { figures } from '../../models/wording';
import { CurveChart } from './chart';

/**
 * The votes of a run that ends when its Trusts agree, and the figures of those that let theirs out.
 */
export function Agreement(props: {
  model: RunModel;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { model, trans } = props;
  const { rounds } = model;
  const votes = voteCurve(rounds);
  const voted = votes.rounds.length > 0;
  useEffect(() => {
    if (voted) {
      void model.fetchBundle(); // the rule, with its threshold, stands there
    }
  }, [model, voted]);
  const last = [...rounds].reverse().find(round => round.votes !== null);
  if (!voted || last === undefined) {
    return null;
  }
  const nameOf = (trust: string) => model.workbench.trustTitle(trust);
  const rule = model.bundle?.plan.consensus ?? null;
  const figuresLetOut = byName(agreementCurves(rounds), nameOf);
  const who = rule === null ? '' : heldOut(trans, last, rule.threshold, nameOf);
  const voters = last.voters ?? 0;
  const needed =
    rule === null
      ? undefined
      : {
          value: rule.threshold,
          label: trans.__('%1 needed', figures(rule.threshold))
        };
  const count = trans.__(
    '%1 of %2 Trusts agree in round %3.',
    last.votes ?? 0,
    voters,
    last.round
  );
  const common = { trans, nameOf, empty: '' };
  return (
    <>
      <CurveChart
        title={trans.__('votes')}
        allName={trans.__('Trusts that agree')}
        curves={[votes]}
        steps={true}
        needed={{ value: voters, label: trans.__('%1 needed', voters) }}
        label={[trans.__('Votes by round.'), count, who].join(' ').trim()}
        {...common}
      />
      {figuresLetOut.length > 0 && (
        <CurveChart
          title={rule?.measure ?? trans.__('agreement')}
          allName=""
          curves={figuresLetOut}
          needed={needed}
          label={[
            trans.__('Agreement by round, of the Trusts that let it out.'),
            needed === undefined ? '' : `${needed.label}.`,
            who
          ]
            .join(' ')
            .trim()}
          {...common}
        />
      )}
      {rule !== null && (
        <p className="jp-FlipView-note jp-FlipCharts-note">
          {count}{' '}
          {trans._n(
            'All must.',
            'All must, %1 rounds in a row.',
            rule.rounds ?? 1
          )}{' '}
          {who}
        </p>
      )}
    </>
  );
}

function heldOut(
  trans: TranslationBundle,
  round: IRoundSummary,
  threshold: number,
  nameOf: (trust: string) => string
): string {
  const found = holdOuts(round, threshold);
  return found === null ? '' : holdOutText(trans, found, nameOf);
}

/**
 * "Holds out: Hungary 0.941, and one Trust that keeps its figure."; empty where all agree.
 */
export function holdOutText(
  trans: TranslationBundle,
  found: IHoldOuts,
  nameOf: (trust: string) => string
): string {
  const told = found.told
    .map(({ trust, value }) => `${nameOf(trust)} ${below(value)}`)
    .join(', ');
  const kept =
    found.kept === 0
      ? ''
      : trans._n(
          'one Trust that keeps its figure',
          '%1 Trusts that keep theirs',
          found.kept
        );
  if (told && kept) {
    return trans.__('Holds out: %1, and %2.', told, kept);
  }
  return told || kept ? trans.__('Holds out: %1.', told || kept) : '';
}

/**
 * Three decimals, rounded down: who is just below the threshold is not shown as being on it.
 */
function below(value: number): string {
  return (Math.floor(value * 1000 + 1e-6) / 1000).toFixed(3);
}
