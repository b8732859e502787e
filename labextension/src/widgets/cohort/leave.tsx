import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';
import { useId } from 'react';

import type { CohortModel } from '../../models/cohort';
import { datesText, leaveText } from '../../models/cohortwords';
import type { ICriterion, IEndStrategy } from '../../models/definition';
import { replaced } from '../../models/definition';
import { AddMenu } from '../parts/addmenu';
import { childAt, useFocus } from '../parts/focus';
import { LinkButton } from '../parts/linkbutton';
import { CriterionFields } from './criteria';
import { NumberInput } from './rangefields';
import { SetChoice } from './textandimage';

interface ILeaveProps {
  model: CohortModel;
  trans: TranslationBundle;
}

/**
 * When people leave: with their observation, after so many days, or when an exposure ends; at once on some records.
 */
export function Leave(props: ILeaveProps): JSX.Element {
  const { model, trans } = props;
  const { definition } = model;
  const strategy = definition.EndStrategy ?? {};
  const { DateOffset, CustomEra } = strategy;
  const sets = definition.ConceptSets ?? [];
  const name = useId();
  const change = (EndStrategy: IEndStrategy | undefined): void =>
    model.edit({ ...definition, EndStrategy });
  const choice = (
    checked: boolean,
    label: string,
    choose: () => void,
    disabled = false
  ): JSX.Element => (
    <label className="jp-FlipCheck">
      <input
        type="radio"
        name={name}
        checked={checked}
        disabled={disabled}
        onChange={choose}
      />
      {label}
    </label>
  );
  return (
    <section className="jp-FlipView-section">
      <details open>
        <summary className="jp-FlipLine">
          <h3>{trans.__('Leave')}</h3>{' '}
          <span className="jp-FlipLine-text">
            {leaveText(trans, definition)}
          </span>
        </summary>
        <div role="radiogroup" aria-label={trans.__('When people leave')}>
          <p className="jp-FlipCriterion jp-FlipChoice">
            {choice(
              !DateOffset && !CustomEra,
              trans.__('when observation ends'),
              () => change(undefined)
            )}
          </p>
          <p className="jp-FlipCriterion jp-FlipChoice">
            {choice(
              Boolean(DateOffset),
              DateOffset ? trans.__('after') : trans.__('after some days'),
              () =>
                change({ DateOffset: { DateField: 'StartDate', Offset: 365 } })
            )}
            {DateOffset && (
              <>
                <NumberInput
                  label={trans.__('Days until people leave')}
                  value={DateOffset.Offset ?? 0}
                  onChange={Offset =>
                    change({
                      ...strategy,
                      DateOffset: { ...DateOffset, Offset }
                    })
                  }
                />
                {trans.__('days from')}
                <select
                  className="jp-mod-styled"
                  aria-label={trans.__('Days are counted from')}
                  value={DateOffset.DateField}
                  onChange={event =>
                    change({
                      ...strategy,
                      DateOffset: {
                        ...DateOffset,
                        DateField: event.target.value as 'StartDate' | 'EndDate'
                      }
                    })
                  }
                >
                  <option value="StartDate">{trans.__('the start')}</option>
                  <option value="EndDate">{trans.__('the end')}</option>
                </select>
                {trans.__('of what they entered on')}
              </>
            )}
          </p>
          <p className="jp-FlipCriterion jp-FlipChoice">
            {choice(
              Boolean(CustomEra),
              trans.__('when exposure ends'),
              () =>
                sets[0] &&
                change({
                  CustomEra: {
                    DrugCodesetId: sets[0].id,
                    GapDays: 30,
                    Offset: 0
                  }
                }),
              sets.length === 0
            )}
            {sets.length === 0 && (
              <span className="jp-FlipView-note">
                {trans.__('needs a concept set')}
              </span>
            )}
            {CustomEra && (
              <EraFields
                era={CustomEra}
                sets={sets}
                trans={trans}
                onChange={next => change({ ...strategy, CustomEra: next })}
              />
            )}
          </p>
        </div>
        <Censoring {...props} />
      </details>
    </section>
  );
}

type Era = NonNullable<IEndStrategy['CustomEra']>;

