import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX } from 'react';

import { CommandIDs } from '../../commands';
import { hasEnded } from '../../models/wording';
import type { RunState } from '../../models/wording';
import type { IWorkbench } from '../../tokens';
import { useSignal } from '../parts/signal';

interface IStatusProps {
  workbench: IWorkbench;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

/**
 * "FLIP: 2 running, 1 waiting" in the status bar; opens the list of runs.
 */
export class StatusItem extends ReactWidget {
  constructor(
    workbench: IWorkbench,
    commands: CommandRegistry,
    trans: TranslationBundle
  ) {
    super();
    this.addClass('jp-FlipStatus');
    this._props = { workbench, commands, trans };
  }

  protected override render(): JSX.Element {
    return <Status {...this._props} />;
  }

  private readonly _props: IStatusProps;
}

/**
 * For approvals, or for slots.
 */
const WAITING: ReadonlySet<RunState> = new Set(['waiting', 'queued']);

function Status(props: IStatusProps): JSX.Element {
  const { workbench, commands, trans } = props;
  useSignal(workbench.changed);
  const active = workbench.runs.filter(run => !hasEnded(run));
  const waiting = active.filter(run => WAITING.has(run.state)).length;
  const parts: string[] = [];
  if (active.length > waiting) {
    parts.push(trans.__('%1 running', active.length - waiting));
  }
  if (waiting > 0) {
    parts.push(trans.__('%1 waiting', waiting));
  }
  return (
    <button
      type="button"
      className="jp-FlipStatus-button"
      title={trans.__('Show the runs of %1', workbench.study?.study ?? '')}
      onClick={() => void commands.execute(CommandIDs.showRuns)}
    >
      {trans.__('FLIP: %1', parts.join(', '))}
    </button>
  );
}
