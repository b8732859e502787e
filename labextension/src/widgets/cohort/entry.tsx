import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';
import { useState } from 'react';

import type { CohortModel } from '../../models/cohort';
import { entryText } from '../../models/cohortwords';
import type { ICriterion } from '../../models/definition';
import { isEmpty, replaced } from '../../models/definition';
import { AddMenu } from '../parts/addmenu';
import { childAt, useFocus } from '../parts/focus';
import { LinkButton } from '../parts/linkbutton';
import { CriterionFields, GroupFields } from './criteria';
import { LimitChoice } from './limit';
import { NumberInput } from './rangefields';
import { StepNumber } from './steps';

/**
 * Who enters: one line in words, which opens to its fields; open from the first where nobody is meant yet.
 */
export function Entry(props: {
  model: CohortModel;
  trans: TranslationBundle;
}): JSX.Element {
  const { model, trans } = props;
  const { definition } = model;
  const primary = definition.PrimaryCriteria;
  const sets = definition.ConceptSets ?? [];
  const [list, focus] = useFocus<HTMLOListElement>();
  const [open] = useState(isEmpty(definition));
  const change = (next: Partial<typeof primary>): void =>
    model.edit({ ...definition, PrimaryCriteria: { ...primary, ...next } });
  const replace = (index: number, item: ICriterion | null): void =>
    change({ CriteriaList: replaced(primary.CriteriaList, index, item) });
  const window = (next: { PriorDays?: number; PostDays?: number }): void =>
    change({
      ObservationWindow: {
        PriorDays: 0,
        PostDays: 0,
        ...primary.ObservationWindow,
        ...next
      }
    });
  const { AdditionalCriteria } = definition;
  return (
    <section className="jp-FlipView-section">
      <details open={open}>
        <summary className="jp-FlipLine">
          <h3>{trans.__('Enter')}</h3>{' '}
          <span className="jp-FlipLine-text">
            {entryText(trans, definition)}
          </span>
          <StepNumber model={model} step={0} trans={trans} />
        </summary>
        {isEmpty(definition) && (
          <p>
            {trans.__(
              'Whom do you mean? Start with a condition, drug or measurement.'
            )}
          </p>
        )}
        <ol className="jp-FlipList" ref={list}>
          {primary.CriteriaList.map((criterion, index) => (
            <li key={index}>
              <CriterionFields
                criterion={criterion}
                sets={sets}
                trans={trans}
                onChange={next => replace(index, next)}
              />
              {primary.CriteriaList.length > 1 && (
                <LinkButton
                  onClick={() => {
                    focus(childAt(index));
                    replace(index, null);
                  }}
                >
                  {trans.__('Remove')}
                </LinkButton>
              )}
            </li>
          ))}
        </ol>
        <p className="jp-FlipAdd">
          <LinkButton
            onClick={() => {
              focus(childAt(primary.CriteriaList.length));
              change({
                CriteriaList: [
                  ...primary.CriteriaList,
                  { ConditionOccurrence: {} }
                ]
              });
            }}
          >
            {trans.__('+ Add Records')}
          </LinkButton>
        </p>
        <p className="jp-FlipCriterion">
          {trans.__('Observed for at least')}
          <NumberInput
            label={trans.__('Days of observation before')}
            minimum={0}
            value={primary.ObservationWindow?.PriorDays ?? 0}
            onChange={PriorDays => window({ PriorDays })}
          />
          {trans.__('days before and')}
          <NumberInput
            label={trans.__('Days of observation after')}
            minimum={0}
            value={primary.ObservationWindow?.PostDays ?? 0}
            onChange={PostDays => window({ PostDays })}
          />
          {trans.__('after; of each person')}
          <LimitChoice
            label={trans.__('Which start of each person')}
            limit={primary.PrimaryCriteriaLimit}
            trans={trans}
            onChange={PrimaryCriteriaLimit => change({ PrimaryCriteriaLimit })}
          />
        </p>
        {AdditionalCriteria ? (
          <div>
            <p className="jp-FlipCriterion">
              {trans.__('Of these, those with')}
              <LinkButton
                onClick={() =>
                  model.edit({ ...definition, AdditionalCriteria: undefined })
                }
              >
                {trans.__('Remove Condition')}
              </LinkButton>
            </p>
            <GroupFields
              group={AdditionalCriteria}
              sets={sets}
              trans={trans}
              onChange={next =>
                model.edit({ ...definition, AdditionalCriteria: next })
              }
            />
          </div>
        ) : (
          <p className="jp-FlipAdd">
            <AddMenu
              label={trans.__('Add Condition')}
              title={trans.__('Add a condition on the start')}
              additions={[
                {
                  label: trans.__('Those with ALL of'),
                  add: () =>
                    model.edit({
                      ...definition,
                      AdditionalCriteria: { Type: 'ALL', CriteriaList: [] }
                    })
                },
                {
                  label: trans.__('Those with ANY of'),
                  add: () =>
                    model.edit({
                      ...definition,
                      AdditionalCriteria: { Type: 'ANY', CriteriaList: [] }
                    })
                }
              ]}
            />
          </p>
        )}
        <p className="jp-FlipCriterion">
          {trans.__('Then of each person')}
          <LimitChoice
            label={trans.__('Which of the starts that are left')}
            limit={definition.QualifiedLimit}
            trans={trans}
            onChange={QualifiedLimit =>
              model.edit({ ...definition, QualifiedLimit })
            }
          />
        </p>
      </details>
    </section>
  );
}
