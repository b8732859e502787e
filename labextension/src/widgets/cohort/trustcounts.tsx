import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import type { IBudget, ICountReply, ITrustAnswer } from '../../contracts';
import type { CohortModel } from '../../models/cohort';
import { clock } from '../../models/wording';
import { ShownNumber } from './bartable';

/**
 * Whose counts are shown.
 */
export interface ICountsProps {
  model: CohortModel;
  trans: TranslationBundle;
}

/**
 * Which Trusts have answered with what they told.
 */
export function repliesOf(
  model: CohortModel
): { answer: ITrustAnswer; reply: ICountReply }[] {
  return (model.answers?.answers ?? []).flatMap(answer =>
    answer.reply !== null && answer.problem === null
      ? [{ answer, reply: answer.reply }]
      : []
  );
}

/**
 * The headline and a row for each Trust: what it told and what is left of its budget.
 */
export function TrustCounts(props: ICountsProps): JSX.Element | null {
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
            {answers.people === null ? (
              trans.__('No number was released')
            ) : (
              <>
                <span aria-hidden="true">
                  {`n ≈ ${answers.people.toLocaleString()}`}
                </span>
                <span className="jp-FlipHidden">
                  {trans.__('about %1', answers.people.toLocaleString())}
                </span>
              </>
            )}
          </strong>
          {', '}
          {trans.__('%1 of %2 Trusts', total - silent, total)}
          <span className="jp-FlipView-note">
            {' '}
            {model.current
              ? trans.__('asked %1', clock(model.answeredAt ?? new Date()))
              : trans.__('before your changes')}
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
                <Left budget={model.budgetOf(answer.key)} trans={trans} />
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
  props: ICountsProps & { answers: ReadonlyArray<ITrustAnswer> }
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

function Left(props: {
  budget: IBudget | null;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { budget, trans } = props;
  return budget === null ? null : (
    <>{trans.__('%1 of %2', budget.left, budget.of)}</>
  );
}
