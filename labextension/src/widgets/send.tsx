import type { TranslationBundle } from '@jupyterlab/translation';
import {
  ReactWidget,
  caretRightIcon,
  checkIcon,
  errorIcon,
  exceptionsIcon
} from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX, ReactNode } from 'react';
import { useId } from 'react';

import { CommandIDs } from '../commands';
import type { ICheckIssue, IParameter, IStudyTrust } from '../contracts';
import { boundsText, shown } from '../models/parameters';
import type { SendModel } from '../models/send';
import {
  clock,
  isUnwilling,
  runName,
  shortDigest,
  trustStateWord
} from '../models/wording';
import { LinkButton } from './linkbutton';
import { useSignal } from './signal';
import { ContactBanner } from './sidepanel';
import { RunStateIcon, ToneIcon, TrustStateIcon } from './states';

export interface ISendProps {
  model: SendModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
  /**
   * Show a cell of the notebook, by its id.
   */
  goToCell: (id: string) => void;
  /**
   * Tag the first code cell as the one with the parameters.
   */
  tagParameters: () => void;
  /**
   * Ask, then sign and send.
   */
  confirmAndSend: () => void;
}

export class SendView extends ReactWidget {
  constructor(private readonly _props: ISendProps) {
    super();
    this.addClass('jp-FlipSend');
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', _props.trans.__('Send to Trusts'));
  }

  override dispose(): void {
    if (!this.isDisposed) {
      this._props.model.dispose();
    }
    super.dispose();
  }

  protected override render(): JSX.Element {
    return <Send {...this._props} />;
  }
}

function Send(props: ISendProps): JSX.Element {
  const { model, commands, trans } = props;
  useSignal(model.changed);
  if (model.receipt !== null) {
    return <Sent {...props} />;
  }
  return (
    <div className="jp-FlipView">
      <div className="jp-FlipView-header">
        <h2>{model.path.split('/').pop()}</h2>
        <span className="jp-FlipView-note">
          {model.checked
            ? trans.__('saved and checked %1', clock(model.checked))
            : trans.__('saving…')}
        </span>
        <button
          type="button"
          className="jp-mod-styled jp-mod-reject"
          disabled={model.activity !== null}
          onClick={() => void model.check()}
        >
          {trans.__('Check Again')}
        </button>
      </div>
      <ContactBanner workbench={model.workbench} commands={commands} trans={trans} />
      {model.problem && (
        <p className="jp-FlipBanner jp-mod-error" role="alert">
          {model.problem}
        </p>
      )}
      <Checks {...props} />
      {model.draft !== null && (
        <>
          <Parameters {...props} />
          <PlanFields {...props} />
          <Trusts {...props} />
          <BundleShown {...props} />
        </>
      )}
      <Footer {...props} />
    </div>
  );
}

function Section(props: {
  title: string;
  note?: ReactNode;
  children: ReactNode;
}): JSX.Element {
  const id = useId();
  return (
    <section className="jp-FlipView-section" aria-labelledby={id}>
      <h3 id={id}>
        {props.title}
        {props.note && <span className="jp-FlipView-note">{props.note}</span>}
      </h3>
      {props.children}
    </section>
  );
}

function Checks(props: ISendProps): JSX.Element {
  const { model, trans } = props;
  const { report } = model;
  if (report === null) {
    return (
      <Section title={trans.__('Check')}>
        <p className="jp-FlipView-note">{trans.__('Looking the notebook over…')}</p>
      </Section>
    );
  }
  const errors = report.issues.filter(i => i.severity === 'error').length;
  const warnings = report.issues.length - errors;
  const note = trans.__(
    '%1, %2, %3',
    trans._n('%1 problem', '%1 problems', errors),
    trans._n('%1 warning', '%1 warnings', warnings),
    trans.__('%1 passed', report.passed.length)
  );
  return (
    <Section title={trans.__('Check')} note={note}>
      {report.issues.length === 0 ? (
        <p className="jp-FlipIssue">
          <ToneIcon icon={checkIcon} tone="success" />
          {trans.__('Nothing stands in the way.')}
        </p>
      ) : (
        <ul className="jp-FlipIssues" aria-label={trans.__('Issues')}>
          {report.issues.map((issue, index) => (
            <IssueRow key={index} issue={issue} {...props} />
          ))}
        </ul>
      )}
    </Section>
  );
}

