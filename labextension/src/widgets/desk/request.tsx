import type { TranslationBundle } from '@jupyterlab/translation';
import { HTMLSelect } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX, KeyboardEvent } from 'react';
import { useCallback, useState } from 'react';

import { CommandIDs } from '../../commands';
import type { IRequestDetail } from '../../contracts';
import type { RequestModel } from '../../models/request';
import { ago, clock, shortDigest } from '../../models/wording';
import { LinkButton } from '../parts/linkbutton';
import { Region } from '../parts/region';
import { useSignal } from '../parts/signal';
import { Tabs } from '../parts/tabs';
import { Brief } from './brief';
import { Code } from './code';
import { DeskBanner, RequestState } from './desk';
import { Everything } from './everything';

/**
 * What the view of a request is made of.
 */
export interface IRequestProps {
  model: RequestModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

/**
 * One request: its brief, its code, everything of it in words, and the decision.
 *
 * Everything in it was written by strangers; it is shown as text, and React escapes it.
 */
export class RequestView extends Region<IRequestProps> {
  constructor(props: IRequestProps) {
    const look = { className: 'jp-FlipDesk', label: props.trans.__('Request') };
    super(Request, props, look, props.model);
  }
}

function Request(props: IRequestProps): JSX.Element {
  const { model, commands, trans } = props;
  useSignal(model.changed);
  const [tab, setTab] = useState('brief');
  const read = useCallback(() => void model.open('brief'), [model]);
  const { detail } = model;
  if (detail === null) {
    return (
      <div className="jp-FlipView">
        <p className="jp-FlipEmpty" role={model.problem ? 'alert' : 'status'}>
          {model.problem || trans.__('Counting people here…')}
        </p>
      </div>
    );
  }
  const { summary, content, changes } = detail;
  const { bundle } = summary;
  const fresh = changes.cells.filter(cell => cell.kind !== 'same').length;
  const choose = (id: string): void => {
    setTab(id);
    if (id === 'code') {
      void model.open('code');
    }
  };
  const onKey = (event: KeyboardEvent): void => {
    const typing = (event.target as HTMLElement).closest('input, select');
    const by = { j: CommandIDs.nextRequest, k: CommandIDs.previousRequest }[
      event.key
    ];
    if (by && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      event.stopPropagation();
      void commands.execute(by, { bundle });
    }
  };
  return (
    <div className="jp-FlipView" onKeyDown={onKey}>
      <div className="jp-FlipView-header">
        <h2>{content.title}</h2>
        <RequestState request={summary} trans={trans} />
        <span className="jp-FlipView-note">{ago(trans, summary.received)}</span>
      </div>
      <DeskBanner desk={model.desk} commands={commands} trans={trans} />
      <Decided detail={detail} trans={trans} />
      <div className="jp-FlipDigest">
        <span className="jp-FlipView-note">
          {trans.__('Bundle')} <code title={bundle}>{shortDigest(bundle)}</code>{' '}
          {trans.__('signed by %1', summary.researcher)}
        </span>
        <LinkButton
          onClick={() =>
            void commands.execute(CommandIDs.copyDigest, { bundle })
          }
        >
          {trans.__('Copy Digest')}
        </LinkButton>
        <LinkButton
          title={trans.__('Previous request (K)')}
          onClick={() =>
            void commands.execute(CommandIDs.previousRequest, { bundle })
          }
        >
          {trans.__('Previous')}
        </LinkButton>
        <LinkButton
          title={trans.__('Next request (J)')}
          onClick={() =>
            void commands.execute(CommandIDs.nextRequest, { bundle })
          }
        >
          {trans.__('Next')}
        </LinkButton>
      </div>
      <Tabs
        label={trans.__('Request')}
        chosen={tab}
        onChoose={choose}
        tabs={[
          {
            id: 'brief',
            label: trans.__('Brief'),
            content: (
              <Brief
                key={model.person}
                detail={detail}
                trans={trans}
                onEnd={read}
              />
            )
          },
          {
            id: 'code',
            label: trans.__(
              'Code, %1 of %2 cells new',
              fresh,
              content.notebook.cells.length
            ),
            content: <Code detail={detail} trans={trans} />
          },
          {
            id: 'everything',
            label: trans.__('Everything'),
            content: <Everything detail={detail} trans={trans} />
          }
        ]}
      />
      {model.mayDecline && <Decision {...props} tab={tab} />}
    </div>
  );
}

/**
 * Why nothing is to be decided any more, before all else.
 */
function Decided(props: {
  detail: IRequestDetail;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { detail, trans } = props;
  const { state, reason } = detail.summary;
  const words = {
    declined: trans.__('Declined: %1', reason ?? ''),
    refused: trans.__('Refused by the enclave: %1', reason ?? ''),
    expired: trans.__('Expired on %1.', clock(detail.content.expires)),
    over: trans.__(
      'Every run of it has ended. It waits again when its researcher starts another.'
    ),
    waiting: '',
    approved: ''
  }[state];
  return words ? <p className="jp-FlipBanner jp-mod-warn">{words}</p> : null;
}

function Decision(props: IRequestProps & { tab: string }): JSX.Element {
  const { model, commands, trans, tab } = props;
  const known = model.desk.status?.controllers ?? [];
  const { bundle } = model;
  const approved = model.detail?.summary.state === 'approved';
  const choose = (person: string): void => {
    model.desk.person = person;
    if (tab === 'code') {
      void model.open('code');
    }
  };
  return (
    <div className="jp-FlipView-footer">
      <span className="jp-FlipView-note" role="status">
        {whyNot(trans, model) || standing(trans, model)}
      </span>
      {known.length > 1 && (
        <label>
          {trans.__('You are')}{' '}
          <HTMLSelect
            value={model.person}
            onChange={event => choose(event.target.value)}
          >
            <option value="">{trans.__('choose your name')}</option>
            {known.map(name => (
              <option key={name}>{name}</option>
            ))}
          </HTMLSelect>
        </label>
      )}
      <button
        type="button"
        className="jp-mod-styled jp-mod-warn"
        onClick={() =>
          void commands.execute(CommandIDs.declineRequest, { bundle })
        }
      >
        {trans.__('Decline…')}
      </button>
      <button
        type="button"
        className="jp-mod-styled jp-mod-accept"
        disabled={!model.mayApprove}
        onClick={() =>
          void commands.execute(CommandIDs.approveRequest, { bundle })
        }
      >
        {approved ? trans.__('Approve More…') : trans.__('Approve…')}
      </button>
    </div>
  );
}

/**
 * Why this person may not approve now; empty where they may.
 */
function whyNot(trans: TranslationBundle, model: RequestModel): string {
  if (model.problem) {
    return model.problem;
  }
  if (model.detail?.estate_version === null) {
    return trans.__('This enclave has no estate yet; load one first.');
  }
  if (model.person === '') {
    return trans.__('Say who you are.');
  }
  if (model.isOwn) {
    return trans.__('You signed this request; somebody else decides.');
  }
  switch (model.unread.join()) {
    case 'brief,code':
      return trans.__('Brief not read to its end. Code not opened yet.');
    case 'brief':
      return trans.__('Brief not read to its end. Code opened.');
    case 'code':
      return trans.__('Brief read. Code not opened yet.');
    default:
      return '';
  }
}

/**
 * Who has approved so far, and how many runs that covers.
 */
function standing(trans: TranslationBundle, model: RequestModel): string {
  const { detail } = model;
  if (detail === null) {
    return '';
  }
  const { approvals, approvals_demanded, executions_left, state } =
    detail.summary;
  const given = approvals
    .map(one => `${one.controller}, ${clock(one.approved)}`)
    .join('; ');
  if (state === 'approved' && given === '') {
    return trans.__('Every execution is used. %1', detail.brief.waiting);
  }
  if (state === 'approved') {
    return trans._n(
      'Approved by %2, %1 execution left. %3',
      'Approved by %2, %1 executions left. %3',
      executions_left,
      given,
      detail.brief.waiting
    );
  }
  if (approvals_demanded > 1) {
    const many = trans.__('%1 of %2', approvals.length, approvals_demanded);
    return given ? `${many}: ${given}` : many;
  }
  return trans.__(
    'Exactly this bundle, until %1',
    clock(detail.content.expires)
  );
}
