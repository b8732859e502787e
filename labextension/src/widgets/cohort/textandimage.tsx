import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import type {
  IConceptSet,
  IFields,
  IImageFeature,
  ISelection,
  TermExists,
  TermTemporal
} from '../../models/definition';
import { replaced } from '../../models/definition';
import { LinkButton } from '../parts/linkbutton';
import { RangeFields } from './rangefields';

/**
 * One of the definition's concept sets, or none.
 */
export function SetChoice(props: {
  label: string;
  /** What stands for no choice; without it one has to be chosen. */
  any?: string;
  chosen: number | null;
  sets: ReadonlyArray<IConceptSet>;
  onChange: (set: number | null) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { label, any, chosen, sets, onChange, trans } = props;
  return (
    <select
      className="jp-mod-styled"
      aria-label={label}
      value={chosen ?? ''}
      onChange={event =>
        onChange(event.target.value === '' ? null : Number(event.target.value))
      }
    >
      {any !== undefined && <option value="">{any}</option>}
      {sets.map(set => (
        <option key={set.id} value={set.id}>
          {set.name || trans.__('Concept set %1', set.id)}
        </option>
      ))}
    </select>
  );
}

/**
 * The unit that a number is in, by a concept set.
 */
export function UnitChoice(props: {
  fields: { UnitCS?: ISelection | null };
  sets: ReadonlyArray<IConceptSet>;
  onChange: (unit: ISelection | null) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { fields, sets, onChange, trans } = props;
  return (
    <SetChoice
      label={trans.__('Unit')}
      any={trans.__('any unit')}
      chosen={fields.UnitCS?.CodesetId ?? null}
      sets={sets}
      trans={trans}
      onChange={CodesetId =>
        onChange(CodesetId === null ? null : { CodesetId })
      }
    />
  );
}

/**
 * What the notes say of a concept: that the patient has it or not, now or in the past.
 */
export function TextFields(props: {
  fields: IFields;
  onChange: (fields: Partial<IFields>) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { fields, onChange, trans } = props;
  return (
    <>
      <select
        className="jp-mod-styled"
        aria-label={trans.__('Asserted or negated')}
        value={fields.TermExists ?? ''}
        onChange={event =>
          onChange({ TermExists: (event.target.value as TermExists) || null })
        }
      >
        <option value="Y">{trans.__('asserted')}</option>
        <option value="N">{trans.__('negated')}</option>
        <option value="">{trans.__('asserted or not')}</option>
      </select>
      <select
        className="jp-mod-styled"
        aria-label={trans.__('Present or past')}
        value={fields.TermTemporal ?? ''}
        onChange={event =>
          onChange({
            TermTemporal: (event.target.value as TermTemporal) || null
          })
        }
      >
        <option value="">{trans.__('present or past')}</option>
        <option value="present">{trans.__('present')}</option>
        <option value="past">{trans.__('past')}</option>
      </select>
    </>
  );
}

/**
 * Features that an image has, all of them: of which concepts, with which number in which unit.
 */
export function FeatureFields(props: {
  features: ReadonlyArray<IImageFeature>;
  sets: ReadonlyArray<IConceptSet>;
  onChange: (features: IImageFeature[]) => void;
  trans: TranslationBundle;
}): JSX.Element {
  const { features, sets, onChange, trans } = props;
  const first = sets[0];
  return (
    <>
      {features.map((feature, index) => {
        const change = (next: Partial<IImageFeature> | null): void =>
          onChange(replaced(features, index, next && { ...feature, ...next }));
        return (
          <span className="jp-FlipCriterion" key={index}>
            {trans.__('with')}
            <SetChoice
              label={trans.__('Feature %1', index + 1)}
              chosen={feature.CodesetId}
              sets={sets}
              trans={trans}
              onChange={CodesetId =>
                CodesetId !== null && change({ CodesetId })
              }
            />
            <RangeFields
              label={trans.__('Value')}
              range={feature.ValueAsNumber ?? null}
              trans={trans}
              onChange={ValueAsNumber => change({ ValueAsNumber })}
            />
            <UnitChoice
              fields={feature}
              sets={sets}
              trans={trans}
              onChange={UnitCS => change({ UnitCS })}
            />
            <LinkButton onClick={() => change(null)}>
              {trans.__('Remove Feature')}
            </LinkButton>
          </span>
        );
      })}
      <LinkButton
        disabled={first === undefined}
        title={
          first === undefined
            ? trans.__('Add a concept set for the feature first')
            : undefined
        }
        onClick={() =>
          first && onChange([...features, { CodesetId: first.id }])
        }
      >
        {trans.__('Add Feature')}
      </LinkButton>
    </>
  );
}