function IssueRow(props: ISendProps & { issue: ICheckIssue }): JSX.Element {
  const { issue, trans } = props;
  const isError = issue.severity === 'error';
  const place =
    issue.cell === null
      ? ''
      : issue.line === null
        ? trans.__('Cell %1: ', issue.cell)
        : trans.__('Cell %1, line %2: ', issue.cell, issue.line);
  const cell = issue.cell_id;
  return (
    <li className="jp-FlipIssue" data-code={issue.code}>
      <ToneIcon
        icon={isError ? errorIcon : exceptionsIcon}
        tone={isError ? 'error' : 'warn'}
      />
      <span className="jp-FlipIssue-text">
        <strong>{isError ? trans.__('Problem') : trans.__('Warning')}</strong>{' '}
        {place}
        {issue.message}
      </span>
      {cell !== null && (
        <LinkButton onClick={() => props.goToCell(cell)}>
          {trans.__('Go to Cell')}
        </LinkButton>
      )}
      {issue.code === 'no-parameters-cell' && (
        <LinkButton onClick={props.tagParameters}>
          {trans.__('Tag First Code Cell')}
        </LinkButton>
      )}
      {issue.code === 'not-rehearsed' && (
        <LinkButton
          onClick={() =>
            void props.commands.execute(CommandIDs.rehearseNotebook, {
              path: props.model.path
            })
          }
        >
          {trans.__('Rehearse')}
        </LinkButton>
      )}
    </li>
  );
}

function Parameters(props: ISendProps): JSX.Element {
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
          <ParameterField key={parameter.name} parameter={parameter} {...props} />
        ))}
      </div>
    </Section>
  );
}

function ParameterField(
  props: ISendProps & { parameter: IParameter }
): JSX.Element {
  const { model, parameter, trans } = props;
  const id = useId();
  const value = model.draft?.values[parameter.name] ?? '';
  const { problem } = model.reading(parameter.name);
  const choices =
    parameter.type === 'bool' ? [true, false] : parameter.choices;
  const bounds = boundsText(trans, parameter);
  return (
    <>
      <label htmlFor={id} className="jp-FlipForm-label">
        <code>{parameter.name}</code>
      </label>
      {choices.length > 0 && !value.includes(',') ? (
        <select
          id={id}
          className="jp-mod-styled"
          value={value}
          aria-describedby={`${id}-help`}
          onChange={event => model.changeValue(parameter.name, event.target.value)}
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
          id={id}
          type="text"
          className="jp-mod-styled"
          value={value}
          inputMode={parameter.type === 'str' ? 'text' : 'decimal'}
          spellCheck={false}
          aria-invalid={problem !== ''}
          aria-describedby={`${id}-help`}
          onChange={event => model.changeValue(parameter.name, event.target.value)}
        />
      )}
      <span id={`${id}-help`} className="jp-FlipForm-help">
        {problem ? (
          <span className="jp-FlipForm-problem">
            <ToneIcon icon={errorIcon} tone="error" />
            {problem}
          </span>
        ) : (
          [parameter.help, bounds].filter(Boolean).join(', ')
        )}
      </span>
    </>
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
  const id = useId();
  return (
    <>
      <label htmlFor={id} className="jp-FlipForm-label">
        {props.label}
      </label>
      <input
        id={id}
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
      <span className="jp-FlipForm-help">{props.help}</span>
    </>
  );
}

function PlanFields(props: ISendProps): JSX.Element | null {
  const { model, trans } = props;
  const titleId = useId();
  const strategyId = useId();
  const consensusId = useId();
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
        <label htmlFor={titleId} className="jp-FlipForm-label">
          {trans.__('Title')}
        </label>
        <input
          id={titleId}
          type="text"
          className="jp-mod-styled"
          value={draft.title}
          maxLength={400}
          onChange={event => model.change({ title: event.target.value })}
        />
        <span className="jp-FlipForm-help" />
        <NumberField
          label={trans.__('Rounds')}
          value={plan.rounds}
          minimum={1}
          maximum={100000}
          step={1}
          help={trans.__('at most')}
          onChange={rounds => model.changePlan({ rounds })}
        />
        <label htmlFor={strategyId} className="jp-FlipForm-label">
          {trans.__('Strategy')}
        </label>
        <select
          id={strategyId}
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
        <span className="jp-FlipForm-help">
          {plan.aggregation === 'individual'
            ? trans.__('the hub sees each Trust’s update by itself')
            : trans.__('updates are only ever added up')}
        </span>
        {Object.entries(strategy?.parameters ?? {}).map(([parameter, range]) => (
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
                  parameters: { ...plan.strategy?.parameters, [parameter]: value }
                }
              })
            }
          />
        ))}
        <NumberField
          label={trans.__('Clip norm')}
          value={plan.clip_norm}
          minimum={0.000001}
          maximum={1048576}
          step="any"
          help={trans.__('bounds one Trust’s change of the weights in one round')}
          onChange={clip_norm => model.changePlan({ clip_norm })}
        />
        <label htmlFor={consensusId} className="jp-FlipForm-label">
          {trans.__('Stop on agreement')}
        </label>
        <input
          id={consensusId}
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
        <span className="jp-FlipForm-help">
          {trans.__('end when every Trust’s own model concludes as the global one')}
        </span>
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
        <NumberField
          label={trans.__('Seed of the split')}
          value={draft.seed}
          minimum={0}
          maximum={2147483647}
          step={1}
          onChange={seed => model.change({ seed })}
        />
      </div>
    </Section>
  );
}

