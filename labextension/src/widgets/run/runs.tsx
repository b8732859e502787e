import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX, KeyboardEvent } from 'react';
import { useRef, useState } from 'react';

import { CommandIDs } from '../../commands';
import type { IRunView } from '../../contracts';
import {
  clock,
  duration,
  hasEnded,
  pointText,
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
 * What the list of runs is made of.
 */
export interface IRunsProps {
  workbench: IWorkbench;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

type Column = 'title' | 'state' | 'rounds' | 'submitted' | 'seconds';

const NUMBERS: ReadonlySet<Column | null> = new Set<Column | null>([
  'rounds',
  'submitted',
  'seconds'
]);
const PAGE = 100;

/**
 * All runs of the study, to filter, to sort and to open.
 */
export class RunsWidget extends Region<IRunsProps> {
  constructor(props: IRunsProps) {
    const look = { className: 'jp-FlipRuns', label: props.trans.__('Runs') };
    super(Runs, props, look);
  }
}

function Runs(props: IRunsProps): JSX.Element {
  const { workbench, commands, trans } = props;
  useSignal(workbench.changed);
  const [filter, setFilter] = useState('');
  const [state, setState] = useState('');
  const [column, setColumn] = useState<Column | null>(null);
  const [falling, setFalling] = useState(true);
  const [current, setCurrent] = useState<string | null>(null);
  const [shownRows, setShownRows] = useState(PAGE);
  const body = useRef<HTMLTableSectionElement>(null);

  const words = filter.toLowerCase().split(/\s+/).filter(Boolean);
  const found = workbench.runs.filter(run => {
    const text = `${run.title} ${pointText(run)} ${run.run}`.toLowerCase();
    return (
      words.every(word => text.includes(word)) &&
      (state === '' || run.state === state)
    );
  });
  const rows = sort(found, column, falling).slice(0, shownRows);
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

  const columns: [Column | null, string][] = [
    ['title', trans.__('Run')],
    [null, trans.__('Parameters')],
    ['state', trans.__('State')],
    ['rounds', trans.__('Rounds')],
    ['submitted', trans.__('Sent')],
    ['seconds', trans.__('Took')]
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
          placeholder={trans.__('Filter runs')}
          aria-label={trans.__('Filter runs')}
          value={filter}
          onChange={event => setFilter(event.target.value)}
        />
        <select
          className="jp-mod-styled"
          aria-label={trans.__('State')}
          value={state}
          onChange={event => setState(event.target.value)}
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
                      name !== null && name === column
                        ? falling
                          ? 'descending'
                          : 'ascending'
                        : undefined
                    }
                  >
                    {name === null ? (
                      label
                    ) : (
                      <button
                        type="button"
                        className="jp-FlipTable-sort"
                        onClick={() => {
                          setFalling(name === column ? !falling : false);
                          setColumn(name);
                        }}
                      >
                        {label}
                        {name === column && (falling ? ' ▾' : ' ▴')}
                      </button>
                    )}
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
                  <td role="gridcell">
                    <RunStateIcon state={run.state} />
                    {run.title}
                  </td>
                  <td role="gridcell">{pointText(run)}</td>
                  <td role="gridcell">{runDetail(trans, run)}</td>
                  <td role="gridcell" className="jp-mod-number">
                    {trans.__('%1 of %2', run.rounds_done, run.rounds)}
                  </td>
                  <td role="gridcell" className="jp-mod-number">
                    {clock(run.submitted)}
                  </td>
                  <td role="gridcell" className="jp-mod-number">
                    {hasEnded(run) ? duration(trans, seconds(run)) : ''}
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

function seconds(run: IRunView): number {
  return run.finished
    ? (Date.parse(run.finished) - Date.parse(run.submitted)) / 1000
    : 0;
}

/**
 * By a column; without one, what goes on comes first, then the newest.
 */
function sort(
  runs: ReadonlyArray<IRunView>,
  column: Column | null,
  falling: boolean
): IRunView[] {
  const sorted = [...runs];
  if (column === null) {
    return sorted.sort((a, b) => Number(hasEnded(a)) - Number(hasEnded(b)));
  }
  const value = (run: IRunView): string | number =>
    ({
      title: run.title,
      state: run.state,
      rounds: run.rounds_done,
      submitted: run.submitted,
      seconds: seconds(run)
    })[column];
  sorted.sort((a, b) => {
    const [x, y] = [value(a), value(b)];
    return x < y ? -1 : x > y ? 1 : 0;
  });
  return falling ? sorted.reverse() : sorted;
}
