import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import {
  Dialog,
  ICommandPalette,
  showDialog,
  showErrorMessage
} from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { listIcon } from '@jupyterlab/ui-components';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { messageOf } from '../api';
import { addToPalette, CommandIDs, NO_ARGS, RUN_ARGS } from '../commands';
import { flipIcon } from '../icons';
import { runName, tabName } from '../models/naming';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- captions of commands are asked for at once
import { needsHub } from '../models/offline';
import { hasEnded } from '../models/wording';
import { IWorkbench } from '../tokens';
import { Views } from '../views';
import type { RunWidget } from '../widgets/run/run';
import type { RunsWidget } from '../widgets/run/runs';

const KEPT = 'flipnb:runs';

/**
 * Runs in the main area: the list, one run, stop and clone.
 */
export const runsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'flipnb:runs',
  description: 'Lists runs, follows one live, stops and clones.',
  autoStart: true,
  requires: [IWorkbench],
  optional: [
    ITranslator,
    ICommandPalette,
    ILayoutRestorer,
    ILauncher,
    IStateDB
  ],
  activate: (
    app: JupyterFrontEnd,
    workbench: IWorkbench,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    launcher: ILauncher | null,
    state: IStateDB | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('flipnb');
    const { commands } = app;
    const runs = new Views<RunWidget>(app, 'flipnb-run');
    const lists = new Views<RunsWidget>(app, 'flipnb-runs');

    /**
     * The run that a command is about: the argument's, else the one in the view in front.
     */
    function runOf(args: ReadonlyPartialJSONObject): string | null {
      const { run } = args as { run?: string };
      return run ?? runs.current?.run ?? null;
    }

    /**
     * A view of a run, called by what tells the run from the others.
     */
    async function follow(run: string): Promise<RunWidget> {
      const [{ RunModel }, { RunWidget }] = await Promise.all([
        import('../models/run'),
        import('../widgets/run/run')
      ]);
      const model = new RunModel(run, workbench);
      const view = new RunWidget({ model, commands, trans });
      view.title.icon = flipIcon;
      const name = (): void => {
        view.title.label = model.view ? tabName(model.view) : trans.__('Run');
        view.title.caption = model.view
          ? trans.__('%1, run %2', runName(model.view), run)
          : trans.__('Run %1', run);
      };
      name();
      model.changed.connect(name, view);
      return view;
    }

    commands.addCommand(CommandIDs.openRun, {
      label: trans.__('Open Run'),
      caption: trans.__('Follow a run, Trust by Trust'),
      icon: flipIcon,
      isVisible: args => 'run' in args,
      describedBy: RUN_ARGS,
      execute: async args => {
        const { run } = args as { run?: string };
        if (run === undefined) {
          await commands.execute(CommandIDs.showRuns);
          return;
        }
        await runs.open(`flip-run-${run}`, () => follow(run));
      }
    });

    commands.addCommand(CommandIDs.showRuns, {
      label: args =>
        args.isLauncher ? trans.__('Runs') : trans.__('Show Runs'),
      caption: trans.__('All runs of the study, with their states'),
      icon: listIcon,
      describedBy: NO_ARGS,
      execute: async () => {
        await lists.open('flip-runs', async () => {
          const [{ RunsWidget }, { keptLook }] = await Promise.all([
            import('../widgets/run/runs'),
            import('../models/runlist')
          ]);
          const kept = await state?.fetch(KEPT);
          const view = new RunsWidget({
            workbench,
            commands,
            trans,
            kept: keptLook(kept),
            keep: look => void state?.save(KEPT, { ...look })
          });
          view.title.label = trans.__('Runs');
          view.title.icon = listIcon;
          return view;
        });
      }
    });

    /**
     * Said where it was asked, in the words of whoever refused.
     */
    const refused = (title: string, error: unknown): Promise<void> =>
      showErrorMessage(title, messageOf(error), [
        Dialog.okButton({ label: trans.__('Close') })
      ]);

    /**
     * A command on the run that its arguments name, else on the one in front.
     */
    function addRunCommand(
      id: string,
      words: { label: string; caption: string },
      execute: (run: string) => Promise<void>
    ): void {
      commands.addCommand(id, {
        label: words.label,
        caption: () => needsHub(workbench, trans) || words.caption,
        isEnabled: args => runOf(args) !== null && workbench.away === null,
        describedBy: RUN_ARGS,
        execute: async args => {
          const run = runOf(args);
          if (run !== null) {
            await execute(run);
          }
        }
      });
    }

    addRunCommand(
      CommandIDs.stopRun,
      {
        label: trans.__('Stop Run…'),
        caption: trans.__('Stop a run at every Trust')
      },
      async run => {
        const view = await workbench.run(run);
        if (hasEnded(view)) {
          return;
        }
        const answer = await showDialog({
          title: trans.__('Stop at all Trusts?'),
          body:
            view.rounds_done > 0
              ? trans.__(
                  "%1: round %2's model is kept; the run can be cloned, not resumed.",
                  runName(view),
                  view.rounds_done
                )
              : trans.__(
                  '%1: no round is over, so no model is kept.',
                  runName(view)
                ),
          buttons: [
            Dialog.cancelButton({ label: trans.__('Keep Running') }),
            Dialog.warnButton({ label: trans.__('Stop Run') })
          ]
        });
        if (!answer.button.accept) {
          return;
        }
        try {
          workbench.update(await workbench.api.stopRun(run));
        } catch (error) {
          await refused(trans.__('Not stopped'), error);
        }
      }
    );

    addRunCommand(
      CommandIDs.cloneRun,
      {
        label: trans.__('Clone Run…'),
        caption: trans.__(
          'Ask for another run of the same bundle, with other parameters'
        )
      },
      async run => {
        try {
          const view = await workbench.run(run);
          const bundle = await workbench.api.bundle(view.bundle);
          const { CloneForm } = await import('../widgets/run/clone');
          const answer = await showDialog({
            title: trans.__('Clone Run'),
            body: new CloneForm(bundle, view.point, trans),
            buttons: [
              Dialog.cancelButton({ label: trans.__('Cancel') }),
              Dialog.okButton({ label: trans.__('Sign and Send') })
            ]
          });
          if (answer.button.accept && answer.value) {
            const made = await workbench.api.runAgain(view.bundle, {
              point: answer.value,
              choices: view.choices
            });
            workbench.update(made);
            await commands.execute(CommandIDs.openRun, { run: made.run });
          }
        } catch (error) {
          await refused(trans.__('Not cloned'), error);
        }
      }
    );

    workbench.changed.connect(() => {
      commands.notifyCommandChanged(CommandIDs.stopRun);
      commands.notifyCommandChanged(CommandIDs.cloneRun);
    }, workbench);

    runs.restore(restorer, {
      command: CommandIDs.openRun,
      args: view => ({ run: view.run }),
      name: view => view.run
    });
    lists.restore(restorer, {
      command: CommandIDs.showRuns,
      name: () => 'runs'
    });
    launcher?.add({
      command: CommandIDs.showRuns,
      args: { isLauncher: true },
      category: trans.__('FLIP'),
      rank: 2
    });
    addToPalette(palette, trans, [
      CommandIDs.showRuns,
      CommandIDs.stopRun,
      CommandIDs.cloneRun
    ]);
  }
};