function Trusts(props: ISendProps): JSX.Element {
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

function BundleShown(props: ISendProps): JSX.Element {
  const { model, trans } = props;
  const { preview } = model;
  if (preview === null) {
    return (
      <Section title={trans.__('Bundle')}>
        <p className="jp-FlipView-note" role="status">
          {model.activity === 'preparing'
            ? trans.__('Making the exact bundle…')
            : model.obstacle || trans.__('It is made when the form is complete.')}
        </p>
      </Section>
    );
  }
  return (
    <Section
      title={trans.__('Bundle')}
      note={trans.__('%1 kB', Math.ceil(preview.size / 1000))}
    >
      <p className="jp-FlipDigest">
        <code title={preview.bundle}>{preview.bundle}</code>
        <LinkButton onClick={() => void navigator.clipboard.writeText(preview.bundle)}>
          {trans.__('Copy Digest')}
        </LinkButton>
      </p>
      <details className="jp-FlipContents">
        <summary>
          <caretRightIcon.react tag="span" width="14px" />
          {trans.__('View Contents: exactly what each Trust will be shown')}
        </summary>
        <pre tabIndex={0}>{JSON.stringify(preview.content, null, 2)}</pre>
      </details>
    </Section>
  );
}

function Footer(props: ISendProps): JSX.Element {
  const { model, trans } = props;
  const ready = model.preview !== null && model.activity === null;
  const obstacle = model.obstacle;
  return (
    <div className="jp-FlipView-footer">
      <span role="status" className="jp-FlipView-note">
        {obstacle ||
          (model.runs > 1
            ? trans.__('%1 runs, a sweep', model.runs)
            : trans.__('1 run'))}
      </span>
      <button
        type="button"
        className="jp-mod-styled jp-mod-accept"
        disabled={!ready || obstacle !== ''}
        onClick={props.confirmAndSend}
      >
        {model.activity === 'sending'
          ? trans.__('Sending…')
          : trans._n(
              'Sign and Send to %1 Trust',
              'Sign and Send to %1 Trusts',
              model.chosen.length
            )}
      </button>
    </div>
  );
}

function Sent(props: ISendProps): JSX.Element {
  const { model, commands, trans } = props;
  const runs = model.sent;
  return (
    <div className="jp-FlipView">
      <div className="jp-FlipView-header">
        <h2>{trans.__('Sent to %1 Trusts', runs[0]?.trusts.length ?? 0)}</h2>
        <span className="jp-FlipView-note">
          {trans.__('bundle %1', shortDigest(model.receipt?.bundle ?? ''))}
        </span>
        <button
          type="button"
          className="jp-mod-styled jp-mod-reject"
          onClick={() => void model.again()}
        >
          {trans.__('Change and Send Again')}
        </button>
      </div>
      <p>
        {trans.__(
          'Each Trust decides. Nothing runs there before. You can close Lab.'
        )}
      </p>
      <ul className="jp-FlipIssues">
        {runs.map(run => (
          <li key={run.run} className="jp-FlipIssue">
            <RunStateIcon state={run.state} />
            <span className="jp-FlipIssue-text">{runName(run, runs)}</span>
            <LinkButton
              onClick={() =>
                void commands.execute(CommandIDs.openRun, { run: run.run })
              }
            >
              {trans.__('Open Run')}
            </LinkButton>
          </li>
        ))}
      </ul>
      <Receipts {...props} />
    </div>
  );
}

/**
 * What each Trust has said to the bundle so far; why, where it would have none of it.
 */
function Receipts(props: ISendProps): JSX.Element {
  const { model, trans } = props;
  const parts = model.sent[0]?.trusts ?? [];
  return (
    <table className="jp-FlipTable">
      <caption className="jp-FlipHidden">{trans.__('Receipts')}</caption>
      <thead>
        <tr>
          <th scope="col">{trans.__('Trust')}</th>
          <th scope="col">{trans.__('State')}</th>
          <th scope="col">{trans.__('Why')}</th>
        </tr>
      </thead>
      <tbody>
        {parts.map(part => (
          <tr key={part.trust}>
            <th scope="row" className="jp-FlipTable-state">
              <TrustStateIcon state={part.state} />
              {model.workbench.trustTitle(part.trust)}
            </th>
            <td>{trustStateWord(trans, part.state)}</td>
            <td>{isUnwilling(part) ? part.reason : ''}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
