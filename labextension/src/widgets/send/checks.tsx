import {
  checkIcon,
  errorIcon,
  exceptionsIcon
} from '@jupyterlab/ui-components';
import type { JSX } from 'react';

import { CommandIDs } from '../../commands';
import type { ICheckIssue } from '../../contracts';
import { LinkButton } from '../parts/linkbutton';
import { ToneIcon } from '../parts/states';
import type { ISendProps } from './section';
import { Section } from './section';

/**
 * What the checks found, with links to cells and what mends it.
 */
export function Checks(props: ISendProps): JSX.Element {
  const { model, trans } = props;
  const { report } = model;
  if (report === null) {
    return (
      <Section title={trans.__('Check')}>
        <p className="jp-FlipView-note">
          {trans.__('Looking the notebook over…')}
        </p>
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
      {issue.code === 'no-plan' && (
        <LinkButton
          onClick={() => {
            const { path } = props.model;
            void props.commands
              .execute(CommandIDs.makePlan, { path })
              .then(() => props.model.check());
          }}
        >
          {props.commands.label(CommandIDs.makePlan)}
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
