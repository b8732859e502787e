import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';
import { useState } from 'react';

import type { CohortModel } from '../../models/cohort';
import type { IConceptSet } from '../../models/definition';
import { replaced } from '../../models/definition';
import { childAt, useFocus } from '../parts/focus';
import { LinkButton } from '../parts/linkbutton';
import { ConceptSearch } from './conceptsearch';
import { NameRow } from './namerow';

/**
 * What conditions, drugs and measurements mean: the sets, closed.
 */
export function ConceptSets(props: {
  model: CohortModel;
  trans: TranslationBundle;
}): JSX.Element {
  const { model, trans } = props;
  const sets = model.definition.ConceptSets ?? [];
  const [open, setOpen] = useState(false);
  const [list, focus] = useFocus<HTMLDivElement>();
  const change = (ConceptSets: IConceptSet[]): void =>
    model.edit({ ...model.definition, ConceptSets });
  const add = (): void => {
    const id = Math.max(-1, ...sets.map(set => set.id)) + 1;
    setOpen(true);
    focus(childAt(sets.length));
    change([...sets, { id, name: '', expression: { items: [] } }]);
  };
  return (
    <section className="jp-FlipView-section jp-FlipSets">
      <details
        open={open}
        onToggle={event => setOpen(event.currentTarget.open)}
      >
        <summary className="jp-FlipLine">
          <h3>
            {trans.__('Concept sets')} {sets.length}
          </h3>{' '}
          <span className="jp-FlipLine-text jp-FlipView-note">
            {trans.__('what conditions, drugs and measurements mean')}
          </span>
        </summary>
        <div ref={list}>
          {sets.map((set, index) => (
            <ConceptSetFields
              key={set.id}
              set={set}
              find={text => model.findConcepts(text)}
              trans={trans}
              onChange={next => {
                if (next === null) {
                  focus(childAt(index));
                }
                change(replaced(sets, index, next));
              }}
            />
          ))}
        </div>
      </details>
      <LinkButton aria-label={trans.__('Add Concept Set')} onClick={add}>
        {trans.__('+ Add Set')}
      </LinkButton>
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
