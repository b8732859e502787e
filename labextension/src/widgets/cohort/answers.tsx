import type { TranslationBundle } from '@jupyterlab/translation';
import type { ComponentType, JSX } from 'react';
import { useState } from 'react';

import type { IChartOfTrust } from '../../contracts';
import type { CohortModel } from '../../models/cohort';
import type { Chart } from '../../models/cohortanswers';
import { needsHub } from '../../models/offline';
import { useSignal } from '../parts/signal';
import { Attrition } from './attrition';
import type { IBarsProps } from './bartable';
import type { IMissing } from './missingness';
import { Missingness } from './missingness';
import { repliesOf, TrustCounts } from './trustcounts';
import { Waiting } from './waiting';

/**
 * What the builder and the counts beside it are made of, in JupyterLab or below a cell.
 */
export interface IAnswersProps {
  model: CohortModel;
  /**
   * How numbers by bar are shown.
   */
  Chart: ComponentType<IBarsProps>;
  /**
   * What stands before the twin's number, beside its word.
   */
  twinMark: JSX.Element;
  trans: TranslationBundle;
}

const FIRST_YEAR = 1985;

/**
 * What the Trusts count: asking at the price that will be charged, the answers, who stays after each rule, and charts.
 */
export function Answers(props: IAnswersProps): JSX.Element {
  const { model, trans } = props;
  useSignal(model.source.changed);
  const [kinds, setKinds] = useState<ReadonlySet<Chart['by']>>(new Set());
  const [missing, setMissing] = useState<ReadonlyArray<IMissing>>([]);
  const choose = (
    funnel: boolean,
    by: ReadonlySet<Chart['by']>,
    concepts: ReadonlyArray<IMissing>
  ): void => {
    setKinds(by);
    setMissing(concepts);
    model.choose(funnel, [
      ...[...by].map(chartOf),
      ...concepts.map(({ concept, source }): Chart => ({
        by: 'missing',
        source,
        concept_id: concept
      }))
    ]);
  };
  const choices: [Chart['by'], string][] = [
    ['age', trans.__('age')],
    ['sex', trans.__('sex')],
    ['year', trans.__('year')]
  ];
  return (
    <section className="jp-FlipAnswers" aria-label={trans.__('Counts')}>
      <h3 className="jp-FlipHidden">{trans.__('Counts')}</h3>
      <Ask {...props} />
      <TwinLine {...props} />
      <TrustCounts model={model} trans={trans} />
      <Attrition model={model} trans={trans} />
      <p className="jp-FlipCriterion">
        {trans.__('Ask also')}
        <label className="jp-FlipCheck">
          <input
            type="checkbox"
            checked={model.funnel}
            onChange={event => choose(event.target.checked, kinds, missing)}
          />
          {trans.__('step by step')}
        </label>
        {choices.map(([kind, label]) => (
          <label key={kind} className="jp-FlipCheck">
            <input
              type="checkbox"
              checked={kinds.has(kind)}
              onChange={event => {
                const next = new Set(kinds);
                if (event.target.checked) {
                  next.add(kind);
                } else {
                  next.delete(kind);
                }
                choose(model.funnel, next, missing);
              }}
            />
            {label}
          </label>
        ))}
      </p>
      <Missingness
        chosen={missing}
        find={text => model.findConcepts(text)}
        trans={trans}
        onChange={next => choose(model.funnel, kinds, next)}
      />
      <Charts {...props} missing={missing} />
    </section>
  );
}

/**
 * The button that asks, with what it will be charged; below it where that differs by Trust, and why it can't be pressed.
 */
function Ask(props: IAnswersProps): JSX.Element {
  const { model, trans } = props;
  const { price, unaffordable, source } = model;
  const away = needsHub(source, trans);
  const enabled =
    model.check?.problem === null &&
    price !== null &&
    source.online &&
    away === '' &&
    source.study !== null &&
    unaffordable === null &&
    !model.asking;
  const why = whyNot(props);
  return (
    <>
      <p className="jp-FlipCriterion jp-FlipAsk">
        <button
          type="button"
          className="jp-mod-styled jp-mod-accept"
          disabled={!enabled}
          title={away || undefined}
          onClick={() => void model.ask()}
        >
          {model.asking ? trans.__('Asking…') : askWords(trans, price)}
        </button>
        <Waiting model={model} trans={trans} />
      </p>
      {why !== '' && (
        <p className="jp-FlipBanner jp-mod-warn" role="status">
          {why}
        </p>
      )}
      <PriceByTrust model={model} trans={trans} />
    </>
  );
}

