import type { TranslationBundle } from '@jupyterlab/translation';
import { addIcon, MenuSvg, ReactWidget } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX } from 'react';
import { useEffect, useRef, useState } from 'react';

import { CommandIDs } from '../../commands';
import type { IStudyTrust } from '../../contracts';
import { cohortIcon } from '../../icons';
import { runName } from '../../models/naming';
import {
  age,
  hasEnded,
  runBrief,
  runDetail,
  runShare,
  runStateWord
} from '../../models/wording';
import type { IWorkbench } from '../../tokens';
import { ContactBanner } from '../parts/contactbanner';
import { Facts } from '../parts/facts';
import { LinkButton } from '../parts/linkbutton';
import type { IRow } from '../parts/rowlist';
import { RowList } from '../parts/rowlist';
import { useSignal } from '../parts/signal';
import { RunName } from '../parts/runname';
import { RunStateIcon, ToneIcon } from '../parts/states';
import { cardFacts, contactText } from './trust';
import { TrustDot } from './trustdot';

/**
 * What a section of the panel is made of.
 */
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
      <div className="jp-FlipHeader-row">
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
        <NewButton commands={commands} trans={trans} />
      </div>
      <ContactBanner {...props} />
    </div>
  );
}

/**
 * The button that opens to what can be made.
 */
function NewButton(
  props: Pick<ISectionProps, 'commands' | 'trans'>
): JSX.Element {
  const { commands, trans } = props;
  const button = useRef<HTMLButtonElement>(null);
  const menu = useRef<MenuSvg | null>(null);
  const [open, setOpen] = useState(false);

  useEffect(() => {
    const made = new MenuSvg({ commands });
    for (const command of [CommandIDs.newStudyNotebook, CommandIDs.newCohort]) {
      made.addItem({ command });
    }
    made.aboutToClose.connect(() => {
      setOpen(false);
      button.current?.focus();
    });
    menu.current = made;
    return () => made.dispose();
  }, [commands]);

  function show(): void {
    const place = button.current?.getBoundingClientRect();
    if (menu.current !== null && place !== undefined) {
      menu.current.open(place.left, place.bottom);
      menu.current.activateNextItem();
      setOpen(true);
    }
  }

  return (
    <button
      ref={button}
      type="button"
      className="jp-FlipHeader-new"
      aria-label={trans.__('New')}
      title={trans.__('New study notebook or cohort')}
      aria-haspopup="menu"
      aria-expanded={open}
      onClick={show}
    >
      <addIcon.react tag="span" width="16px" />
    </button>
  );
}

/**
 * The Trusts of the chosen study; a Trust opens to what it says of itself.
 */
export function TrustSection(props: ISectionProps): JSX.Element {
  const { workbench, trans } = props;
  useSignal(workbench.changed);
  const [open, setOpen] = useState<string | null>(null);
  if (workbench.study === null) {
    return <NoStudy {...props} />;
  }
  const opened = workbench.trusts.find(trust => trust.key === open);
  return (
    <RowList
      label={trans.__('Trusts')}
      rows={workbench.trusts.map(trust => trustRow(props, trust))}
      expandable
      onOpen={id => setOpen(open === id ? null : id)}
      details={
        opened ? { [opened.key]: <TrustFacts {...props} trust={opened} /> } : {}
      }
    />
  );
}

function trustRow(props: ISectionProps, trust: IStudyTrust): IRow {
  const { workbench, trans } = props;
  const detail = trustDetail(props, trust);
  const online = trust.online && workbench.away === null;
  return {
    id: trust.key,
    label: trans.__(
      '%1, %2, %3',
      trust.title,
      online ? trans.__('online') : trans.__('offline'),
      detail
    ),
    content: (
      <>
        <TrustDot trust={trust} workbench={workbench} />
        <span className="jp-FlipRow-name">{trust.title}</span>
        <span className="jp-FlipRow-detail">{detail}</span>
      </>
    )
  };
}

/**
 * How fresh a Trust's data are and what GPUs it has; or since when it is away.
 */
function trustDetail(props: ISectionProps, trust: IStudyTrust): string {
  const { workbench, trans } = props;
  const { card } = trust;
  const away = workbench.away !== null || !trust.online || !trust.joined;
  if (away || card === null) {
    return contactText(trans, workbench, trust);
  }
  const data = card.data ? age(trans, card.data) : trans.__('no data yet');
  return card.gpus > 0 ? trans.__('%1  %2 GPU', data, card.gpus) : data;
}

/**
 * What a Trust says of itself in its card, and the way to all of it.
 */
function TrustFacts(
  props: ISectionProps & { trust: IStudyTrust }
): JSX.Element {
  const { trust, commands, trans } = props;
  const { card } = trust;
  const environments = (card?.environments ?? []).map(built =>
    trans.__('%1 (%2 packages)', built.name, built.distributions.length)
  );
  return (
    <>
      <Facts
        facts={
          card === null
            ? [[trans.__('Card'), trans.__('none yet')]]
            : [
                ...cardFacts(trans, card),
                [
                  trans.__('Environments'),
                  environments.join(', ') || trans.__('none')
                ]
              ]
        }
      />
      <p className="jp-FlipTrust-open">
        <LinkButton
          onClick={() =>
            void commands.execute(CommandIDs.openTrust, { trust: trust.key })
          }
        >
          {trans.__('Open %1', trust.title)}
        </LinkButton>
      </p>
    </>
  );
}

/**
 * The cohort definitions among the user's files.
 */
export function CohortSection(props: ISectionProps): JSX.Element {
  const { workbench, commands, trans } = props;
  useSignal(workbench.changed);
  if (workbench.cohorts.length === 0) {
    return (
      <p className="jp-FlipEmpty">
        {trans.__('No cohorts yet. They are files named NAME.cohort.json.')}
      </p>
    );
  }
  const rows = workbench.cohorts.map((cohort): IRow => ({
    id: cohort.path,
    label: cohort.name,
    caption: cohort.path,
    content: (
      <>
        <ToneIcon icon={cohortIcon} tone="quiet" />
        <span className="jp-FlipRow-name">{cohort.name}</span>
      </>
    )
  }));
  const command = commands.hasCommand(CommandIDs.openCohort)
    ? CommandIDs.openCohort
    : 'docmanager:open';
  return (
    <RowList
      label={trans.__('Cohorts')}
      rows={rows}
      onOpen={path => void commands.execute(command, { path })}
    />
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
        {trans.__('No runs yet. Open a notebook, press Rehearse, then Send.')}
      </p>
    );
  }
  const active = runs.filter(run => !hasEnded(run));
  const ended = runs.filter(hasEnded).slice(0, LATEST);
  const rows = [...active, ...ended].map((run): IRow => {
    const share = runShare(run);
    const detail = runDetail(trans, run, key => workbench.trustTitle(key));
    const name = runName(run);
    return {
      id: run.run,
      label: trans.__('%1, %2', name, detail),
      caption: trans.__('%1: %2', runStateWord(trans, run.state), name),
      content: (
        <>
          <RunStateIcon state={run.state} />
          <RunName run={run} />
          <span className="jp-FlipRow-detail">
            {runBrief(trans, run, key => workbench.trustTitle(key))}
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
        ? trans.__(
            "You are in no study yet. Ask a study's lead, or open the Tour."
          )
        : trans.__('Nothing is known without the hub.')}
    </p>
  );
}
