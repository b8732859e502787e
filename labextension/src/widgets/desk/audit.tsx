import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';
import { useState } from 'react';

import type { AuditModel, IAuditItem } from '../../models/audit';
import { clock } from '../../models/wording';
import { Problem } from '../parts/problem';
import { Region } from '../parts/region';
import { useSignal } from '../parts/signal';
import { Tabs } from '../parts/tabs';

/**
 * What the view of the audit log is made of.
 */
export interface IAuditProps {
  model: AuditModel;
  trans: TranslationBundle;
  /**
   * Save the whole log as a file.
   */
  exportLog: () => void;
}

/**
 * The audit log: what left, what was refused, what was decided, and the tree head over all of it.
 */
export class AuditView extends Region<IAuditProps> {
  constructor(props: IAuditProps) {
    const look = {
      className: 'jp-FlipDesk',
      label: props.trans.__('Audit log')
    };
    super(Audit, props, look, props.model);
  }
}

const SHOWN = 200;
const FOLDED = 120;

function Audit(props: IAuditProps): JSX.Element {
  const { model, trans } = props;
  useSignal(model.changed);
  const [tab, setTab] = useState('all');
  const kinds = {
    all: trans.__('All %1', model.items.length),
    left: trans.__('Left %1', model.of('left').length),
    refused: trans.__('Refused %1', model.of('refused').length),
    decided: trans.__('Decisions %1', model.of('decided').length)
  };
  return (
    <div className="jp-FlipView">
      <header className="jp-FlipView-header">
        <h2>{trans.__('Audit Log')}</h2>
        <span className="jp-FlipView-note">
          {trans._n('%1 entry', '%1 entries', model.size)}
          {model.check !== null &&
            model.check.problem === null &&
            trans.__(
              ', %1 verified %2',
              model.check.size,
              clock(model.check.checked)
            )}
        </span>
        <button
          type="button"
          className="jp-mod-styled jp-mod-accept"
          disabled={model.verifying}
          onClick={() => void model.verify()}
        >
          {model.verifying ? trans.__('Verifying…') : trans.__('Verify')}
        </button>
        <button
          type="button"
          className="jp-mod-styled jp-mod-reject"
          onClick={props.exportLog}
        >
          {trans.__('Export')}
        </button>
      </header>
      {model.check !== null && model.check.problem !== null && (
        <p className="jp-FlipBanner jp-mod-error" role="alert">
          {trans.__(
            '%1 Approvals are off. Change nothing; tell your security officer.',
            model.check.problem
          )}
        </p>
      )}
      <Problem text={model.problem} />
      <p className="jp-FlipView-note">
        {trans.__('Tree head (RFC 6962)')} <code>{model.head}</code>
      </p>
      <Tabs
        label={trans.__('Audit log')}
        chosen={tab}
        onChoose={setTab}
        tabs={Object.entries(kinds).map(([id, label]) => ({
          id,
          label,
          content: <Entries items={model.of(id)} trans={trans} />
        }))}
      />
    </div>
  );
}

/**
 * A long text is folded to its first words.
 */
function Details({ text }: { text: string }): JSX.Element {
  if (text.length <= FOLDED) {
    return <>{text}</>;
  }
  return (
    <details>
      <summary>{text.slice(0, FOLDED)}…</summary>
      {text.slice(FOLDED)}
    </details>
  );
}

function Entries(props: {
  items: ReadonlyArray<IAuditItem>;
  trans: TranslationBundle;
}): JSX.Element {
  const { items, trans } = props;
  if (items.length === 0) {
    return <p className="jp-FlipEmpty">{trans.__('There are none.')}</p>;
  }
  return (
    <>
      {items.length > SHOWN && (
        <p className="jp-FlipView-note">
          {trans.__(
            'The latest %1 of %2; Export has all.',
            SHOWN,
            items.length
          )}
        </p>
      )}
      <table className="jp-FlipTable">
        <thead>
          <tr>
            <th scope="col">{trans.__('Number')}</th>
            <th scope="col">{trans.__('Time')}</th>
            <th scope="col">{trans.__('What')}</th>
            <th scope="col">{trans.__('Details')}</th>
          </tr>
        </thead>
        <tbody>
          {items.slice(0, SHOWN).map(item => (
            <tr key={item.index}>
              <td className="jp-mod-number">{item.index}</td>
              <td>{new Date(item.at).toLocaleString()}</td>
              <td>{item.kind}</td>
              <td className="jp-FlipTable-details">
                {item.earlier > 0 &&
                  trans._n(
                    'and %1 earlier of this run ',
                    'and %1 earlier of this run ',
                    item.earlier
                  )}
                <Details text={item.details} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
