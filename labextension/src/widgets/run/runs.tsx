import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX, KeyboardEvent } from 'react';
import { useEffect, useRef, useState } from 'react';

import { CommandIDs } from '../../commands';
import type { IRunView } from '../../contracts';
import { ranSeconds, runName, waitedSeconds } from '../../models/naming';
import { needsHub } from '../../models/offline';
import type { IRunsLook, RunColumn } from '../../models/runlist';
import { findRuns, sortRuns } from '../../models/runlist';
import {
  clock,
  duration,
  hasEnded,
  runDetail,
  runStateWord
} from '../../models/wording';
import type { IWorkbench } from '../../tokens';
import { ContactBanner } from '../parts/contactbanner';
import { LinkButton } from '../parts/linkbutton';
import { Region } from '../parts/region';
import { rowOf } from '../parts/rowlist';
import { useSignal } from '../parts/signal';
import { RunStateIcon } from '../parts/states';

/**
 * What the list of runs is made of. `kept` is how it was looked at last; `keep` keeps how it is now.
 */
export interface IRunsProps {
  workbench: IWorkbench;
  commands: CommandRegistry;
  trans: TranslationBundle;
  kept: IRunsLook;
  keep: (look: IRunsLook) => void;
}

const NUMBERS: ReadonlySet<RunColumn> = new Set<RunColumn>([
  'rounds',
  'waited',
  'ran',
  'submitted'
]);
const PAGE = 100;
const TICK_MILLISECONDS = 10_000;

/**
 * All runs of the study, to filter, to sort and to open.
 */
export class RunsWidget extends Region<IRunsProps> {
  constructor(props: IRunsProps) {
    const look = { className: 'jp-FlipRuns', label: props.trans.__('Runs') };
    super(Runs, props, look);
  }
}

/**
 * Draw anew now and then, as long as something goes on: times pass without an event.
 */
function useTicks(active: boolean): void {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!active) {
      return;
    }
    const timer = setInterval(() => tick(n => n + 1), TICK_MILLISECONDS);
    return () => clearInterval(timer);
  }, [active]);
}

