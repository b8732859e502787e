import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX } from 'react';
import { useEffect, useState } from 'react';

import { CommandIDs } from '../../commands';
import type { IRunView } from '../../contracts';
import {
  byName,
  curvesOf,
  metricNames,
  secondsLeft
} from '../../models/curves';
import type { RunModel } from '../../models/run';
import {
  pointText,
  ranSeconds,
  runName,
  waitedSeconds
} from '../../models/naming';
import { needsHub } from '../../models/offline';
import { cellOf, eventText } from '../../models/sentences';
import {
  clock,
  duration,
  failureText,
  hasEnded,
  runStateWord,
  shortDigest
} from '../../models/wording';
import { Code } from '../parts/code';
import { ContactBanner } from '../parts/contactbanner';
import { LinkButton } from '../parts/linkbutton';
import { Problem } from '../parts/problem';
import { Region } from '../parts/region';
import { useSignal } from '../parts/signal';
import { RunStateIcon, TrustStateIcon } from '../parts/states';
import { Tabs } from '../parts/tabs';
import { Agreement } from './agreement';
import { CurveChart } from './chart';
import { CompareSweep } from './comparesweep';
import { FinalModel } from './finalmodel';
import { TrustTable } from './trusttable';

/**
 * What the view of a run is made of.
 */
export interface IRunProps {
  model: RunModel;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

/**
 * One run, followed live: each Trust, curves, cells, log and bundle.
 */
export class RunWidget extends Region<IRunProps> {
  constructor(props: IRunProps) {
    const look = { className: 'jp-FlipRun', label: props.trans.__('Run') };
    super(Run, props, look, props.model);
  }

