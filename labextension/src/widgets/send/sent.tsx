import type { JSX } from 'react';

import { CommandIDs } from '../../commands';
import { runName } from '../../models/naming';
import { isUnwilling, shortDigest, trustStateWord } from '../../models/wording';
import { LinkButton } from '../parts/linkbutton';
import { RunStateIcon, TrustStateIcon } from '../parts/states';
import type { ISendProps } from './section';

/**
 * What was sent, and what has become of it.
 */
export function Sent(props: ISendProps): JSX.Element {
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
            <span className="jp-FlipIssue-text">{runName(run)}</span>
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
            <td>
              {isUnwilling(part) || part.state === 'waiting' ? part.reason : ''}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