function EraFields(props: {
  era: Era;
  sets: Parameters<typeof SetChoice>[0]['sets'];
  onChange: (era: Era) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { era, sets, onChange, trans } = props;
  const supply = era.DaysSupplyOverride ?? null;
  return (
    <>
      {trans.__('to')}
      <SetChoice
        label={trans.__('Drugs of the exposure')}
        chosen={era.DrugCodesetId}
        sets={sets}
        trans={trans}
        onChange={DrugCodesetId =>
          DrugCodesetId !== null && onChange({ ...era, DrugCodesetId })
        }
      />
      {trans.__('with gaps up to')}
      <NumberInput
        label={trans.__('Days between exposures that are one')}
        minimum={0}
        value={era.GapDays ?? 0}
        onChange={GapDays => onChange({ ...era, GapDays })}
      />
      {trans.__('days, then')}
      <NumberInput
        label={trans.__('Days added after the exposure')}
        value={era.Offset ?? 0}
        onChange={Offset => onChange({ ...era, Offset })}
      />
      {trans.__('more; supply')}
      <select
        className="jp-mod-styled"
        aria-label={trans.__('Days of supply')}
        value={supply === null ? 'recorded' : 'days'}
        onChange={event =>
          onChange({
            ...era,
            DaysSupplyOverride: event.target.value === 'days' ? 30 : undefined
          })
        }
      >
        <option value="recorded">{trans.__('as recorded')}</option>
        <option value="days">{trans.__('always days:')}</option>
      </select>
      {supply !== null && (
        <NumberInput
          label={trans.__('Days of each supply')}
          minimum={0}
          value={supply}
          onChange={DaysSupplyOverride =>
            onChange({ ...era, DaysSupplyOverride })
          }
        />
      )}
    </>
  );
}

/**
 * Records on which people leave at once.
 */
function Censoring(props: ILeaveProps): JSX.Element {
  const { model, trans } = props;
  const { definition } = model;
  const criteria = definition.CensoringCriteria ?? [];
  const [list, focus] = useFocus<HTMLOListElement>();
  const change = (CensoringCriteria: ICriterion[]): void =>
    model.edit({ ...definition, CensoringCriteria });
  const add = (criterion: ICriterion) => (): void => {
    focus(childAt(criteria.length));
    change([...criteria, criterion]);
  };
  return (
    <>
      <p className="jp-FlipCriterion">
        {trans.__('At once on ANY of:')}
        {criteria.length === 0 && (
          <span className="jp-FlipView-note">{trans.__('nothing')}</span>
        )}
        <AddMenu
          label={trans.__('Add')}
          title={trans.__('Add what people leave on at once')}
          additions={[
            { label: trans.__('Death'), add: add({ Death: {} }) },
            {
              label: trans.__('Records'),
              add: add({ ConditionOccurrence: {} })
            }
          ]}
        />
      </p>
      <ol className="jp-FlipList" ref={list}>
        {criteria.map((criterion, index) => (
          <li key={index}>
            <CriterionFields
              criterion={criterion}
              sets={definition.ConceptSets ?? []}
              trans={trans}
              onChange={next => change(replaced(criteria, index, next))}
            />{' '}
            <LinkButton
              onClick={() => {
                focus(childAt(index));
                change(replaced(criteria, index, null));
              }}
            >
              {trans.__('Remove')}
            </LinkButton>
          </li>
        ))}
      </ol>
    </>
  );
}

/**
 * Between which dates people are in the cohort, and which of their periods become one.
 */
export function Dates(props: ILeaveProps): JSX.Element {
  const { model, trans } = props;
  const { definition } = model;
  const window = definition.CensorWindow ?? {};
  const collapse = definition.CollapseSettings ?? {};
  const day = (end: 'StartDate' | 'EndDate', label: string): JSX.Element => (
    <input
      className="jp-mod-styled"
      type="date"
      aria-label={label}
      value={window[end] ?? ''}
      onChange={event =>
        model.edit({
          ...definition,
          CensorWindow: { ...window, [end]: event.target.value || undefined }
        })
      }
    />
  );
  return (
    <section className="jp-FlipView-section">
      <details>
        <summary className="jp-FlipLine">
          <h3>{trans.__('Dates and eras')}</h3>{' '}
          <span className="jp-FlipLine-text">
            {datesText(trans, definition)}
          </span>
        </summary>
        <p className="jp-FlipCriterion">
          {trans.__('In the cohort from')}
          {day('StartDate', trans.__('First day'))}
          {trans.__('to')}
          {day('EndDate', trans.__('Last day'))}
          <span className="jp-FlipView-note">
            {trans.__('empty: at any date')}
          </span>
        </p>
        <p className="jp-FlipCriterion">
          {trans.__('A person’s periods at most')}
          <NumberInput
            label={trans.__('Days between periods that are joined')}
            minimum={0}
            value={collapse.EraPad ?? 0}
            onChange={EraPad =>
              model.edit({
                ...definition,
                CollapseSettings: { CollapseType: 'ERA', ...collapse, EraPad }
              })
            }
          />
          {trans.__('days apart are joined')}
        </p>
      </details>
    </section>
  );
}
