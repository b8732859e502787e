import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import { ShownNumber, SuppressedNote } from './bartable';
import type { ICountsProps } from './trustcounts';
import { repliesOf } from './trustcounts';

/**
 * Who stays after each rule: all Trusts together in one line, by Trust below it.
 */
export function Attrition(props: ICountsProps): JSX.Element | null {
  const { model, trans } = props;
  const replies = repliesOf(model).filter(
    ({ reply }) => reply.funnel.length > 0
  );
  if (replies.length === 0) {
    return null;
  }
  const on = model.current ? model.rules.filter(rule => rule.on) : [];
  const steps = replies[0].reply.funnel.map(step => step.rules);
  return (
    <div className={model.current ? '' : 'jp-mod-old'}>
      <h3>{trans.__('Who stays')}</h3>
      <p className="jp-FlipSteps">{stepsText(trans, model.steps)}</p>
      <p className="jp-FlipView-note">
        {trans.__(
          'Each step is a count of its own, with noise of its own: a rule that keeps nearly everybody may seem to add a few.'
        )}
      </p>
      <details>
        <summary>{trans.__('By Trust')}</summary>
        <div
          className="jp-FlipTable-scroll"
          tabIndex={0}
          role="group"
          aria-label={trans.__('Who stays, by Trust')}
        >
          <table className="jp-FlipTable">
            <thead>
              <tr>
                <th scope="col">{trans.__('Rule')}</th>
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
                      ? trans.__('enter')
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
        </div>
        <SuppressedNote
          reply={
            replies.find(({ reply }) =>
              reply.funnel.some(step => step.people === null)
            )?.reply
          }
          trans={trans}
        />
      </details>
    </div>
  );
}

/**
 * "860 > 820 > 620"; where a step is not below the one before, which noise can do, they are about the same.
 */
function stepsText(
  trans: TranslationBundle,
  steps: ReadonlyArray<number | null>
): string {
  return steps
    .map((people, index) => {
      const words =
        people === null ? trans.__('no number') : people.toLocaleString();
      const before = steps[index - 1];
      const falls =
        people === null || (typeof before === 'number' && people < before);
      return index === 0 ? words : `${falls ? '>' : '≈'} ${words}`;
    })
    .join(' ');
}
