import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import {
  Dialog,
  ICommandPalette,
  Notification,
  showDialog,
  showErrorMessage
} from '@jupyterlab/apputils';
import { INotebookTracker, NotebookActions } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import type { LabIcon } from '@jupyterlab/ui-components';
import { notebookIcon, tableRowsIcon } from '@jupyterlab/ui-components';
import type { Widget } from '@lumino/widgets';

import { messageOf } from '../api';
import { addToPalette, CommandIDs, RUN_ARGS } from '../commands';
import type { IRunRecord } from '../contracts';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- two short functions of models without DOM
import { commonTitle } from '../models/comparison';
import { tabName } from '../models/naming';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- captions of commands are asked for at once
import { needsHub } from '../models/offline';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- a number of a model without DOM
import { MOST_COMPARED } from '../models/runlist';
import { IWorkbench } from '../tokens';
import { Views } from '../views';

/**
 * What came of runs: the results of one, and several side by side.
 */
export const resultsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'flipnb:results',
  description: 'Opens the results of a run, and compares runs.',
  autoStart: true,
  requires: [IWorkbench],
  optional: [ITranslator, ICommandPalette, INotebookTracker],
  activate: (
    app: JupyterFrontEnd,
    workbench: IWorkbench,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    notebooks: INotebookTracker | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('flipnb');
    const { commands, shell } = app;
    const views = new Views(app, 'flipnb-results');

    async function show(
      id: string,
      label: string,
      view: Widget
    ): Promise<void> {
      view.title.label = label;
      view.title.icon = tableRowsIcon;
      await views.open(`${id}-${Date.now()}`, async () => view);
    }

    /**
     * "Coronary artery disease, 3 runs", where all are of one title.
     */
    function compareTitle(records: ReadonlyArray<IRunRecord>): string {
      const title = commonTitle(records);
      return title !== null
        ? trans.__('%1, %2 runs', title, records.length)
        : trans.__('Compare %1 Runs', records.length);
    }

    const titleOf = (trust: string): string => workbench.trustTitle(trust);

    function failed(error: unknown): void {
      void showErrorMessage(trans.__('Not opened'), messageOf(error), [
        Dialog.okButton({ label: trans.__('Close') })
      ]);
    }

    /**
     * A command on the run that its arguments name; what goes wrong is told.
     */
    function addRunCommand(
      id: string,
      words: { label: string; caption: string; icon?: LabIcon },
      execute: (run: string) => Promise<void>
    ): void {
      commands.addCommand(id, {
        ...words,
        isVisible: args => 'run' in args,
        describedBy: RUN_ARGS,
        execute: async args => {
          const { run } = args as { run?: string };
          if (run !== undefined) {
            await execute(run).catch(failed);
          }
        }
      });
    }

    addRunCommand(
      CommandIDs.openResults,
      {
        label: trans.__('Open Results'),
        caption: trans.__('Fetch weights, metrics and record, and show them'),
        icon: tableRowsIcon
      },
      async run => {
        const [results, { ResultsView }] = await Promise.all([
          workbench.api.fetchResults(run),
          import('../widgets/run/results')
        ]);
        await show(
          `flip-results-${run}`,
          trans.__('Results: %1', tabName(results.record)),
          new ResultsView({ results, titleOf, commands, trans })
        );
      }
    );

    addRunCommand(
      CommandIDs.useResults,
      {
        label: trans.__('Use Results in Notebook'),
        caption: trans.__(
          'Insert code that reads these results into the open notebook'
        )
      },
      async run => {
        const panel = notebooks?.currentWidget;
        if (!panel) {
          Notification.info(trans.__('Open a notebook first.'), {
            autoClose: 5000
          });
          return;
        }
        NotebookActions.insertBelow(panel.content);
        panel.content.activeCell?.model.sharedModel.setSource(
          `import flipnb as flip\n\nresults = flip.results(${JSON.stringify(run)})\nresults.metrics()`
        );
        shell.activateById(panel.id);
      }
    );

    addRunCommand(
      CommandIDs.openResultsNotebook,
      {
        label: trans.__('Open Results as a Notebook'),
        caption: trans.__(
          'A notebook with the table, the curves and the weights of a run'
        ),
        icon: notebookIcon
      },
      async run => {
        const path = await workbench.api.resultsNotebook(run);
        await commands.execute('docmanager:open', { path });
      }
    );

    commands.addCommand(CommandIDs.compareRuns, {
      label: trans.__('Compare Runs'),
      caption: () =>
        needsHub(workbench, trans) ||
        trans.__('Parameters, numbers and curves of runs side by side'),
      icon: tableRowsIcon,
      isEnabled: () => workbench.runs.length > 1 && workbench.away === null,
      describedBy: {
        args: {
          type: 'object',
          properties: {
            runs: {
              type: 'array',
              items: { type: 'string' },
              description:
                'The ids of the runs; without them the person chooses'
            }
          }
        }
      },
      execute: async args => {
        let { runs } = args as { runs?: string[] };
        if (runs === undefined) {
          const { ChooseRuns } = await import('../widgets/run/chooseruns');
          const answer = await showDialog({
            title: trans.__('Compare Runs'),
            body: new ChooseRuns(workbench.runs, MOST_COMPARED, titleOf, trans),
            buttons: [
              Dialog.cancelButton({ label: trans.__('Cancel') }),
              Dialog.okButton({ label: trans.__('Compare') })
            ]
          });
          runs = answer.button.accept ? (answer.value ?? []) : [];
        }
        if (runs.length < 2) {
          return;
        }
        try {
          const [records, { CompareView }, { saveAs }] = await Promise.all([
            Promise.all(
              runs.slice(0, MOST_COMPARED).map(run => workbench.api.record(run))
            ),
            import('../widgets/run/compare'),
            import('../widgets/parts/saveas')
          ]);
          const saveCsv = (text: string): void =>
            saveAs('runs.csv', text, 'text/csv');
          await show(
            'flip-compare',
            compareTitle(records),
            new CompareView({ records, titleOf, saveCsv, trans })
          );
        } catch (error) {
          failed(error);
        }
      }
    });
    workbench.changed.connect(
      () => commands.notifyCommandChanged(CommandIDs.compareRuns),
      workbench
    );
    addToPalette(palette, trans, [CommandIDs.compareRuns]);
  }
};
