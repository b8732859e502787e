import type { TranslationBundle } from '@jupyterlab/translation';
import type { ComponentType, JSX } from 'react';
import { useState } from 'react';

import type { IChartOfTrust, ICountReply, ITrustAnswer } from '../../contracts';
import type { Chart, CohortModel } from '../../models/cohort';
import { clock } from '../../models/wording';
import { useSignal } from '../parts/signal';
import type { IBarsProps } from './bartable';
import { ShownNumber, SuppressedNote } from './bartable';
import type { IMissing } from './missingness';
import { Missingness } from './missingness';
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
 * What the Trusts count: asking with its price, the answers, what is left of the budget, funnel and charts.
 */
export function Answers(props: IAnswersProps): JSX.Element {
  const { model, trans } = props;
  useSignal(model.source.changed);
  const [funnel, setFunnel] = useState(false);
  const [kinds, setKinds] = useState<ReadonlySet<Chart['by']>>(new Set());
  const [missing, setMissing] = useState<ReadonlyArray<IMissing>>([]);
  const charts = [
    ...[...kinds].map(chartOf),
    ...missing.map(({ concept, source }): Chart => ({
      by: 'missing',
      source,
      concept_id: concept
    }))
  ];
  const price = model.price(funnel, charts.length);
  const scarcest = model.scarcest;
  const affordable = scarcest === null || scarcest.budget.left >= price;
  const valid = model.check?.problem === null;
  const { online } = model.source;
  const choices: [Chart['by'], string][] = [
    ['age', trans.__('age')],
    ['sex', trans.__('sex')],
    ['year', trans.__('year')]
  ];
  return (
    <section className="jp-FlipAnswers" aria-label={trans.__('Counts')}>
      <h3>{trans.__('Counts')}</h3>
      <TwinLine {...props} />
      <p className="jp-FlipCriterion">
        <label className="jp-FlipCheck">
          <input
            type="checkbox"
            checked={funnel}
            onChange={event => setFunnel(event.target.checked)}
          />
          {trans.__('rule by rule')}
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
                setKinds(next);
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
        onChange={setMissing}
      />
      <p className="jp-FlipCriterion">
        <button
          type="button"
          className="jp-mod-styled jp-mod-accept"
          disabled={!valid || !online || !affordable || model.asking}
          onClick={() => void model.ask({ people: true, funnel, charts })}
        >
          {model.asking
            ? trans.__('Asking…')
            : trans.__('Ask the Trusts (%1)', price)}
        </button>
        <Waiting model={model} trans={trans} />
        {scarcest !== null && (
          <span className="jp-FlipView-note">
            {trans.__(
              '%1 of %2 counts left at %3',
              scarcest.budget.left,
              scarcest.budget.of,
              scarcest.title
            )}
          </span>
        )}
      </p>
      {!affordable && scarcest !== null && (
        <p className="jp-FlipBanner jp-mod-warn" role="status">
          {trans.__(
            'This asks for %1 counts; %2 has %3 left for you. Nothing was asked. Leave out the charts.',
            price,
            scarcest.title,
            scarcest.budget.left
          )}
        </p>
      )}
      <Numbers {...props} />
      <Funnel {...props} />
      <Charts {...props} missing={missing} />
    </section>
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

function Numbers(props: IAnswersProps): JSX.Element | null {
  const { model, trans } = props;
  const { answers } = model;
  if (answers === null) {
    return null;
  }
  const counted = model.answeredAt !== null;
  const most = Math.max(
    1,
    ...answers.answers.map(answer => answer.reply?.people ?? 0)
  );
  const silent = answers.answers.filter(
    answer => answer.reply === null || answer.problem !== null
  ).length;
  const total = answers.answers.length;
  return (
    <div className={model.current || !counted ? '' : 'jp-mod-old'}>
      {counted && (
        <p role="status">
          <strong>
            {answers.people === null
              ? trans.__('No number was released')
              : `n ≈ ${answers.people.toLocaleString()}`}
          </strong>
          {', '}
          {trans.__('%1 of %2 Trusts', total - silent, total)}
          <span className="jp-FlipView-note">
            {' '}
            {model.current
              ? trans.__('counted %1', clock(model.answeredAt ?? new Date()))
              : trans.__('for an earlier definition')}
          </span>
        </p>
      )}
      <table className="jp-FlipTable">
        <caption className="jp-FlipHidden">
          {trans.__('Counts by Trust')}
        </caption>
        <thead>
          <tr>
            <th scope="col">{trans.__('Trust')}</th>
            {counted && (
              <th scope="col" className="jp-mod-number">
                {trans.__('People')}
              </th>
            )}
            {counted && <td />}
            <th scope="col" className="jp-mod-number">
              {trans.__('Left')}
            </th>
          </tr>
        </thead>
        <tbody>
          {answers.answers.map(answer => (
            <tr key={answer.key}>
              <th scope="row">{answer.title}</th>
              {counted && (
                <td
                  className={
                    answer.problem === null ? 'jp-mod-number' : undefined
                  }
                  title={captionOf(trans, answer)}
                >
                  <Word answer={answer} trans={trans} />
                </td>
              )}
              {counted && (
                <td className="jp-FlipBars-cell" aria-hidden="true">
                  <Bar answer={answer} most={most} />
                </td>
              )}
              <td className="jp-mod-number">
                {answer.reply?.budget
                  ? trans.__(
                      '%1 of %2',
                      answer.reply.budget.left,
                      answer.reply.budget.of
                    )
                  : ''}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      {counted && answers.answers.some(a => a.reply?.suppressed) && (
        <p className="jp-FlipView-note">
          {trans.__(
            'Adds rounded, noisy counts. Trusts showing < are left out: few people, or none, or not answered in time; it does not say which.'
          )}
        </p>
      )}
      {counted && <NoiseNote {...props} answers={answers.answers} />}
    </div>
  );
}

/**
 * How far a number may be off: by each Trust's own policy, so the largest is said.
 */
function NoiseNote(
  props: IAnswersProps & { answers: ReadonlyArray<ITrustAnswer> }
): JSX.Element | null {
  const { trans } = props;
  const replies = props.answers.flatMap(({ reply }) => (reply ? [reply] : []));
  const noise = Math.max(0, ...replies.map(reply => reply.noise ?? 0));
  const least = Math.min(...replies.map(reply => reply.threshold ?? Infinity));
  return noise === 0 ? null : (
    <p className="jp-FlipView-note">
      {trans.__(
        'n ≈ has noise with a standard deviation of %1, so that a Trust with nobody may show ≈ %2, too.',
        noise,
        Number.isFinite(least) ? least : 0
      )}
    </p>
  );
}

function Word(props: {
  answer: ITrustAnswer;
  trans: TranslationBundle;
}): JSX.Element {
  const { answer, trans } = props;
  if (answer.problem !== null || answer.reply === null) {
    return <>{answer.problem ?? trans.__('no answer yet')}</>;
  }
  const { reply } = answer;
  return <ShownNumber reply={reply} people={reply.people} trans={trans} />;
}

function captionOf(trans: TranslationBundle, answer: ITrustAnswer): string {
  const { reply } = answer;
  if (reply?.suppressed) {
    return trans.__(
      'Fewer than %1 people at %2, or none, or not answered in time; it does not say which.',
      reply.threshold ?? '',
      answer.title
    );
  }
  return reply && reply.noise !== null && reply.rounding !== null
    ? trans.__(
        'Noise with a standard deviation of %1, then rounded to %2',
        reply.noise,
        reply.rounding
      )
    : '';
}

function Bar(props: { answer: ITrustAnswer; most: number }): JSX.Element {
  const { reply } = props.answer;
  const suppressed = reply?.suppressed === true;
  const share = suppressed ? 0.04 : (reply?.people ?? 0) / props.most;
  return (
    <span
      className={suppressed ? 'jp-FlipBar jp-mod-suppressed' : 'jp-FlipBar'}
      style={{ width: `${Math.round(100 * share)}%` }}
    />
  );
}

function Funnel(props: IAnswersProps): JSX.Element | null {
  const { model, trans } = props;
  const replies = answered(model).filter(
    ({ reply }) => reply.funnel.length > 0
  );
  if (replies.length === 0) {
    return null;
  }
  const on = model.rules.filter(rule => rule.on);
  const steps = replies[0].reply.funnel.map(step => step.rules);
  return (
    <div className={model.current ? '' : 'jp-mod-old'}>
      <h3>{trans.__('Attrition')}</h3>
      <table className="jp-FlipTable">
        <thead>
          <tr>
            <th scope="col">{trans.__('Rules')}</th>
            {replies.map(({ answer }) => (
              <th scope="col" key={answer.key}>
                {answer.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {steps.map(step => (
            <tr key={step}>
              <th scope="row">
                {step === 0
                  ? trans.__('start')
                  : `${step} ${on[step - 1]?.rule.name ?? ''}`}
              </th>
              {replies.map(({ answer, reply }) => {
                const found = reply.funnel.find(one => one.rules === step);
                return (
                  <td key={answer.key} className="jp-mod-number">
                    {found && (
                      <ShownNumber
                        reply={reply}
                        people={found.people}
                        trans={trans}
                      />
                    )}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
      <SuppressedNote
        reply={
          replies.find(({ reply }) =>
            reply.funnel.some(step => step.people === null)
          )?.reply
        }
        trans={trans}
      />
    </div>
  );
}

function Charts(
  props: IAnswersProps & { missing: ReadonlyArray<IMissing> }
): JSX.Element {
  const { model, Chart, missing, trans } = props;
  const replies = answered(model);
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

function answered(
  model: CohortModel
): { answer: ITrustAnswer; reply: ICountReply }[] {
  return (model.answers?.answers ?? []).flatMap(answer =>
    answer.reply !== null && answer.problem === null
      ? [{ answer, reply: answer.reply }]
      : []
  );
}
