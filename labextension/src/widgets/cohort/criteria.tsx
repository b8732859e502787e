import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import { domainWord } from '../../models/cohortwords';
import type {
  GroupType,
  IConceptSet,
  ICounted,
  ICriterion,
  IGroup
} from '../../models/definition';
import {
  DOMAINS,
  domainOf,
  fieldsOf,
  hasAge,
  hasConcepts,
  hasFirst,
  hasNumber,
  isImage,
  isText,
  withDomain,
  withFields
} from '../../models/criterion';
import { emptyCounted, replaced } from '../../models/definition';
import { otherWords } from '../../models/remainder';
import type { IAddition } from '../parts/addmenu';
import { AddMenu } from '../parts/addmenu';
import { useFocus } from '../parts/focus';
import { LinkButton } from '../parts/linkbutton';
import { CountedFields } from './counted';
import { DemographicFields } from './demographic';
import { NumberInput, RangeFields } from './rangefields';
import {
  FeatureFields,
  SetChoice,
  TextFields,
  UnitChoice
} from './textandimage';

interface IPart {
  sets: ReadonlyArray<IConceptSet>;
  trans: TranslationBundle;
}

/**
 * Records of one domain: which, of which concepts, with which value.
 */
export function CriterionFields(
  props: IPart & {
    criterion: ICriterion;
    onChange: (criterion: ICriterion) => void;
  }
): JSX.Element {
  const { criterion, sets, trans, onChange } = props;
  const domain = domainOf(criterion);
  const fields = fieldsOf(criterion);
  const others = otherWords(trans, criterion, sets);
  const { CorrelatedCriteria } = fields;
  const known = (DOMAINS as ReadonlyArray<string>).includes(domain);
  return (
    <span className="jp-FlipCriterion">
      <select
        className="jp-mod-styled"
        aria-label={trans.__('Domain')}
        value={domain}
        onChange={event => onChange(withDomain(criterion, event.target.value))}
      >
        {DOMAINS.map(name => (
          <option key={name} value={name}>
            {domainWord(trans, name)}
          </option>
        ))}
        {!known && <option value={domain}>{domainWord(trans, domain)}</option>}
      </select>
      {hasConcepts(domain) && (
        <SetChoice
          label={
            isImage(domain) ? trans.__('Modality') : trans.__('Concept set')
          }
          any={
            isImage(domain) ? trans.__('any modality') : trans.__('any concept')
          }
          chosen={fields.CodesetId ?? null}
          sets={sets}
          trans={trans}
          onChange={CodesetId => onChange(withFields(criterion, { CodesetId }))}
        />
      )}
      {hasNumber(domain) && (
        <RangeFields
          label={trans.__('Value')}
          range={fields.ValueAsNumber ?? null}
          trans={trans}
          onChange={range =>
            onChange(withFields(criterion, { ValueAsNumber: range }))
          }
        />
      )}
      {hasNumber(domain) && (
        <UnitChoice
          fields={fields}
          sets={sets}
          trans={trans}
          onChange={UnitCS => onChange(withFields(criterion, { UnitCS }))}
        />
      )}
      {hasAge(domain) && fields.Age && (
        <>
          {trans.__('at age')}
          <RangeFields
            label={trans.__('Age')}
            range={fields.Age}
            trans={trans}
            onChange={Age => onChange(withFields(criterion, { Age }))}
          />
        </>
      )}
      {isText(domain) && (
        <TextFields
          fields={fields}
          trans={trans}
          onChange={next => onChange(withFields(criterion, next))}
        />
      )}
      {hasFirst(domain) && (
        <label className="jp-FlipCheck">
          <input
            type="checkbox"
            checked={fields.First === true}
            onChange={event =>
              onChange(withFields(criterion, { First: event.target.checked }))
            }
          />
          {trans.__('first only')}
        </label>
      )}
      {others !== '' && (
        <span className="jp-FlipView-note">
          {trans.__('and, read-only: %1', others)}
        </span>
      )}
      {isImage(domain) && (
        <FeatureFields
          features={fields.Features ?? []}
          sets={sets}
          trans={trans}
          onChange={Features => onChange(withFields(criterion, { Features }))}
        />
      )}
      {CorrelatedCriteria && (
        <span className="jp-FlipCorrelated">
          {trans.__('those with, around each of them')}
          <GroupFields
            group={CorrelatedCriteria}
            sets={sets}
            trans={trans}
            onChange={next =>
              onChange(withFields(criterion, { CorrelatedCriteria: next }))
            }
          />
        </span>
      )}
    </span>
  );
}

/**
 * All, any, at least or at most so many of conditions; conditions may be groups again.
 */
