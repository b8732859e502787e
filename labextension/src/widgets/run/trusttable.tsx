import type { JSX } from 'react';
import { useEffect } from 'react';

import type { ITrustPart } from '../../contracts';
import { sharesOf } from '../../models/curves';
import type { RunModel } from '../../models/run';
import { memoryText, progressText } from '../../models/sentences';
import type { Share } from '../../models/wording';
import {
  aliveText,
  clock,
  failureText,
  hasEnded,
  shareText,
  trustStateWord
} from '../../models/wording';
import { TrustStateIcon } from '../parts/states';
import type { IViewed } from './run';

const LOOK_MILLISECONDS = 10_000;

/**
 * A Trust's sign of life is the hub's word of when it last asked for tasks, which no notebook has a part in.
 */
function useSignsOfLife(model: RunModel, ended: boolean): void {
  useEffect(() => {
    if (ended) {
      return;
    }
    const timer = setInterval(() => void model.look(), LOOK_MILLISECONDS);
    return () => clearInterval(timer);
  }, [model, ended]);
}

/**
 * Each Trust's part of a run: state, progress, share, and when it was heard.
 */
export function TrustTable(props: IViewed): JSX.Element {
  const { model, view, trans } = props;
  useSignsOfLife(model, hasEnded(view));
  const measured = view.trusts.some(
    part => memoryText(trans, part.progress) !== null
  );
  const shares = sharesOf(model.rounds);
  return (
    <div className="jp-FlipTable-scroll" tabIndex={0}>
      <table className="jp-FlipTable">
        <thead>
          <tr>
            <th scope="col">{trans.__('Trust')}</th>
            <th scope="col">{trans.__('State')}</th>
            <th scope="col">{trans.__('Progress')}</th>
            {shares.size > 0 && (
              <th scope="col" className="jp-mod-number jp-mod-spare">
                {trans.__('Share of people')}
              </th>
            )}
            {measured && (
              <th scope="col" className="jp-mod-number jp-mod-spare">
                {trans.__('Memory, at most')}
              </th>
            )}
            <th scope="col" className="jp-mod-number">
              {trans.__('Heard')}
            </th>
          </tr>
        </thead>
        <tbody>
          {view.trusts.map(part => (
            <TrustLine
              key={part.trust}
              part={part}
              measured={measured}
              shares={shares}
              {...props}
            />
          ))}
        </tbody>
      </table>
      {view.state === 'waiting' && (
        <p className="jp-FlipView-note">
          {trans.__(
            'Nothing runs at a Trust before its data controller approves. You can close Lab.'
          )}
        </p>
      )}
      {model.workbench.trusts.length === 0 && view.trusts.length === 0 && (
        <p>{trans.__('No Trust takes part.')}</p>
      )}
    </div>
  );
}

function TrustLine(
  props: IViewed & {
    part: ITrustPart;
    measured: boolean;
    shares: ReadonlyMap<string, Share>;
  }
): JSX.Element {
  const { model, part, view, shares, trans } = props;
  const share = shares.get(part.trust);
  const last = [...model.events]
    .reverse()
    .find(event => event.trust === part.trust);
  const known = model.workbench.trusts.find(trust => trust.key === part.trust);
  const why = part.failure ? failureText(trans, part.failure) : part.reason;
  return (
    <tr>
      <th scope="row" className="jp-FlipTable-state">
        <TrustStateIcon state={part.state} />
        {model.workbench.trustTitle(part.trust)}
      </th>
      <td>
        {trustStateWord(trans, part.state)}
        {known && !known.online && part.state !== 'finished' && (
          <span className="jp-FlipView-note">{trans.__(' (offline)')}</span>
        )}
      </td>
      <td>
        {why ??
          (part.progress
            ? progressText(trans, part.progress, view.rounds)
            : '')}
        {why === null && typeof part.progress?.eighths === 'number' && (
          <progress
            className="jp-FlipEighths"
            max={8}
            value={part.progress.eighths}
            aria-label={trans.__('Epochs of this round')}
          />
        )}
      </td>
      {shares.size > 0 && (
        <td className="jp-mod-number jp-mod-spare">
          {share && shareText(trans, share)}
        </td>
      )}
      {props.measured && (
        <td className="jp-mod-number jp-mod-spare">
          {memoryText(trans, part.progress) ?? trans.__('kept inside')}
        </td>
      )}
      <td className="jp-mod-number">
        {hasEnded(view) || part.state === 'finished'
          ? last && clock(last.at)
          : aliveText(trans, part.heard, Date.now())}
      </td>
    </tr>
  );
}
