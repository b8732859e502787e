import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX, KeyboardEvent } from 'react';
import { useState } from 'react';

import type { CohortModel } from '../../models/cohort';
import type { IConceptSet, ICriterion, IRule } from '../../models/definition';
import { emptyRule, moved, replaced } from '../../models/definition';
import { LinkButton } from '../parts/linkbutton';
import { Problem } from '../parts/problem';
import { useSignal } from '../parts/signal';
import type { IAnswersProps } from './answers';
import { Answers } from './answers';
import { ConceptSearch } from './conceptsearch';
import { CriterionFields, GroupFields } from './criteria';
import { NumberInput } from './rangefields';

/**
 * The cohort builder, in JupyterLab and in a notebook's output: concept sets, who enters, whom to keep; beside it what
 * the Trusts count.
 */
export function CohortBuilder(props: IAnswersProps): JSX.Element {
  const { model } = props;
  useSignal(model.changed);
  return (
    <>
      <Problem text={model.problem} />
      {model.check?.problem && (
        <p className="jp-FlipBanner jp-mod-error" role="status">
          {model.check.problem}
        </p>
      )}
      <div className="jp-FlipCohort-columns">
        <div>
          <ConceptSets {...props} />
          <Entry {...props} />
          <Rules {...props} />
        </div>
        <Answers {...props} />
      </div>
    </>
  );
}

/**
 * Steps back and forth, as buttons of a header.
 */
export function UndoButtons(props: {
  model: CohortModel;
  trans: TranslationBundle;
}): JSX.Element {
  const { model, trans } = props;
  return (
    <>
      <button
        type="button"
        className="jp-mod-styled jp-mod-reject"
        disabled={!model.canUndo}
        onClick={() => model.undo()}
      >
        {trans.__('Undo')}
      </button>
      <button
        type="button"
        className="jp-mod-styled jp-mod-reject"
        disabled={!model.canRedo}
        onClick={() => model.redo()}
      >
        {trans.__('Redo')}
      </button>
    </>
  );
}

function ConceptSets(props: IAnswersProps): JSX.Element {
  const { model, trans } = props;
  const sets = model.definition.ConceptSets ?? [];
  const change = (ConceptSets: IConceptSet[]): void =>
    model.edit({ ...model.definition, ConceptSets });
  const add = (): void => {
    const id = Math.max(-1, ...sets.map(set => set.id)) + 1;
    change([...sets, { id, name: '', expression: { items: [] } }]);
  };
  return (
    <section className="jp-FlipView-section">
      <h3>
        {trans.__('Concept sets')}
        <span className="jp-FlipView-note">
          {trans.__('what conditions, drugs and measurements mean')}
        </span>
      </h3>
      {sets.map((set, index) => (
        <ConceptSetFields
          key={set.id}
          set={set}
          find={text => model.findConcepts(text)}
          trans={trans}
          onChange={next => change(replaced(sets, index, next))}
        />
      ))}
      <LinkButton onClick={add}>{trans.__('Add Concept Set')}</LinkButton>
    </section>
  );
}

