import type { JSX } from 'react';

import { CommandIDs } from '../../commands';
import { needsHub } from '../../models/offline';
import { MOST_COMPARED, sweepOf } from '../../models/runlist';
import type { IViewed } from './run';

/**
 * Compares a run with the others of its bundle, where there are any with numbers.
 */
export function CompareSweep(props: IViewed): JSX.Element | null {
  const { model, view, commands, trans } = props;
  const sweep = sweepOf(model.workbench.runs, view, MOST_COMPARED);
  if (sweep.length === 0 || !commands.hasCommand(CommandIDs.compareRuns)) {
    return null;
  }
  const away = needsHub(model.workbench, trans);
  return (
    <button
      type="button"
      className="jp-mod-styled jp-mod-reject"
      disabled={away !== ''}
      title={away || trans.__('Side by side with the other runs of its bundle')}
      onClick={() =>
        void commands.execute(CommandIDs.compareRuns, {
          runs: sweep.map(run => run.run)
        })
      }
    >
      {trans.__('Compare Sweep of %1', sweep.length)}
    </button>
  );
}