  get run(): string {
    return this.props.model.run;
  }
}

function Run(props: IRunProps): JSX.Element {
  const { model, commands, trans } = props;
  useSignal(model.changed);
  const { view } = model;
  const [tab, setTab] = useState('curves');
  if (view === null) {
    return (
      <div className="jp-FlipView">
        <p role="status">{model.problem || trans.__('Loading…')}</p>
      </div>
    );
  }
  return (
    <div className="jp-FlipView" data-run={view.run}>
      <Header {...props} view={view} />
      <ContactBanner
        workbench={model.workbench}
        commands={commands}
        trans={trans}
      />
      <Problem text={model.problem} />
      <Announcements {...props} view={view} />
      <TrustTable {...props} view={view} />
      {model.final && (
        <FinalModel
          final={model.final}
          nameOf={trust => model.workbench.trustTitle(trust)}
          trans={trans}
        />
      )}
      <Tabs
        label={trans.__('Details')}
        chosen={tab}
        onChoose={setTab}
        tabs={[
          {
            id: 'curves',
            label: trans.__('Curves'),
            content: <Curves {...props} view={view} />
          },
          {
            id: 'cells',
            label: trans.__('Cells'),
            content: <Cells {...props} view={view} />
          },
          {
            id: 'log',
            label: trans.__('Log'),
            content: <Log {...props} />
          },
          {
            id: 'bundle',
            label: trans.__('Bundle'),
            content: <BundleTab {...props} view={view} />
          }
        ]}
      />
    </div>
  );
}

/**
 * A run that is known, and what shows it.
 */
export interface IViewed extends IRunProps {
  view: IRunView;
}

function Header(props: IViewed): JSX.Element {
  const { model, view, commands, trans } = props;
  const ended = hasEnded(view);
  const left = ended ? null : secondsLeft(model.rounds, view.rounds);
  const away = needsHub(model.workbench, trans);
  const run = view.run;
  return (
    <div className="jp-FlipView-header jp-FlipRun-header">
      <RunStateIcon state={view.state} />
      <h2>{runName(view)}</h2>
      <span className="jp-FlipRun-state">
        {runStateWord(trans, view.state)}
      </span>
      <span className="jp-FlipView-note">
        {view.state === 'waiting'
          ? trans.__('sent %1', clock(view.submitted))
          : trans.__('round %1 of %2', view.rounds_done, view.rounds)}
        {left !== null && trans.__(', about %1 left', duration(trans, left))}
      </span>
      <span className="jp-FlipRun-actions">
        {ended && (
          <button
            type="button"
            className="jp-mod-styled jp-mod-accept"
            onClick={() =>
              void commands.execute(CommandIDs.openResults, { run })
            }
            hidden={!commands.hasCommand(CommandIDs.openResults)}
          >
            {trans.__('Results')}
          </button>
        )}
        {!ended && (
          <button
            type="button"
            className="jp-mod-styled jp-mod-warn"
            disabled={view.state === 'stopping' || away !== ''}
            title={away || undefined}
            onClick={() => void commands.execute(CommandIDs.stopRun, { run })}
          >
            {trans.__('Stop…')}
          </button>
        )}
        <button
          type="button"
          className="jp-mod-styled jp-mod-reject"
          disabled={away !== ''}
          title={away || undefined}
          onClick={() => void commands.execute(CommandIDs.cloneRun, { run })}
        >
          {trans.__('Clone…')}
        </button>
        <CompareSweep {...props} />
      </span>
      {away && <span className="jp-FlipView-note">{away}</span>}
      <p className="jp-FlipRun-facts">
        {[
          view.notebook,
          trans.__('study %1', view.study),
          trans.__('bundle %1', shortDigest(view.bundle)),
          timesText(trans, view)
        ]
          .filter(Boolean)
          .join(' · ')}
        <br />
        {pointText(view)}
        {view.reason && (
          <>
            <br />
            {view.reason}
          </>
        )}
      </p>
    </div>
  );
}

/**
 * "sent 14:02, waited 6 min, ran 9 min".
 */
function timesText(trans: TranslationBundle, view: IRunView): string {
  const ran = ranSeconds(view);
  return [
    trans.__('sent %1', clock(view.submitted)),
    trans.__('waited %1', duration(trans, waitedSeconds(view))),
    ran === null ? '' : trans.__('ran %1', duration(trans, ran)),
    view.finished ? trans.__('ended %1', clock(view.finished)) : ''
  ]
    .filter(Boolean)
    .join(', ');
}

/**
 * What a screen reader is told: states as they change, rounds at each tenth of the way; a failure once, as an alert.
 */
function Announcements(props: IViewed): JSX.Element {
  const { view, trans } = props;
  const tenth =
    view.rounds > 0 ? Math.floor((10 * view.rounds_done) / view.rounds) : 0;
  const word = runStateWord(trans, view.state);
  const failed = view.trusts.filter(part => part.state === 'failed');
  return (
    <>
      <p className="jp-FlipHidden" role="status" key={`${view.state} ${tenth}`}>
        {view.state === 'running'
          ? trans.__(
              '%1: %2, round %3 of %4',
              runName(view),
              word,
              view.rounds_done,
              view.rounds
            )
          : trans.__('%1: %2', runName(view), word)}
      </p>
      {failed.map(part => (
        <p key={part.trust} className="jp-FlipBanner jp-mod-error" role="alert">
          {part.failure
            ? trans.__(
                'Failed at %1: %2. Only its controller can read the message.',
                props.model.workbench.trustTitle(part.trust),
                failureText(trans, part.failure)
              )
            : trans.__(
                'Failed at %1. %2',
                props.model.workbench.trustTitle(part.trust),
                part.reason ?? ''
              )}
        </p>
      ))}
    </>
  );
}

function Curves(props: IViewed): JSX.Element {
  const { model, view, trans } = props;
  const { rounds } = model;
  const names = metricNames(rounds);
  const empty = hasEnded(view)
    ? trans.__('The run ended before its first round did.')
    : trans.__('Curves begin when the first round is over.');
  const common = {
    trans,
    empty,
    nameOf: (trust: string) => model.workbench.trustTitle(trust)
  };
  return (
    <div className="jp-FlipCharts">
      {names.length === 0 && <p className="jp-FlipView-note">{empty}</p>}
      {names.map(name => (
        <CurveChart
          key={name}
          title={name}
          allName={trans.__('all Trusts')}
          curves={byName(curvesOf(rounds, name), common.nameOf)}
          {...common}
        />
      ))}
      <Agreement model={model} trans={trans} />
    </div>
  );
}

/**
 * The notebook's code cells as they were signed, and which Trust is in which; what a cell printed stays in its enclave.
 */
function Cells(props: IViewed): JSX.Element {
  const { model, view, trans } = props;
  useEffect(() => {
    void model.fetchBundle();
  }, [model]);
  if (model.bundle === null) {
    return <p role="status">{trans.__('Loading…')}</p>;
  }
  const cells = model.bundle.notebook.cells.filter(
    cell => cell.type === 'code'
  );
  return (
    <ol className="jp-FlipCells" aria-label={trans.__('Code cells')}>
      {cells.map((cell, index) => (
        <li key={cell.id} className="jp-FlipCells-cell">
          <div className="jp-FlipCells-head">
            <strong>
              {trans.__('Cell %1 of %2', index + 1, cells.length)}
            </strong>
            {view.trusts
              .filter(part => cellOf(part) === index + 1)
              .map(part => (
                <span key={part.trust} className="jp-FlipWord">
                  <TrustStateIcon state={part.state} />
                  {model.workbench.trustTitle(part.trust)}
                </span>
              ))}
          </div>
          <Code source={cell.source} />
        </li>
      ))}
    </ol>
  );
}

const SHOWN_EVENTS = 500;

function Log(props: IRunProps): JSX.Element {
  const { model, trans } = props;
  const events = model.events.slice(-SHOWN_EVENTS);
  return (
    <>
      {model.events.length > events.length && (
        <p className="jp-FlipView-note">
          {trans.__(
            'The last %1 of %2 events.',
            events.length,
            model.events.length
          )}
        </p>
      )}
      <ol className="jp-FlipLog" aria-label={trans.__('Events')}>
        {events.map(event => (
          <li key={event.number}>
            <time dateTime={event.at}>
              {new Date(event.at).toLocaleTimeString()}
            </time>
            <span>
              {eventText(trans, event, trust =>
                model.workbench.trustTitle(trust)
              )}
            </span>
          </li>
        ))}
      </ol>
    </>
  );
}

function BundleTab(props: IViewed): JSX.Element {
  const { model, view, trans } = props;
  useEffect(() => {
    void model.fetchBundle();
  }, [model]);
  return (
    <div className="jp-FlipContents">
      <p className="jp-FlipDigest">
        <code>{view.bundle}</code>
        <LinkButton
          onClick={() => void navigator.clipboard.writeText(view.bundle)}
        >
          {trans.__('Copy Digest')}
        </LinkButton>
      </p>
      {model.bundle === null ? (
        <p role="status">{trans.__('Loading…')}</p>
      ) : (
        <pre tabIndex={0}>{JSON.stringify(model.bundle, null, 2)}</pre>
      )}
    </div>
  );
}
