import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX } from 'react';
import { useState } from 'react';

import { CommandIDs } from '../../commands';
import type {
  IBundle,
  ICellChange,
  IChangedLine,
  IRequestDetail
} from '../../contracts';
import type { RequestModel } from '../../models/request';
import { clock } from '../../models/wording';
import { Facts } from '../parts/facts';
import { Region } from '../parts/region';
import { useSignal } from '../parts/signal';
import { Tabs } from '../parts/tabs';
import { ApprovedBy, DeskBanner, RequestState } from './desk';

/**
 * What the view of a request is made of.
 */
export interface IRequestProps {
  model: RequestModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

/**
 * One request, whole: what is new, the notebook, the cohort, what would leave, who asks.
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
  const [tab, setTab] = useState('change');
  const { detail } = model;
  if (detail === null) {
    return (
      <div className="jp-FlipView">
        <p className="jp-FlipEmpty" role={model.problem ? 'alert' : 'status'}>
          {model.problem || trans.__('Loading…')}
        </p>
      </div>
    );
  }
  const { summary, content, changes } = detail;
  const choose = (id: string): void => {
    setTab(id);
    model.look(id);
  };
  return (
    <div className="jp-FlipView">
      <header className="jp-FlipView-header">
        <h2>{content.title}</h2>
        <RequestState request={summary} trans={trans} />
        <ApprovedBy request={summary} trans={trans} />
      </header>
      <DeskBanner desk={model.desk} commands={commands} trans={trans} />
      <p className="jp-FlipView-note">
        {trans.__('Bundle')} <code>{summary.bundle}</code>
      </p>
      <Tabs
        label={trans.__('Request')}
        chosen={tab}
        onChoose={choose}
        tabs={[
          {
            id: 'change',
            label: trans.__('Change'),
            content: <Change detail={detail} trans={trans} />
          },
          {
            id: 'notebook',
            label: trans.__('Notebook'),
            content: <Notebook bundle={content} trans={trans} />
          },
          {
            id: 'cohort',
            label: trans.__('Cohort'),
            content: <Cohort detail={detail} trans={trans} />
          },
          {
            id: 'leaves',
            label: trans.__('Leaves'),
            content: <Leaves detail={detail} trans={trans} />
          },
          {
            id: 'who',
            label: trans.__('Who'),
            content: <Who detail={detail} trans={trans} />
          }
        ]}
      />
      <footer className="jp-FlipView-footer">
        <span className="jp-FlipView-note">
          {model.mayApprove
            ? trans.__('Exactly this bundle, until %1', clock(content.expires))
            : changes.since === null
              ? trans.__('Look at Change and Leaves before you approve.')
              : trans.__(
                  'Look at what changed, and at Leaves, before you approve.'
                )}
        </span>
        <button
          type="button"
          className="jp-mod-styled jp-mod-warn"
          disabled={!model.mayDecline}
          onClick={() =>
            void commands.execute(CommandIDs.declineRequest, {
              bundle: summary.bundle
            })
          }
        >
          {trans.__('Decline…')}
        </button>
        <button
          type="button"
          className="jp-mod-styled jp-mod-accept"
          disabled={!model.mayApprove}
          onClick={() =>
            void commands.execute(CommandIDs.approveRequest, {
              bundle: summary.bundle
            })
          }
        >
          {trans.__('Approve…')}
        </button>
      </footer>
    </div>
  );
}

interface IPart {
  detail: IRequestDetail;
  trans: TranslationBundle;
}

function Change(props: IPart): JSX.Element {
  const { detail, trans } = props;
  const { changes, content } = detail;
  const fresh = changes.cells.filter(cell => cell.kind !== 'same');
  const all = content.notebook.cells.length;
  const head =
    changes.since === null
      ? trans.__(
          'Nothing like it was approved here: all %1 cells are new.',
          all
        )
      : trans._n(
          '%1 of %2 cells is new since %3, the rest is hidden.',
          '%1 of %2 cells are new since %3, the rest is hidden.',
          fresh.length,
          all,
          changes.since.slice(0, 16)
        );
  return (
    <>
      <p>{head}</p>
      {changes.since !== null &&
        fresh.length === 0 &&
        changes.fields.length === 0 && (
          <p>{trans.__('Only its time of validity differs.')}</p>
        )}
      {fresh.map(cell => (
        <section key={`${cell.kind}-${cell.id}`} className="jp-FlipCell">
          <h3>{cellTitle(trans, cell)}</h3>
          <Lines lines={cell.lines} trans={trans} />
        </section>
      ))}
      {changes.fields.map(field => (
        <section key={field.field} className="jp-FlipCell">
          <h3>{field.field}</h3>
          <Lines lines={field.lines} trans={trans} />
        </section>
      ))}
    </>
  );
}

function cellTitle(trans: TranslationBundle, cell: ICellChange): string {
  switch (cell.kind) {
    case 'added':
      return trans.__('Cell %1, %2, new', cell.number, cell.type);
    case 'removed':
      return trans.__('Cell %1, %2, gone', cell.number, cell.type);
    default:
      return trans.__('Cell %1, %2, changed', cell.number, cell.type);
  }
}

const MARKS: { [mark in IChangedLine['mark']]: string } = {
  both: ' ',
  new: '+',
  earlier: '-'
};

/**
 * Lines of a difference as text: a sign in front, and a bar in the colour of its meaning.
 */
function Lines(props: {
  lines: ReadonlyArray<IChangedLine>;
  trans: TranslationBundle;
}): JSX.Element {
  const { trans } = props;
  const spoken = {
    both: '',
    new: trans.__('new:'),
    earlier: trans.__('earlier:')
  };
  return (
    <pre className="jp-FlipLines" tabIndex={0}>
      {props.lines.map((line, index) => (
        <span key={index} className={`jp-FlipLines-line jp-mod-${line.mark}`}>
          {spoken[line.mark] && (
            <span className="jp-FlipHidden">{spoken[line.mark]} </span>
          )}
          <span aria-hidden="true">{MARKS[line.mark]} </span>
          {line.text}
          {'\n'}
        </span>
      ))}
    </pre>
  );
}

function Notebook(props: {
  bundle: IBundle;
  trans: TranslationBundle;
}): JSX.Element {
  const { bundle, trans } = props;
  return (
    <>
      <p className="jp-FlipView-note">
        {trans.__('Sources as text; nothing of it is rendered or run.')}
      </p>
      {bundle.notebook.cells.map((cell, index) => (
        <section key={cell.id} className="jp-FlipCell">
          <h3>
            {trans.__(
              'Cell %1, %2',
              index + 1,
              [cell.type, ...cell.tags].join(', ')
            )}
          </h3>
          <pre className="jp-FlipLines" tabIndex={0}>
            {cell.source}
          </pre>
        </section>
      ))}
    </>
  );
}

function Cohort(props: IPart): JSX.Element {
  const { detail, trans } = props;
  const { content } = detail;
  return (
    <>
      <p>
        {detail.count === null
          ? trans.__('How many people it has here is not known.')
          : trans.__(
              'n = %1 people here, exactly; this number stays inside.',
              detail.count.toLocaleString()
            )}
      </p>
      <h3>{trans.__('Definition')}</h3>
      <pre className="jp-FlipLines" tabIndex={0}>
        {JSON.stringify(content.cohort, null, 2)}
      </pre>
      <h3>{trans.__('Variables that the notebook sees')}</h3>
      <pre className="jp-FlipLines" tabIndex={0}>
        {JSON.stringify(content.dataset, null, 2)}
      </pre>
    </>
  );
}

function Leaves(props: IPart): JSX.Element {
  const { detail, trans } = props;
  const { content } = detail;
  return (
    <>
      <h3>{trans.__('What would leave')}</h3>
      <p className="jp-FlipBanner jp-mod-warn">{detail.caution}</p>
      <ul>
        {detail.what_leaves.map((line, index) => (
          <li key={index}>{line}</li>
        ))}
      </ul>
      <h3>{trans.__('How much one run can tell')}</h3>
      <p>{detail.bits_told}</p>
      <table className="jp-FlipTable">
        <thead>
          <tr>
            <th scope="col">{trans.__('Channel')}</th>
            <th scope="col" className="jp-mod-number">
              {trans.__('Bits, at most')}
            </th>
            <th scope="col">{trans.__('What it is')}</th>
          </tr>
        </thead>
        <tbody>
          {detail.channels.map(channel => (
            <tr key={channel.name}>
              <th scope="row">{channel.name}</th>
              <td className="jp-mod-number">{channel.bits.toLocaleString()}</td>
              <td>
                {channel.counted
                  ? trans.__('%1 (counted)', channel.what)
                  : channel.what}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <h3>{trans.__('Parameters, and within which bounds they may be set')}</h3>
      <table className="jp-FlipTable">
        <thead>
          <tr>
            <th scope="col">{trans.__('Name')}</th>
            <th scope="col">{trans.__('Type')}</th>
            <th scope="col">{trans.__('Default')}</th>
            <th scope="col">{trans.__('Bounds')}</th>
          </tr>
        </thead>
        <tbody>
          {content.parameters.map(parameter => (
            <tr key={parameter.name}>
              <td>{parameter.name}</td>
              <td>{parameter.type}</td>
              <td>{String(parameter.default)}</td>
              <td>
                {parameter.choices && parameter.choices.length > 0
                  ? parameter.choices.map(String).join(', ')
                  : parameter.minimum === null && parameter.maximum === null
                    ? trans.__('fixed')
                    : trans.__(
                        '%1 to %2',
                        String(parameter.minimum),
                        String(parameter.maximum)
                      )}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <h3>{trans.__('Plan')}</h3>
      <pre className="jp-FlipLines" tabIndex={0}>
        {JSON.stringify(content.plan, null, 2)}
      </pre>
    </>
  );
}

function Who(props: IPart): JSX.Element {
  const { detail, trans } = props;
  const { summary, content } = detail;
  const facts: [string, string][] = [
    [trans.__('Researcher'), summary.researcher],
    [trans.__('Key'), summary.researcher_key],
    [trans.__('Study'), summary.study],
    [
      trans.__('Trusts'),
      trans.__(
        '%1, of which at least %2 must take part',
        content.trusts.length,
        content.minimum_trusts
      )
    ],
    [trans.__('Environment'), content.environment.name],
    [trans.__('Your policy'), detail.policy_digest],
    [trans.__('Estate version'), detail.estate_version ?? trans.__('none yet')],
    [trans.__('Came'), clock(summary.received)],
    [
      trans.__('Approvals'),
      [
        trans.__(
          '%1 of %2',
          summary.approvals.length,
          summary.approvals_demanded
        ),
        ...summary.approvals.map(given =>
          trans.__('%1 at %2', given.controller, clock(given.approved))
        )
      ].join(', ')
    ],
    [trans.__('Valid'), trans.__('until %1', clock(content.expires))]
  ];
  return <Facts facts={facts} />;
}