function askWords(trans: TranslationBundle, price: number | null): string {
  switch (price) {
    case null:
      return trans.__('Ask the Trusts');
    case 0:
      return trans.__('Ask the Trusts, free');
    default:
      return trans._n(
        'Ask the Trusts, %1 count',
        'Ask the Trusts, %1 counts',
        price
      );
  }
}

/**
 * Why the Trusts can't be asked, where there is something to do about it.
 */
function whyNot(props: IAnswersProps): string {
  const { model, trans } = props;
  const { unaffordable, source } = model;
  if (model.check !== null && model.check.problem !== null) {
    return trans.__(
      'This can’t be asked until the definition is one that the Trusts support.'
    );
  }
  if (source.study === null) {
    return trans.__('Choose a study first: its Trusts are asked.');
  }
  return unaffordable === null
    ? ''
    : trans.__(
        'This asks for %1 counts; %2 has %3 left for you. Nothing was asked. Leave out the charts.',
        unaffordable.cost,
        unaffordable.title,
        unaffordable.left
      );
}

/**
 * What each Trust charges, where they differ.
 */
function PriceByTrust(props: {
  model: CohortModel;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { model, trans } = props;
  const prices = model.check?.prices ?? [];
  const differ = new Set(prices.map(({ cost }) => cost)).size > 1;
  return model.price === null || !differ ? null : (
    <p className="jp-FlipView-note">
      {prices
        .map(({ title, cost }) =>
          cost === 0
            ? trans.__('free at %1', title)
            : trans.__('%1 at %2', cost, title)
        )
        .join(', ')}
    </p>
  );
}

/**
 * What the twin says while one edits, marked as such.
 */
function TwinLine(props: IAnswersProps): JSX.Element | null {
  const { model, trans } = props;
  const twin = model.check?.twin ?? null;
  return twin === null ? null : (
    <p className="jp-FlipTwin" role="status">
      {props.twinMark}{' '}
      {trans.__(
        'Twin: %1 of %2 invented people',
        twin.people.toLocaleString(),
        twin.of.toLocaleString()
      )}
    </p>
  );
}

function chartOf(kind: Chart['by']): Chart {
  switch (kind) {
    case 'sex':
      return { by: 'sex' };
    case 'year':
      return { by: 'year', first: FIRST_YEAR, last: new Date().getFullYear() };
    default:
      return { by: 'age', width: 10 };
  }
}

function Charts(
  props: IAnswersProps & { missing: ReadonlyArray<IMissing> }
): JSX.Element {
  const { model, Chart, missing, trans } = props;
  const replies = repliesOf(model);
  const charts = new Map(
    replies.flatMap(({ reply }) =>
      reply.charts.map(({ chart }) => [JSON.stringify(chart), chart] as const)
    )
  );
  return (
    <div className={model.current ? '' : 'jp-mod-old'}>
      {[...charts].map(([key, chart]) => (
        <Chart
          key={key}
          title={chartTitle(trans, chart, missing)}
          series={replies.flatMap(({ answer, reply }) => {
            const found = reply.charts.find(
              one => JSON.stringify(one.chart) === key
            );
            return found === undefined
              ? []
              : [{ name: answer.title, reply, bars: found.bars }];
          })}
          trans={trans}
        />
      ))}
    </div>
  );
}

function chartTitle(
  trans: TranslationBundle,
  chart: IChartOfTrust['chart'],
  missing: ReadonlyArray<IMissing>
): string {
  switch (chart.by) {
    case 'age':
      return trans.__('Age in years');
    case 'sex':
      return trans.__('Sex');
    case 'year':
      return trans.__('Year of start');
    case 'missing': {
      const { concept_id: concept } = chart;
      const name = missing.find(one => one.concept === concept)?.name;
      return trans.__('Recorded: %1', name ?? trans.__('concept %1', concept));
    }
    default:
      return trans.__('Variable');
  }
}
