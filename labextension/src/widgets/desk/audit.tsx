import type { TranslationBundle } from '@jupyterlab/translation';
import type { JSX } from 'react';
import { useEffect, useState } from 'react';

import { messageOf } from '../../api';
import type { IAuditLine, IAuditTold } from '../../contracts';
import type { AuditModel } from '../../models/audit';
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

function Audit(props: IAuditProps): JSX.Element {
  const { model, trans } = props;
  useSignal(model.changed);
  const { found } = model;
  const number = (group: string): number => found?.numbers[group] ?? 0;
  const groups = {
    all: trans.__('All %1', number('all')),
    left: trans.__('Left %1', number('left')),
    refused: trans.__('Refused %1', number('refused')),
    decisions: trans.__('Decisions %1', number('decisions')),
    looks: trans.__('Looks %1', number('looks')),
    images: trans.__('Images %1', number('images'))
  };
  return (
    <div className="jp-FlipView">
      <div className="jp-FlipView-header">
        <h2>{trans.__('Audit Log')}</h2>
        <span className="jp-FlipView-note" role="status">
          {model.check !== null && model.check.problem === null
            ? trans._n(
                'Whole and unchanged: %1 entry, verified %2',
                'Whole and unchanged: %1 entries, verified %2',
                model.check.size,
                clock(model.check.checked)
              )
            : trans._n('%1 entry', '%1 entries', found?.size ?? 0)}
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
      </div>
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
        {trans.__('Tree head (RFC 6962)')} <code>{found?.head}</code>
      </p>
      <Tabs
        label={trans.__('Audit log')}
        chosen={model.group}
        onChoose={group => model.choose(group)}
        tabs={Object.entries(groups).map(([id, label]) => ({
          id,
          label,
          content: <Lines model={model} trans={trans} />
        }))}
      />
    </div>
  );
}

function Lines(props: {
  model: AuditModel;
  trans: TranslationBundle;
}): JSX.Element {
  const { model, trans } = props;
  const { found } = model;
  if (found === null) {
    return <p className="jp-FlipEmpty">{trans.__('Reading the log…')}</p>;
  }
  const { lines, numbers } = found;
  if (lines.length === 0) {
    return <p className="jp-FlipEmpty">{trans.__('There are none.')}</p>;
  }
  const all = numbers[model.group] ?? lines.length;
  return (
    <>
      {all > lines.length && (
        <p className="jp-FlipView-note">
          {trans.__('The latest %1 of %2; Export has all.', lines.length, all)}
        </p>
      )}
      <ul className="jp-FlipLog">
        {lines.map(line => (
          <li key={line.key}>
            <Line line={line} model={model} trans={trans} />
          </li>
        ))}
      </ul>
    </>
  );
}

/**
 * A line, which opens to its entries, and each entry to what was written.
 */
function Line(props: {
  line: IAuditLine;
  model: AuditModel;
  trans: TranslationBundle;
}): JSX.Element {
  const { line, model, trans } = props;
  const [open, setOpen] = useState(false);
  const [told, setTold] = useState<ReadonlyArray<IAuditTold>>([]);
  const [problem, setProblem] = useState('');
  useEffect(() => {
    if (open) {
      model.entries(line.key).then(setTold, error => {
        setProblem(messageOf(error));
      });
    }
  }, [open, line.key, line.entries, model]);
  return (
    <details onToggle={event => setOpen(event.currentTarget.open)}>
      <summary>
        <time dateTime={line.at} title={new Date(line.at).toLocaleString()}>
          {clock(line.at)}
        </time>{' '}
        {line.text}
        {line.entries > 1 && (
          <span className="jp-FlipView-note">
            {' '}
            {trans.__('%1 entries', line.entries)}
          </span>
        )}
      </summary>
      <Problem text={problem} />
      {told.map(entry => (
        <details key={entry.index} className="jp-FlipLog-entry">
          <summary>
            {trans.__('%1, entry %2:', clock(entry.at), entry.index)}{' '}
            {entry.text}
          </summary>
          <pre className="jp-FlipLines" tabIndex={0}>
            {entry.leaf}
          </pre>
        </details>
      ))}
    </details>
  );
}