function Runs(props: IRunsProps): JSX.Element {
  const { workbench, commands, trans } = props;
  useSignal(workbench.changed);
  const [look, setLook] = useState(props.kept);
  const [current, setCurrent] = useState<string | null>(null);
  const [shownRows, setShownRows] = useState(PAGE);
  const body = useRef<HTMLTableSectionElement>(null);
  useTicks(workbench.runs.some(run => !hasEnded(run)));

  function change(changes: Partial<IRunsLook>): void {
    const next = { ...look, ...changes };
    setLook(next);
    props.keep(next);
  }

  const { column, falling } = look;
  const away = needsHub(workbench, trans);
  const found = findRuns(workbench.runs, look);
  const rows = sortRuns(found, look).slice(0, shownRows);
  const index = Math.max(
    0,
    rows.findIndex(run => run.run === current)
  );

  function move(event: KeyboardEvent): void {
    const last = rows.length - 1;
    const target = rowOf(event.key, index, last);
    if (target !== undefined) {
      event.preventDefault();
      setCurrent(rows[target].run);
      (body.current?.children[target] as HTMLElement).focus();
    } else if (event.key === 'Enter' && rows[index]) {
      void commands.execute(CommandIDs.openRun, { run: rows[index].run });
    }
  }

  const columns: [RunColumn, string][] = [
    ['name', trans.__('Run')],
    ['notebook', trans.__('Notebook')],
    ['state', trans.__('State')],
    ['rounds', trans.__('Rounds')],
    ['waited', trans.__('Waited')],
    ['ran', trans.__('Ran')],
    ['submitted', trans.__('Sent')]
  ];
  const states = [...new Set(workbench.runs.map(run => run.state))];
  return (
    <div className="jp-FlipView">
      <div className="jp-FlipView-header">
        <h2>{trans.__('Runs of %1', workbench.study?.study ?? '')}</h2>
        <span className="jp-FlipView-note" role="status">
          {found.length === workbench.runs.length
            ? trans._n('%1 run', '%1 runs', found.length)
            : trans.__('%1 of %2 runs', found.length, workbench.runs.length)}
        </span>
        {workbench.runs.length > 1 && (
          <button
            type="button"
            className="jp-mod-styled jp-mod-reject"
            disabled={away !== ''}
            title={away || undefined}
            onClick={() => void commands.execute(CommandIDs.compareRuns)}
          >
            {trans.__('Compare…')}
          </button>
        )}
      </div>
      <ContactBanner {...props} />
      <div className="jp-FlipRuns-filters">
        <input
          type="search"
          className="jp-mod-styled"
          placeholder={trans.__('Filter by title, notebook, value')}
          aria-label={trans.__('Filter runs')}
          value={look.filter}
          onChange={event => change({ filter: event.target.value })}
        />
        <select
          className="jp-mod-styled"
          aria-label={trans.__('State')}
          value={look.state}
          onChange={event => change({ state: event.target.value })}
        >
          <option value="">{trans.__('every state')}</option>
          {states.map(name => (
            <option key={name} value={name}>
              {runStateWord(trans, name)}
            </option>
          ))}
        </select>
      </div>
      {workbench.runs.length === 0 ? (
        <p className="jp-FlipEmpty">
          {trans.__('No runs yet. Open a notebook, press Rehearse, then Send.')}
        </p>
      ) : found.length === 0 ? (
        <p className="jp-FlipEmpty">
          {trans.__('No run fits.')}{' '}
          <LinkButton onClick={() => change({ filter: '', state: '' })}>
            {trans.__('Clear Filter')}
          </LinkButton>
        </p>
      ) : (
        <div className="jp-FlipTable-scroll">
          <table
            className="jp-FlipTable"
            role="grid"
            aria-rowcount={found.length}
            aria-label={trans.__('Runs')}
          >
            <thead>
              <tr>
                {columns.map(([name, label]) => (
                  <th
                    key={label}
                    scope="col"
                    className={NUMBERS.has(name) ? 'jp-mod-number' : undefined}
                    aria-sort={
                      name === column
                        ? falling
                          ? 'descending'
                          : 'ascending'
                        : 'none'
                    }
                  >
                    <button
                      type="button"
                      className="jp-FlipTable-sort"
                      onClick={() =>
                        change({
                          column: name,
                          falling: name === column && !falling
                        })
                      }
                    >
                      {label}
                      {name === column && (falling ? ' ▾' : ' ▴')}
                    </button>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody ref={body} onKeyDown={move}>
              {rows.map((run, at) => (
                <tr
                  key={run.run}
                  role="row"
                  data-run={run.run}
                  tabIndex={at === index ? 0 : -1}
                  onFocus={() => setCurrent(run.run)}
                  onClick={() =>
                    void commands.execute(CommandIDs.openRun, { run: run.run })
                  }
                >
                  <td role="gridcell" className="jp-FlipRuns-name">
                    <RunStateIcon state={run.state} />
                    {runName(run)}
                  </td>
                  <td role="gridcell">{run.notebook}</td>
                  <td role="gridcell">
                    {runDetail(trans, run, key => workbench.trustTitle(key))}
                  </td>
                  <td role="gridcell" className="jp-mod-number">
                    {trans.__('%1 of %2', run.rounds_done, run.rounds)}
                  </td>
                  <td role="gridcell" className="jp-mod-number">
                    {duration(trans, waitedSeconds(run))}
                  </td>
                  <td role="gridcell" className="jp-mod-number">
                    {ranText(trans, run)}
                  </td>
                  <td role="gridcell" className="jp-mod-number">
                    {clock(run.submitted)}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          {found.length > rows.length && (
            <LinkButton onClick={() => setShownRows(shownRows + PAGE)}>
              {trans.__('Show More of %1', found.length)}
            </LinkButton>
          )}
        </div>
      )}
    </div>
  );
}

function ranText(trans: TranslationBundle, run: IRunView): string {
  const seconds = ranSeconds(run);
  return seconds === null ? '-' : duration(trans, seconds);
}
