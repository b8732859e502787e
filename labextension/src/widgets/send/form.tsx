import { errorIcon } from '@jupyterlab/ui-components';
import type { JSX } from 'react';

import type { IParameter, IStudyTrust } from '../../contracts';
import { helpText, shown } from '../../models/parameters';
import { Field } from '../parts/field';
import { ToneIcon } from '../parts/states';
import type { ISendProps } from './section';
import { Section } from './section';

/**
 * The values of the parameters, typed, as one run or a sweep.
 */
export function Parameters(props: ISendProps): JSX.Element {
  const { model, trans } = props;
  const parameters = model.report?.parameters ?? [];
  return (
    <Section
      title={trans.__('Parameters')}
      note={
        model.runs > 1
          ? trans.__('a sweep of %1 runs', model.runs)
          : trans.__('several values with commas make a sweep')
      }
    >
      {parameters.length === 0 && (
        <p className="jp-FlipView-note">{trans.__('The notebook has none.')}</p>
      )}
      <div className="jp-FlipForm">
        {parameters.map(parameter => (
          <ParameterField
            key={parameter.name}
            parameter={parameter}
            {...props}
          />
        ))}
      </div>
    </Section>
  );
}

function ParameterField(
  props: ISendProps & { parameter: IParameter }
): JSX.Element {
  const { model, parameter, trans } = props;
  const value = model.draft?.values[parameter.name] ?? '';
  const { problem } = model.reading(parameter.name);
  const choices = parameter.type === 'bool' ? [true, false] : parameter.choices;
  const help = problem ? (
    <span className="jp-FlipForm-problem">
      <ToneIcon icon={errorIcon} tone="error" />
      {problem}
    </span>
  ) : (
    helpText(trans, parameter)
  );
  return (
    <Field label={<code>{parameter.name}</code>} help={help}>
      {input =>
        choices.length > 0 && !value.includes(',') ? (
          <select
            {...input}
            className="jp-mod-styled"
            value={value}
            onChange={event =>
              model.changeValue(parameter.name, event.target.value)
            }
          >
            {choices.map(choice => (
              <option key={shown(choice)} value={shown(choice)}>
                {shown(choice)}
              </option>
            ))}
            {choices.length > 1 && (
              <option value={choices.map(shown).join(', ')}>
                {trans.__('all of them, as a sweep')}
              </option>
            )}
          </select>
        ) : (
          <input
            {...input}
            type="text"
            className="jp-mod-styled"
            value={value}
            inputMode={parameter.type === 'str' ? 'text' : 'decimal'}
            spellCheck={false}
            aria-invalid={problem !== ''}
            onChange={event =>
              model.changeValue(parameter.name, event.target.value)
            }
          />
        )
      }
    </Field>
  );
}

function NumberField(props: {
  label: string;
  value: number;
  minimum: number;
  maximum: number;
  step: number | 'any';
  help?: string;
  onChange: (value: number) => void;
}): JSX.Element {
  return (
    <Field label={props.label} help={props.help}>
      {input => (
        <input
          {...input}
          type="number"
          className="jp-mod-styled"
          defaultValue={props.value}
          min={props.minimum}
          max={props.maximum}
          step={props.step}
          onChange={event => {
            if (event.target.value !== '' && event.target.validity.valid) {
              props.onChange(event.target.valueAsNumber);
            }
          }}
        />
      )}
    </Field>
  );
}

/**
 * The plan's fields; nothing before its file was read.
 */