function ConceptSetFields(props: {
  set: IConceptSet;
  find: CohortModel['findConcepts'];
  onChange: (set: IConceptSet | null) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { set, find, onChange, trans } = props;
  const { items } = set.expression;
  const [open, setOpen] = useState(items.length === 0);
  const name = set.name || trans.__('Concept set %1', set.id);
  return (
    <details
      className="jp-FlipSet"
      open={open}
      onToggle={event => setOpen(event.currentTarget.open)}
    >
      <summary>
        {name}{' '}
        <span className="jp-FlipView-note">
          {trans._n('%1 concept', '%1 concepts', items.length)}
        </span>
      </summary>
      <NameRow
        label={trans.__('Name of the concept set')}
        placeholder={trans.__('Name')}
        name={set.name}
        onName={written => onChange({ ...set, name: written })}
        removal={trans.__('Remove Set')}
        onRemove={() => onChange(null)}
      />
      <ul className="jp-FlipSet-items">
        {items.map((item, index) => (
          <li key={item.concept.CONCEPT_ID} className="jp-FlipCriterion">
            <span className="jp-FlipRow-name">
              {item.concept.CONCEPT_NAME ?? ''}{' '}
              <code>{item.concept.CONCEPT_ID}</code>
            </span>
            {(
              [
                ['includeDescendants', trans.__('descendants')],
                ['includeMapped', trans.__('mapped')],
                ['isExcluded', trans.__('excluded')]
              ] as const
            ).map(([flag, label]) => (
              <label key={flag} className="jp-FlipCheck">
                <input
                  type="checkbox"
                  checked={item[flag] === true}
                  onChange={event =>
                    onChange({
                      ...set,
                      expression: {
                        items: replaced(items, index, {
                          ...item,
                          [flag]: event.target.checked
                        })
                      }
                    })
                  }
                />
                {label}
              </label>
            ))}
            <LinkButton
              onClick={() =>
                onChange({
                  ...set,
                  expression: { items: replaced(items, index, null) }
                })
              }
            >
              {trans.__('Remove')}
            </LinkButton>
          </li>
        ))}
      </ul>
      <ConceptSearch
        label={trans.__('Add a concept to %1', name)}
        find={find}
        trans={trans}
        onTake={found => {
          const concept = {
            CONCEPT_ID: found.concept_id,
            CONCEPT_NAME: found.name,
            DOMAIN_ID: found.domain,
            VOCABULARY_ID: found.vocabulary,
            CONCEPT_CODE: found.code,
            STANDARD_CONCEPT: found.standard ? 'S' : 'N'
          };
          const rest = items.filter(
            item => item.concept.CONCEPT_ID !== found.concept_id
          );
          onChange({
            ...set,
            name: set.name || found.name,
            expression: {
              items: [
                ...rest,
                {
                  concept,
                  isExcluded: false,
                  includeDescendants: true,
                  includeMapped: false
                }
              ]
            }
          });
        }}
      />
    </details>
  );
}

function Entry(props: IAnswersProps): JSX.Element {
  const { model, trans } = props;
  const { definition } = model;
  const primary = definition.PrimaryCriteria;
  const sets = definition.ConceptSets ?? [];
  const prior = primary.ObservationWindow?.PriorDays ?? 0;
  const change = (next: Partial<typeof primary>): void =>
    model.edit({ ...definition, PrimaryCriteria: { ...primary, ...next } });
  const replace = (index: number, item: ICriterion | null): void =>
    change({ CriteriaList: replaced(primary.CriteriaList, index, item) });
  return (
    <section className="jp-FlipView-section">
      <h3>{trans.__('Start from people with ANY of')}</h3>
      <ol className="jp-FlipList">
        {primary.CriteriaList.map((criterion, index) => (
          <li key={index}>
            <CriterionFields
              criterion={criterion}
              sets={sets}
              trans={trans}
              onChange={next => replace(index, next)}
            />
            {primary.CriteriaList.length > 1 && (
              <LinkButton onClick={() => replace(index, null)}>
                {trans.__('Remove')}
              </LinkButton>
            )}
          </li>
        ))}
      </ol>
      <p className="jp-FlipAdd">
        <LinkButton
          onClick={() =>
            change({
              CriteriaList: [
                ...primary.CriteriaList,
                { ConditionOccurrence: {} }
              ]
            })
          }
        >
          {trans.__('Add Records')}
        </LinkButton>
      </p>
      <p className="jp-FlipCriterion">
        {trans.__('Observed before for at least')}
        <NumberInput
          label={trans.__('Days of observation before')}
          minimum={0}
          value={prior}
          onChange={PriorDays =>
            change({
              ObservationWindow: {
                PostDays: 0,
                ...primary.ObservationWindow,
                PriorDays
              }
            })
          }
        />
        {trans.__('days; of each person')}
        <select
          className="jp-mod-styled"
          aria-label={trans.__('Which start of each person')}
          value={(primary.PrimaryCriteriaLimit?.Type ?? 'All').toLowerCase()}
          onChange={event =>
            change({ PrimaryCriteriaLimit: { Type: event.target.value } })
          }
        >
          <option value="first">{trans.__('the first')}</option>
          <option value="all">{trans.__('all')}</option>
          <option value="last">{trans.__('the last')}</option>
        </select>
      </p>
    </section>
  );
}

function Rules(props: IAnswersProps): JSX.Element {
  const { model, trans } = props;
  const { rules } = model;
  const move = (event: KeyboardEvent, index: number): void => {
    if (
      event.altKey &&
      (event.key === 'ArrowUp' || event.key === 'ArrowDown')
    ) {
      event.preventDefault();
      model.setRules(moved(rules, index, event.key === 'ArrowUp' ? -1 : 1));
    }
  };
  return (
    <section className="jp-FlipView-section">
      <h3>{trans.__('Keep those with ALL of')}</h3>
      <ol className="jp-FlipList">
        {rules.map(({ on, rule }, index) => (
          <li key={index} onKeyDown={event => move(event, index)}>
            <RuleFields
              rule={rule}
              on={on}
              number={index + 1}
              sets={model.definition.ConceptSets ?? []}
              trans={trans}
              onSwitch={next =>
                model.setRules(replaced(rules, index, { on: next, rule }))
              }
              onChange={next =>
                model.setRules(
                  replaced(rules, index, next && { on, rule: next })
                )
              }
            />
          </li>
        ))}
      </ol>
      <p className="jp-FlipAdd">
        <LinkButton
          onClick={() =>
            model.setRules([...rules, { on: true, rule: emptyRule() }])
          }
        >
          {trans.__('Add Rule')}
        </LinkButton>
        {rules.length > 1 && (
          <span className="jp-FlipView-note">
            {trans.__('Alt with arrow up or down moves a rule')}
          </span>
        )}
      </p>
    </section>
  );
}

function RuleFields(props: {
  rule: IRule;
  on: boolean;
  number: number;
  sets: ReadonlyArray<IConceptSet>;
  onSwitch: (on: boolean) => void;
  onChange: (rule: IRule | null) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { rule, on, number, sets, onSwitch, onChange, trans } = props;
  return (
    <div className={on ? 'jp-FlipRule' : 'jp-FlipRule jp-mod-off'}>
      <NameRow
        label={trans.__('Name of rule %1', number)}
        placeholder={trans.__('Name of the rule')}
        name={rule.name}
        onName={name => onChange({ ...rule, name })}
        removal={trans.__('Remove Rule')}
        onRemove={() => onChange(null)}
      >
        <label className="jp-FlipCheck">
          <input
            type="checkbox"
            checked={on}
            aria-label={trans.__('Rule %1 counts', number)}
            onChange={event => onSwitch(event.target.checked)}
          />
          {on ? trans.__('on') : trans.__('off')}
        </label>
      </NameRow>
      <GroupFields
        group={rule.expression}
        sets={sets}
        trans={trans}
        onChange={expression => onChange({ ...rule, expression })}
      />
    </div>
  );
}

/**
 * The name of a set or a rule, and its removal; what else the row has stands before them.
 */
function NameRow(props: {
  label: string;
  placeholder: string;
  name: string;
  onName: (name: string) => void;
  removal: string;
  onRemove: () => void;
  children?: JSX.Element;
}): JSX.Element {
  return (
    <p className="jp-FlipCriterion">
      {props.children}
      <input
        className="jp-mod-styled jp-FlipName"
        aria-label={props.label}
        placeholder={props.placeholder}
        value={props.name}
        onChange={event => props.onName(event.target.value)}
      />
      <LinkButton onClick={props.onRemove}>{props.removal}</LinkButton>
    </p>
  );
}
