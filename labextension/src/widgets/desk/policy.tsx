import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';

import type { IDeskStatus } from '../../contracts';

/**
 * What this Trust allows at all, field by field, by the names of policy.json.
 */
export function Policy(props: {
  status: IDeskStatus | null;
  trans: TranslationBundle;
}): JSX.Element {
  const { status, trans } = props;
  if (status === null) {
    return (
      <p className="jp-FlipEmpty">{trans.__('No policy is known yet.')}</p>
    );
  }
  return (
    <>
      <p className="jp-FlipView-note">
        {trans.__(
          'From policy.json in the enclave. Whoever changes it ends all approvals.'
        )}{' '}
        <code>{status.policy_digest}</code>
      </p>
      <table className="jp-FlipTable">
        <thead>
          <tr>
            <th scope="col">{trans.__('Field')}</th>
            <th scope="col" className="jp-mod-number">
              {trans.__('Value')}
            </th>
          </tr>
        </thead>
        <tbody>
          {fieldsOf(status.policy).map(([name, value]) => (
            <tr key={name}>
              <th scope="row">
                <code>{name}</code>
              </th>
              <td className="jp-mod-number">{value}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}

/**
 * Names and values as text; of what holds others, those, by both names.
 */
function fieldsOf(document: object, within = ''): [string, string][] {
  return Object.entries(document).flatMap(
    ([name, value]: [string, unknown]): [string, string][] =>
      typeof value === 'object' && value !== null
        ? fieldsOf(value, `${within}${name}.`)
        : [[`${within}${name}`, String(value)]]
  );
}
