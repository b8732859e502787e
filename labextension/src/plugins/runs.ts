import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import {
  Dialog,
  ICommandPalette,
  MainAreaWidget,
  Notification,
  showDialog,
  WidgetTracker
} from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { listIcon } from '@jupyterlab/ui-components';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { messageOf } from '../api';
import { addToPalette, CommandIDs, NO_ARGS, RUN_ARGS } from '../commands';
import { flipIcon } from '../icons';
import { hasEnded, runName } from '../models/wording';
import { addView } from '../placement';
import { IWorkbench } from '../tokens';
import type { RunWidget } from '../widgets/run';
import type { RunsWidget } from '../widgets/runs';

/**
 * Runs in the main area: the list, one run, stop and clone.
 */
export const runsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'flipnb:runs',
  description: 'Lists runs, follows one live, stops and clones.',
  autoStart: true,
  requires: [IWorkbench],
  optional: [ITranslator, ICommandPalette, ILayoutRestorer, ILauncher],
  activate: (
    app: JupyterFrontEnd,
    workbench: IWorkbench,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    launcher: ILauncher | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('flipnb');
    const { commands, shell } = app;
    const runs = new WidgetTracker<MainAreaWidget<RunWidget>>({
      namespace: 'flipnb-run'
    });
    const lists = new WidgetTracker<MainAreaWidget<RunsWidget>>({
      namespace: 'flipnb-runs'
    });
    const idOf = new WeakMap<MainAreaWidget<RunWidget>, string>();

    /**
     * The run that a command is about: the argument's, else the one in the view in front.
     */
    function runOf(args: ReadonlyPartialJSONObject): string | null {
      const { run } = args as { run?: string };
      const shown = runs.currentWidget;
      return run ?? (shown ? (idOf.get(shown) ?? null) : null);
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
        const known = runs.find(view => idOf.get(view) === run);
        if (known) {
          shell.activateById(known.id);
          return;
        }
        const [{ RunModel }, { RunWidget }] = await Promise.all([
          import('../models/run'),
          import('../widgets/run')
        ]);
        const model = new RunModel(run, workbench);
        const content = new RunWidget({ model, commands, trans });
        const view = new MainAreaWidget({ content });
        view.id = `flip-run-${run}`;
        view.title.icon = flipIcon;
        view.title.closable = true;
        const name = (): void => {
          const shown = model.view;
          view.title.label = shown
            ? runName(shown, workbench.runs)
            : trans.__('Run');
          view.title.caption = trans.__('Run %1', run);
        };
        name();
        model.changed.connect(name, view);
        idOf.set(view, run);
        await runs.add(view);
        addView(app, view);
      }
    });

    commands.addCommand(CommandIDs.showRuns, {
      label: args =>
        args.isLauncher ? trans.__('Runs') : trans.__('Show Runs'),
      caption: trans.__('All runs of the study, with their states'),
      icon: listIcon,
      describedBy: NO_ARGS,
      execute: async () => {
        const known = lists.currentWidget;
        if (known) {
          shell.activateById(known.id);
          return;
        }
        const { RunsWidget } = await import('../widgets/runs');
        const content = new RunsWidget({ workbench, commands, trans });
        const view = new MainAreaWidget({ content });
        view.id = 'flip-runs';
        view.title.label = trans.__('Runs');
        view.title.icon = listIcon;
        view.title.closable = true;
        await lists.add(view);
        addView(app, view);
      }
    });

    commands.addCommand(CommandIDs.stopRun, {
      label: trans.__('Stop Run…'),
      caption: trans.__('Stop a run at every Trust'),
      isEnabled: args => runOf(args) !== null,
      describedBy: RUN_ARGS,
      execute: async args => {
        const run = runOf(args);
        if (run === null) {
          return;
        }
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
                  runName(view, workbench.runs),
                  view.rounds_done
                )
              : trans.__(
                  '%1: no round is over, so no model is kept.',
                  runName(view, workbench.runs)
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
          Notification.error(trans.__('Not stopped: %1', messageOf(error)), {
            autoClose: false
          });
        }
      }
    });

    commands.addCommand(CommandIDs.cloneRun, {
      label: trans.__('Clone Run…'),
      caption: trans.__(
        'Ask for another run of the same bundle, with other parameters'
      ),
      isEnabled: args => runOf(args) !== null,
      describedBy: RUN_ARGS,
      execute: async args => {
        const run = runOf(args);
        if (run === null) {
          return;
        }
        try {
          const view = await workbench.run(run);
          const bundle = await workbench.api.bundle(view.bundle);
          const { CloneForm } = await import('../widgets/clone');
          const answer = await showDialog({
            title: trans.__('Clone Run'),
            body: new CloneForm(bundle, view.point, trans),
            buttons: [
              Dialog.cancelButton({ label: trans.__('Cancel') }),
              Dialog.okButton({ label: trans.__('Sign and Send') })
            ]
          });
          if (answer.button.accept && answer.value) {
            const made = await workbench.api.runAgain(
              view.bundle,
              answer.value
            );
            workbench.update(made);
            await commands.execute(CommandIDs.openRun, { run: made.run });
          }
        } catch (error) {
          Notification.error(trans.__('Not cloned: %1', messageOf(error)), {
            autoClose: false
          });
        }
      }
    });

    void restorer?.restore(runs, {
      command: CommandIDs.openRun,
      args: view => ({ run: idOf.get(view) ?? '' }),
      name: view => idOf.get(view) ?? ''
    });
    void restorer?.restore(lists, {
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