export function GroupFields(
  props: IPart & {
    group: IGroup;
    onChange: (group: IGroup) => void;
  }
): JSX.Element {
  const { group, sets, trans, onChange } = props;
  const criteria = group.CriteriaList ?? [];
  const people = group.DemographicCriteriaList ?? [];
  const groups = group.Groups ?? [];
  const counted = group.Type === 'AT_LEAST' || group.Type === 'AT_MOST';
  const change = (next: Partial<IGroup>): void =>
    onChange({ ...group, ...next });
  const changeOne = (index: number, next: ICounted): void =>
    change({ CriteriaList: replaced(criteria, index, next) });
  const [host, focus] = useFocus<HTMLFieldSetElement>();
  const last = (kind: string) => (fieldset: HTMLElement) =>
    [
      ...fieldset.querySelectorAll(`:scope > .jp-FlipCondition.jp-mod-${kind}`)
    ].pop();
  const criterion = (label: string, added?: ICriterion): IAddition => ({
    label,
    add: () => {
      focus(last('criterion'));
      change({ CriteriaList: [...criteria, emptyCounted(added)] });
    }
  });
  const additions: ReadonlyArray<IAddition> = [
    criterion(trans.__('Records')),
    criterion(trans.__('Text'), { FlipText: { TermExists: 'Y' } }),
    criterion(trans.__('Image'), { FlipImage: {} }),
    {
      label: trans.__('Age or Sex'),
      add: () => {
        focus(last('person'));
        change({
          DemographicCriteriaList: [
            ...people,
            { Age: { Value: 18, Op: 'gte' } }
          ]
        });
      }
    },
    {
      label: trans.__('Group'),
      add: () => {
        focus(last('group'));
        const made: IGroup = { Type: 'ANY', CriteriaList: [emptyCounted()] };
        change({ Groups: [...groups, made] });
      }
    }
  ];
  const remove = (what: Partial<IGroup>): void => {
    focus(fieldset =>
      fieldset.querySelector(':scope > legend select, :scope > legend')
    );
    change(what);
  };
  return (
    <fieldset className="jp-FlipGroup" ref={host}>
      <legend>
        <select
          className="jp-mod-styled"
          aria-label={trans.__('How many of these')}
          value={group.Type}
          onChange={event => {
            const Type = event.target.value as GroupType;
            const plain = Type === 'ALL' || Type === 'ANY';
            change({ Type, Count: plain ? null : (group.Count ?? 1) });
          }}
        >
          <option value="ALL">{trans.__('ALL of')}</option>
          <option value="ANY">{trans.__('ANY of')}</option>
          <option value="AT_LEAST">{trans.__('AT LEAST')}</option>
          <option value="AT_MOST">{trans.__('AT MOST')}</option>
        </select>
        {counted && (
          <NumberInput
            label={trans.__('How many')}
            minimum={0}
            value={group.Count ?? 1}
            onChange={Count => change({ Count })}
          />
        )}
      </legend>
      {people.map((demographic, index) => (
        <Condition
          key={`person-${index}`}
          kind="person"
          trans={trans}
          onRemove={() =>
            remove({ DemographicCriteriaList: replaced(people, index, null) })
          }
        >
          <DemographicFields
            demographic={demographic}
            trans={trans}
            onChange={next =>
              change({ DemographicCriteriaList: replaced(people, index, next) })
            }
          />
        </Condition>
      ))}
      {criteria.map((item, index) => (
        <Condition
          key={`criterion-${index}`}
          kind="criterion"
          trans={trans}
          onRemove={() =>
            remove({ CriteriaList: replaced(criteria, index, null) })
          }
        >
          <CountedFields
            counted={item}
            trans={trans}
            onChange={next => changeOne(index, next)}
          >
            <CriterionFields
              criterion={item.Criteria}
              sets={sets}
              trans={trans}
              onChange={Criteria => changeOne(index, { ...item, Criteria })}
            />
          </CountedFields>
        </Condition>
      ))}
      {groups.map((inner, index) => (
        <Condition
          key={`group-${index}`}
          kind="group"
          trans={trans}
          onRemove={() => remove({ Groups: replaced(groups, index, null) })}
        >
          <GroupFields
            group={inner}
            sets={sets}
            trans={trans}
            onChange={next => change({ Groups: replaced(groups, index, next) })}
          />
        </Condition>
      ))}
      <p className="jp-FlipAdd">
        <AddMenu
          label={trans.__('Add')}
          title={trans.__('Add to this group')}
          additions={additions}
        />
      </p>
    </fieldset>
  );
}

/**
 * One part of a group, and its removal.
 */
function Condition(props: {
  kind: 'person' | 'criterion' | 'group';
  children: JSX.Element;
  onRemove: () => void;
  trans: TranslationBundle;
}): JSX.Element {
  return (
    <div className={`jp-FlipCondition jp-mod-${props.kind}`}>
      {props.children}
      <LinkButton onClick={props.onRemove}>
        {props.trans.__('Remove')}
      </LinkButton>
    </div>
  );
}
