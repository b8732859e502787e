import type { TranslationBundle } from '@jupyterlab/translation';
import {
  checkIcon,
  errorIcon,
  lockIcon,
  notTrustedIcon,
  trustedIcon
} from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX } from 'react';
import { useState } from 'react';

import { CommandIDs } from '../../commands';
import type { IDeskRun, IImageCount, IRequestSummary } from '../../contracts';
import {
  ago,
  clock,
  failureText,
  shortDigest,
  trustStateWord
} from '../../models/wording';
import type { IDesk } from '../../tokens';
import { LinkButton } from '../parts/linkbutton';
import { Problem } from '../parts/problem';
import { Region } from '../parts/region';
import { useSignal } from '../parts/signal';
import { TrustStateIcon, ToneIcon } from '../parts/states';
import { Tabs } from '../parts/tabs';
import { Policy } from './policy';

/**
 * What the views of the desk are made of.
 */
export interface IDeskProps {
  desk: IDesk;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

const UNDECIDED: ReadonlySet<IRequestSummary['state']> = new Set(['waiting']);
const BEFORE_A_DECISION: ReadonlySet<IDeskRun['state']> = new Set([
  'notified',
  'waiting'
]);
const GOING_ON: ReadonlySet<IDeskRun['state']> = new Set([
  'approved',
  'queued',
  'starting',
  'running',
  'left-out'
]);

/**
 * The desk of a Trust's data controller: what waits, what runs here, what was decided.
 */
export class DeskView extends Region<IDeskProps> {
  constructor(props: IDeskProps) {
    const look = { className: 'jp-FlipDesk', label: props.trans.__('Desk') };
    super(Desk, props, look);
  }
}

function Desk(props: IDeskProps): JSX.Element {
  const { desk, commands, trans } = props;
  useSignal(desk.changed);
  const [tab, setTab] = useState('waiting');
  const waiting = desk.requests.filter(request => UNDECIDED.has(request.state));
  const decided = desk.requests.filter(
    request => !UNDECIDED.has(request.state)
  );
  const running = desk.runs.filter(run => GOING_ON.has(run.state));
  const ended = desk.runs.filter(
    run => !GOING_ON.has(run.state) && !BEFORE_A_DECISION.has(run.state)
  );
  const title = desk.status?.title ?? '';
  return (
    <div className="jp-FlipView">
      <div className="jp-FlipView-header">
        <h2>{trans.__('Desk at %1', title)}</h2>
        <button
          type="button"
          className="jp-mod-styled jp-mod-reject"
          onClick={() => void commands.execute(CommandIDs.showImages)}
        >
          {trans.__('Held Images %1', desk.status?.images_waiting ?? 0)}
        </button>
        <button
          type="button"
          className="jp-mod-styled jp-mod-reject"
          onClick={() => void commands.execute(CommandIDs.openAudit)}
        >
          {trans.__('Audit Log')}
        </button>
      </div>
      <DeskBanner {...props} />
      <Tabs
        label={trans.__('Desk')}
        chosen={tab}
        onChoose={setTab}
        tabs={[
          {
            id: 'waiting',
            label: trans.__('Waiting %1', waiting.length),
            content: (
              <Requests
                {...props}
                requests={waiting}
                empty={trans.__(
                  'Nothing waits for you. New requests appear by themselves.'
                )}
              />
            )
          },
          {
            id: 'running',
            label: trans.__('Running %1', running.length),
            content: (
              <Runs
                {...props}
                runs={running}
                empty={trans.__('Nothing runs here.')}
              />
            )
          },
          {
            id: 'ended',
            label: trans.__('Ended %1', ended.length),
            content: (
              <Runs
                {...props}
                runs={ended}
                empty={trans.__('Nothing has run here yet.')}
              />
            )
          },
          {
            id: 'decided',
            label: trans.__('Decided or over %1', decided.length),
            content: (
              <Requests
                {...props}
                requests={decided}
                empty={trans.__(
                  'Nothing was decided yet, and nothing is over.'
                )}
              />
            )
          },
          {
            id: 'policy',
            label: trans.__('Policy'),
            content: <Policy status={desk.status} trans={trans} />
          }
        ]}
      />
    </div>
  );
}

/**
 * What is wrong with the enclave's agent or its contact to the hub, where something is.
 */
export function DeskBanner(props: IDeskProps): JSX.Element | null {
  const { desk, trans } = props;
  useSignal(desk.changed);
  if (desk.problem) {
    return <Problem text={desk.problem} />;
  }
  return desk.status !== null && !desk.status.hub_reachable ? (
    <p className="jp-FlipBanner jp-mod-warn" role="status">
      {trans.__(
        'No contact with the hub. What you decide is kept, and sent when it is back.'
      )}
    </p>
  ) : null;
}

function Requests(
  props: IDeskProps & {
    requests: ReadonlyArray<IRequestSummary>;
    empty: string;
  }
): JSX.Element {
  const { requests, commands, trans } = props;
  if (requests.length === 0) {
    return <p className="jp-FlipEmpty">{props.empty}</p>;
  }
  return (
    <table className="jp-FlipTable">
      <thead>
        <tr>
          <th scope="col">{trans.__('Request')}</th>
          <th scope="col">{trans.__('Study')}</th>
          <th scope="col">{trans.__('Researcher')}</th>
          <th scope="col">{trans.__('State')}</th>
          <th scope="col">{trans.__('Came')}</th>
        </tr>
      </thead>
      <tbody>
        {requests.map(request => (
          <tr key={request.bundle}>
            <td>
              <LinkButton
                title={request.bundle}
                onClick={() =>
                  void commands.execute(CommandIDs.openRequest, {
                    bundle: request.bundle
                  })
                }
              >
                {request.title}
              </LinkButton>{' '}
              <code>{shortDigest(request.bundle)}</code>
            </td>
            <td>{request.study}</td>
            <td>{request.researcher}</td>
            <td>
              <RequestState request={request} trans={trans} />{' '}
              <ApprovedBy request={request} trans={trans} />
            </td>
            <td title={clock(request.received)}>
              {ago(trans, request.received)}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/**
 * A request's state as icon and words.
 */
export function RequestState(props: {
  request: IRequestSummary;
  trans: TranslationBundle;
}): JSX.Element {
  const { request, trans } = props;
  switch (request.state) {
    case 'waiting':
      return (
        <span className="jp-FlipWord">
          <ToneIcon icon={lockIcon} tone="quiet" />{' '}
          {request.approvals_demanded === 1
            ? trans.__('waiting')
            : trans.__(
                'waiting, %1 of %2 approvals',
                request.approvals.length,
                request.approvals_demanded
              )}
          {request.runs_waiting === 0 && trans.__(', no run now')}
        </span>
      );
    case 'approved':
      return (
        <span className="jp-FlipWord">
          <ToneIcon icon={trustedIcon} tone="success" />{' '}
          {trans._n(
            'approved, %1 run left',
            'approved, %1 runs left',
            request.executions_left
          )}
        </span>
      );
    case 'declined':
      return (
        <span className="jp-FlipWord">
          <ToneIcon icon={notTrustedIcon} tone="quiet" />{' '}
          {trans.__('declined: %1', request.reason ?? '')}
        </span>
      );
    case 'refused':
      return (
        <span className="jp-FlipWord">
          <ToneIcon icon={errorIcon} tone="error" />{' '}
          {trans.__('refused by the enclave: %1', request.reason ?? '')}
        </span>
      );
    case 'expired':
      return (
        <span className="jp-FlipWord">
          <ToneIcon icon={checkIcon} tone="quiet" /> {trans.__('expired')}
        </span>
      );
    case 'over':
      return (
        <span className="jp-FlipWord">
          <ToneIcon icon={checkIcon} tone="quiet" />{' '}
          {trans.__('over, its runs have ended')}
        </span>
      );
  }
}

/**
 * Which data controllers have approved a request that waits for another one.
 */
export function ApprovedBy(props: {
  request: IRequestSummary;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { request, trans } = props;
  if (request.state !== 'waiting' || request.approvals.length === 0) {
    return null;
  }
  const names = request.approvals.map(given => given.controller).join(', ');
  return (
    <span className="jp-FlipView-note">
      {trans.__('approved by %1', names)}
    </span>
  );
}

function Runs(
  props: IDeskProps & { runs: ReadonlyArray<IDeskRun>; empty: string }
): JSX.Element {
  const { runs, commands, trans } = props;
  if (runs.length === 0) {
    return <p className="jp-FlipEmpty">{props.empty}</p>;
  }
  return (
    <table className="jp-FlipTable">
      <thead>
        <tr>
          <th scope="col">{trans.__('Run')}</th>
          <th scope="col">{trans.__('Study')}</th>
          <th scope="col">{trans.__('State')}</th>
          <th scope="col">{trans.__('Progress')}</th>
          <th scope="col">{trans.__('Started')}</th>
          <th scope="col">{trans.__('Acts')}</th>
        </tr>
      </thead>
      <tbody>
        {runs.map(run => (
          <tr key={run.run}>
            <td>
              {run.title} <code>{run.run.slice(0, 8)}</code>
            </td>
            <td>{run.study}</td>
            <td>
              <span className="jp-FlipWord">
                <TrustStateIcon state={run.state} />{' '}
                {trustStateWord(trans, run.state)}
              </span>
            </td>
            <td>
              {progressOf(trans, run)}
              {run.images.map(images => (
                <div key={images.name} className="jp-FlipView-note">
                  {imagesOf(trans, images)}
                </div>
              ))}
            </td>
            <td>{run.started ? clock(run.started) : trans.__('not yet')}</td>
            <td>
              {run.ended === null && (
                <LinkButton
                  onClick={() =>
                    void commands.execute(CommandIDs.stopHere, { run: run.run })
                  }
                >
                  {trans.__('Stop Here…')}
                </LinkButton>
              )}
              {run.started !== null && run.ended !== null && (
                <LinkButton
                  onClick={() =>
                    void commands.execute(CommandIDs.openExecuted, {
                      run: run.run
                    })
                  }
                >
                  {trans.__('Executed Notebook')}
                </LinkButton>
              )}
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** How many images of a set were frozen of those found, and why the others were not, by the names that docs/estate.md explains. */
function imagesOf(trans: TranslationBundle, images: IImageCount): string {
  const { name, frozen, found } = images;
  const said = trans.__('%1: %2 of %3 images', name, frozen, found);
  const reasons = images.left_out.map(one => `${one.reason} ${one.images}`);
  return reasons.length === 0
    ? said
    : trans.__('%1; left out: %2', said, reasons.join(', '));
}

function progressOf(trans: TranslationBundle, run: IDeskRun): string {
  if (run.failure !== null) {
    return failureText(trans, run.failure);
  }
  if (run.reason) {
    return run.reason;
  }
  const { progress } = run;
  if (progress === null) {
    return '';
  }
  const parts: string[] = [];
  if (progress.round !== null) {
    parts.push(trans.__('round %1', progress.round));
  }
  if (progress.cell !== null && progress.cells !== null) {
    parts.push(trans.__('cell %1 of %2', progress.cell, progress.cells));
  }
  if (progress.eighths !== null) {
    parts.push(trans.__('%1/8 of its epochs', progress.eighths));
  }
  return parts.join(', ');
}
