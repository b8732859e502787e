import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX, KeyboardEvent } from 'react';
import { useId, useState } from 'react';

import type { CohortModel } from '../../models/cohort';
import type { ISwitchedRule } from '../../models/cohortstate';
import { groupText } from '../../models/cohortwords';
import type { IConceptSet, IRule } from '../../models/definition';
import { emptyRule, moved, replaced } from '../../models/definition';
import { childAt, useFocus } from '../parts/focus';
import { LinkButton } from '../parts/linkbutton';
import { GroupFields } from './criteria';
import { LimitChoice } from './limit';
import { NameRow } from './namerow';
import { StepNumber } from './steps';

const WRITING = 'input:not([type="checkbox"]), select, textarea';

/**
 * Whom to keep: an ordered list of rules, closed, each with its switch and how many are left after it.
 */
export function Rules(props: {
  model: CohortModel;
  trans: TranslationBundle;
}): JSX.Element {
  const { model, trans } = props;
  const { rules, definition } = model;
  const [list, focus] = useFocus<HTMLOListElement>();
  const set = (next: ISwitchedRule[]): void => model.setRules(next);

  function remove(index: number): void {
    focus(childAt(index));
    set(replaced(rules, index, null));
  }

  function press(event: KeyboardEvent, index: number): void {
    const { target, key } = event;
    const writes = target instanceof Element && target.matches(WRITING);
    if (event.altKey && (key === 'ArrowUp' || key === 'ArrowDown')) {
      const by = key === 'ArrowUp' ? -1 : 1;
      const to = Math.min(Math.max(index + by, 0), rules.length - 1);
      focus(host => host.children[to]?.querySelector('summary'));
      set(moved(rules, index, by));
    } else if (key === 'Delete' && !writes) {
      remove(index);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }

  return (
    <section className="jp-FlipView-section">
      <h3 className="jp-FlipLine">
        <span className="jp-FlipLine-text">
          {trans.__('Keep those with ALL of')}
        </span>
        <LinkButton
          aria-label={trans.__('Add Rule')}
          onClick={() => {
            focus(childAt(rules.length));
            set([...rules, { on: true, rule: emptyRule() }]);
          }}
        >
          {trans.__('+ Add Rule')}
        </LinkButton>
      </h3>
      <ol
        className="jp-FlipList"
        ref={list}
        aria-label={trans.__('Rules, in their order')}
      >
        {rules.map(({ on, rule }, index) => (
          <li key={index} onKeyDown={event => press(event, index)}>
            <RuleFields
              rule={rule}
              on={on}
              number={index + 1}
              step={
                on ? rules.slice(0, index + 1).filter(one => one.on).length : 0
              }
              model={model}
              sets={definition.ConceptSets ?? []}
              trans={trans}
              onSwitch={next => set(replaced(rules, index, { on: next, rule }))}
              onChange={next =>
                next === null
                  ? remove(index)
                  : set(replaced(rules, index, { on, rule: next }))
              }
            />
          </li>
        ))}
      </ol>
      <p className="jp-FlipCriterion">
        {trans.__('Of what is left, of each person')}
        <LimitChoice
          label={trans.__('Which of the periods that are kept')}
          limit={definition.ExpressionLimit}
          trans={trans}
          onChange={ExpressionLimit =>
            model.edit({ ...definition, ExpressionLimit })
          }
        />
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
  step: number;
  model: CohortModel;
  sets: ReadonlyArray<IConceptSet>;
  onSwitch: (on: boolean) => void;
  onChange: (rule: IRule | null) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { rule, on, number, step, model, sets, onSwitch, onChange, trans } =
    props;
  const id = useId();
  const words = groupText(trans, rule.expression, sets);
  const [isNew] = useState(
    rule.name === '' &&
      Object.values(rule.expression).every(
        part => !Array.isArray(part) || part.length === 0
      )
  );
  return (
    <div className={on ? 'jp-FlipRule' : 'jp-FlipRule jp-mod-off'}>
      <label className="jp-FlipCheck jp-FlipRule-switch">
        <input
          type="checkbox"
          role="switch"
          checked={on}
          aria-label={trans.__('Rule %1 counts', number)}
          aria-describedby={`${id}-line`}
          onChange={event => onSwitch(event.target.checked)}
        />
        <span aria-hidden="true">{on ? trans.__('on') : trans.__('off')}</span>
      </label>
      <details className="jp-FlipRule-body" open={isNew}>
        <summary className="jp-FlipLine" title={words}>
          <span className="jp-FlipLine-text" id={`${id}-line`}>
            {rule.name || words}
          </span>
          {on && <StepNumber model={model} step={step} trans={trans} />}
        </summary>
        <NameRow
          label={trans.__('Name of rule %1', number)}
          placeholder={trans.__('Name of the rule')}
          name={rule.name}
          onName={name => onChange({ ...rule, name })}
          removal={trans.__('Remove Rule')}
          onRemove={() => onChange(null)}
        />
        {rule.description && (
          <p className="jp-FlipView-note">{rule.description}</p>
        )}
        <GroupFields
          group={rule.expression}
          sets={sets}
          trans={trans}
          onChange={expression => onChange({ ...rule, expression })}
        />
      </details>
    </div>
  );
}
