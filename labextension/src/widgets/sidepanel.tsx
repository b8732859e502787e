import type { TranslationBundle } from '@jupyterlab/translation';
import {
  ReactWidget,
  circleEmptyIcon,
  circleIcon
} from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX } from 'react';
import { useState } from 'react';

import { CommandIDs } from '../commands';
import type { IStudy, IStudyTrust } from '../contracts';
import {
  clock,
  hasEnded,
  runDetail,
  runName,
  runShare,
  runStateWord
} from '../models/wording';
import type { IWorkbench } from '../tokens';
import type { IRow } from './rowlist';
import { RowList } from './rowlist';
import { useSignal } from './signal';
import { RunStateIcon, ToneIcon } from './states';

export interface ISectionProps {
  workbench: IWorkbench;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

const LATEST = 10;

/**
 * A section of the panel, or its header: a React component over the workbench.
 */
export class SectionWidget extends ReactWidget {
  constructor(
    private readonly _component: (props: ISectionProps) => JSX.Element | null,
    private readonly _props: ISectionProps
  ) {
    super();
    this.addClass('jp-FlipSection');
  }

  protected override render(): JSX.Element {
    const Component = this._component;
    return <Component {...this._props} />;
  }
}

/**
 * The study picker, and under it how the hub can be reached, where that is worth saying.
 */
export function PanelHeader(props: ISectionProps): JSX.Element {
  const { workbench, commands, trans } = props;
  useSignal(workbench.changed);
  return (
    <div className="jp-FlipHeader">
      {workbench.studies.length > 0 && (
        <select
          className="jp-mod-styled jp-FlipHeader-study"
          aria-label={trans.__('Study')}
          title={workbench.study?.purpose}
          value={workbench.study?.study}
          onChange={event =>
            void commands.execute(CommandIDs.chooseStudy, {
              study: event.target.value
            })
          }
        >
          {workbench.studies.map(study => (
            <option key={study.study} value={study.study}>
              {study.study}
            </option>
          ))}
        </select>
      )}
      <ContactBanner {...props} />
    </div>
  );
}

/**
 * What is wrong with the contact to the hub, since when, and the way to try again; nothing where all is well.
 */
export function ContactBanner(props: ISectionProps): JSX.Element | null {
  const { workbench, commands, trans } = props;
  useSignal(workbench.changed);
  const { contact } = workbench;
  if (contact.state === 'unconfigured') {
    return (
      <p className="jp-FlipBanner jp-mod-warn" role="status">
        {contact.message} {contact.remedy}
      </p>
    );
  }
  if (contact.state === 'offline') {
    const since = clock(workbench.heard ?? contact.since);
    return (
      <p className="jp-FlipBanner jp-mod-warn" role="status">
        {trans.__(
          'No contact with the hub since %1. Runs go on; FLIP keeps trying.',
          since
        )}{' '}
        <button
          type="button"
          className="jp-FlipLink"
          onClick={() => void commands.execute(CommandIDs.tryHub)}
        >
          {trans.__('Try Now')}
        </button>
      </p>
    );
  }
  return workbench.problem ? (
    <p className="jp-FlipBanner jp-mod-warn" role="alert">
      {workbench.problem}
    </p>
  ) : null;
}

/**
 * The Trusts of the chosen study; a Trust opens to what is known of it.
 */
export function TrustSection(props: ISectionProps): JSX.Element {
  const { workbench, trans } = props;
  useSignal(workbench.changed);
  const [open, setOpen] = useState<string | null>(null);
  const { study } = workbench;
  if (study === null) {
    return <NoStudy {...props} />;
  }
  const rows = study.trusts.map(trust => trustRow(trans, trust));
  return (
    <RowList
      label={trans.__('Trusts')}
      rows={rows}
      expandable
      onOpen={id => setOpen(open === id ? null : id)}
      details={
        open === null ? {} : { [open]: <TrustFacts study={study} trust={open} trans={trans} /> }
      }
    />
  );
}

function trustRow(trans: TranslationBundle, trust: IStudyTrust): IRow {
  const detail = trust.joined ? trans.__('joined') : trans.__('not joined');
  return {
    id: trust.key,
    label: trans.__('%1, %2', trust.title, detail),
    content: (
      <>
        <ToneIcon
          icon={trust.joined ? circleIcon : circleEmptyIcon}
          tone={trust.joined ? 'success' : 'quiet'}
        />
        <span className="jp-FlipRow-name">{trust.title}</span>
        <span className="jp-FlipRow-detail">{detail}</span>
      </>
    )
  };
}

function TrustFacts(props: {
  study: IStudy;
  trust: string;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { trans } = props;
  const trust = props.study.trusts.find(trust => trust.key === props.trust);
  if (!trust) {
    return null;
  }
  return (
    <dl className="jp-FlipFacts">
      <dt>{trans.__('Name')}</dt>
      <dd>{trust.name}</dd>
      <dt>{trans.__('Key')}</dt>
      <dd>
        <code>{trust.key.slice(0, 16)}…</code>
      </dd>
    </dl>
  );
}

/**
 * What goes on, and the latest of what has ended.
 */
export function RunSection(props: ISectionProps): JSX.Element {
  const { workbench, commands, trans } = props;
  useSignal(workbench.changed);
  if (workbench.study === null) {
    return <NoStudy {...props} />;
  }
  const { runs } = workbench;
  if (runs.length === 0) {
    return (
      <p className="jp-FlipEmpty">
        {trans.__(
          'No runs yet. Open a notebook, press Rehearse, then Send.'
        )}
      </p>
    );
  }
  const active = runs.filter(run => !hasEnded(run));
  const ended = runs.filter(hasEnded).slice(0, LATEST);
  const rows = [...active, ...ended].map((run): IRow => {
    const share = runShare(run);
    const detail = runDetail(trans, run);
    const name = runName(run);
    return {
      id: run.run,
      label: trans.__('%1, %2', name, detail),
      caption: trans.__('%1: %2', runStateWord(trans, run.state), name),
      content: (
        <>
          <RunStateIcon state={run.state} />
          <span className="jp-FlipRow-name">{name}</span>
          <span className="jp-FlipRow-detail">
            {detail}
            {share !== null && ` ${Math.round(share * 100)}%`}
          </span>
        </>
      )
    };
  });
  return (
    <>
      <RowList
        label={trans.__('Runs')}
        rows={rows}
        onOpen={run => void commands.execute(CommandIDs.openRun, { run })}
      />
      {runs.length > rows.length && (
        <button
          type="button"
          className="jp-FlipLink jp-FlipSection-more"
          onClick={() => void commands.execute(CommandIDs.showRuns)}
        >
          {trans.__('All %1 Runs', runs.length)}
        </button>
      )}
    </>
  );
}

function NoStudy(props: ISectionProps): JSX.Element {
  const { workbench, trans } = props;
  if (!workbench.ready || workbench.contact.state === 'connecting') {
    return <p className="jp-FlipEmpty">{trans.__('Loading…')}</p>;
  }
  return (
    <p className="jp-FlipEmpty">
      {workbench.contact.state === 'online'
        ? trans.__("You are in no study yet. Ask a study's lead, or open the Tour.")
        : trans.__('Nothing is known without the hub.')}
    </p>
  );
}