export function PlanFields(props: ISendProps): JSX.Element | null {
  const { model, trans } = props;
  const draft = model.draft;
  if (draft === null) {
    return null;
  }
  const { plan } = draft;
  const name = plan.strategy?.name ?? 'FedAvg';
  const strategy = model.strategies.find(known => known.name === name);
  const consensus = plan.consensus ?? null;
  return (
    <Section title={trans.__('Plan')} note={model.report?.plan?.cohort}>
      <div className="jp-FlipForm">
        <Field label={trans.__('Title')}>
          {input => (
            <input
              {...input}
              type="text"
              className="jp-mod-styled"
              value={draft.title}
              maxLength={400}
              onChange={event => model.change({ title: event.target.value })}
            />
          )}
        </Field>
        <NumberField
          label={trans.__('Rounds')}
          value={plan.rounds}
          minimum={1}
          maximum={100000}
          step={1}
          help={trans.__('at most')}
          onChange={rounds => model.changePlan({ rounds })}
        />
        <Field
          label={trans.__('Strategy')}
          help={
            plan.aggregation === 'individual'
              ? trans.__('the hub sees each Trust’s update by itself')
              : trans.__('updates are only ever added up')
          }
        >
          {input => (
            <select
              {...input}
              className="jp-mod-styled"
              value={name}
              onChange={event => {
                const chosen = model.strategies.find(
                  known => known.name === event.target.value
                );
                if (chosen) {
                  model.changePlan({
                    strategy: { name: chosen.name, parameters: {} },
                    aggregation: chosen.aggregation
                  });
                }
              }}
            >
              {model.strategies.map(known => (
                <option key={known.name} value={known.name}>
                  {known.name}
                </option>
              ))}
              {strategy === undefined && <option value={name}>{name}</option>}
            </select>
          )}
        </Field>
        {Object.entries(strategy?.parameters ?? {}).map(
          ([parameter, range]) => (
            <NumberField
              key={`${name}.${parameter}`}
              label={parameter}
              value={plan.strategy?.parameters?.[parameter] ?? NaN}
              minimum={range.minimum}
              maximum={range.maximum}
              step={range.whole ? 1 : 'any'}
              help={trans.__('empty: Flower’s own default')}
              onChange={value =>
                model.changePlan({
                  strategy: {
                    name,
                    parameters: {
                      ...plan.strategy?.parameters,
                      [parameter]: value
                    }
                  }
                })
              }
            />
          )
        )}
        <NumberField
          label={trans.__('Clip norm')}
          value={plan.clip_norm}
          minimum={0.000001}
          maximum={1048576}
          step="any"
          help={trans.__(
            'bounds one Trust’s change of the weights in one round'
          )}
          onChange={clip_norm => model.changePlan({ clip_norm })}
        />
        <Field
          label={trans.__('Stop on agreement')}
          help={trans.__(
            'end when every Trust’s own model concludes as the global one'
          )}
        >
          {input => (
            <input
              {...input}
              type="checkbox"
              checked={consensus !== null}
              onChange={event =>
                model.changePlan({
                  consensus: event.target.checked
                    ? { measure: 'agreement', threshold: 0.99, rounds: 2 }
                    : null
                })
              }
            />
          )}
        </Field>
        {consensus !== null && (
          <>
            <NumberField
              label={trans.__('Agreement')}
              value={consensus.threshold ?? 0.99}
              minimum={0.0001}
              maximum={1}
              step="any"
              onChange={threshold =>
                model.changePlan({ consensus: { ...consensus, threshold } })
              }
            />
            <NumberField
              label={trans.__('Rounds in a row')}
              value={consensus.rounds ?? 2}
              minimum={1}
              maximum={1000}
              step={1}
              onChange={rounds =>
                model.changePlan({ consensus: { ...consensus, rounds } })
              }
            />
          </>
        )}
        <Field
          label={trans.__('Seed of the split')}
          help={
            model.seeds.problem ? (
              <span className="jp-FlipForm-problem">
                <ToneIcon icon={errorIcon} tone="error" />
                {model.seeds.problem}
              </span>
            ) : (
              trans.__('several with commas make a sweep, under one approval')
            )
          }
        >
          {input => (
            <input
              {...input}
              type="text"
              className="jp-mod-styled"
              inputMode="numeric"
              spellCheck={false}
              value={draft.seeds}
              aria-invalid={model.seeds.problem !== ''}
              onChange={event => model.change({ seeds: event.target.value })}
            />
          )}
        </Field>
      </div>
    </Section>
  );
}

/**
 * The Trusts to send to, each with what stands against it, and how many must take part.
 */
export function Trusts(props: ISendProps): JSX.Element {
  const { model, trans } = props;
  return (
    <Section
      title={trans.__('Trusts')}
      note={trans.__(
        '%1 of %2',
        model.chosen.length,
        model.workbench.trusts.length
      )}
    >
      <ul className="jp-FlipTrusts">
        {model.workbench.trusts.map(trust => (
          <TrustRow key={trust.key} trust={trust} {...props} />
        ))}
      </ul>
      <div className="jp-FlipForm">
        <NumberField
          key={model.chosen.length}
          label={trans.__('Starts with')}
          value={model.minimumTrusts}
          minimum={1}
          maximum={Math.max(1, model.chosen.length)}
          step={1}
          help={trans.__('Trusts at least')}
          onChange={minimumTrusts => model.change({ minimumTrusts })}
        />
      </div>
    </Section>
  );
}

function TrustRow(props: ISendProps & { trust: IStudyTrust }): JSX.Element {
  const { model, trust, trans } = props;
  const issues = model.issuesOf(trust);
  const blocked = model.isBlocked(trust);
  return (
    <li className="jp-FlipTrusts-row">
      <label>
        <input
          type="checkbox"
          checked={model.chosen.includes(trust)}
          disabled={blocked}
          onChange={() => model.toggleTrust(trust)}
        />
        {trust.title}
      </label>
      <span className="jp-FlipView-note">
        {issues.length > 0
          ? issues.map(issue => issue.message).join(' ')
          : trust.online
            ? trans.__('online')
            : trans.__('offline')}
      </span>
    </li>
  );
}
