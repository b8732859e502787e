import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import {
  Dialog,
  ICommandPalette,
  Notification,
  showDialog
} from '@jupyterlab/apputils';
import { PathExt } from '@jupyterlab/coreutils';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { INotebookTracker } from '@jupyterlab/notebook';
import { IStateDB } from '@jupyterlab/statedb';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { fileUploadIcon } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { ReadonlyPartialJSONObject } from '@lumino/coreutils';

import { messageOf } from '../api';
import { addToPalette, CommandIDs, NOTEBOOK_ARGS } from '../commands';
import { twinIcon } from '../icons';
import type { SendModel } from '../models/send';
import { shortDigest } from '../models/wording';
import { IWorkbench } from '../tokens';
import { Views } from '../views';
import type { RehearsalState } from '../widgets/notebook/rehearsalline';
import type { SendView } from '../widgets/send/send';

/**
 * From an open notebook: rehearse in its kernel, check, and send to the Trusts.
 */
export const notebookPlugin: JupyterFrontEndPlugin<void> = {
  id: 'flipnb:notebook',
  description: 'Rehearses the open notebook on a twin and sends it to Trusts.',
  autoStart: true,
  requires: [IWorkbench, INotebookTracker],
  optional: [ITranslator, ICommandPalette, IStateDB, ILayoutRestorer],
  activate: (
    app: JupyterFrontEnd,
    workbench: IWorkbench,
    notebooks: INotebookTracker,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    state: IStateDB | null,
    restorer: ILayoutRestorer | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('flipnb');
    const { commands } = app;
    const views = new Views<SendView>(app, 'flipnb-send');
    const panels = new WeakMap<SendView, NotebookPanel>();

    function panelOf(args: ReadonlyPartialJSONObject): NotebookPanel | null {
      const { path } = args as { path?: string };
      return path === undefined
        ? notebooks.currentWidget
        : (notebooks.find(panel => panel.context.path === path) ?? null);
    }

    function hasNotebook(): boolean {
      return notebooks.currentWidget !== null;
    }

    function changed(): void {
      commands.notifyCommandChanged(CommandIDs.rehearseNotebook);
      commands.notifyCommandChanged(CommandIDs.openRehearsed);
      commands.notifyCommandChanged(CommandIDs.checkNotebook);
      commands.notifyCommandChanged(CommandIDs.sendNotebook);
    }
    notebooks.currentChanged.connect(changed, notebooks);
    workbench.changed.connect(changed, workbench);

    commands.addCommand(CommandIDs.rehearseNotebook, {
      label: trans.__('Rehearse on Twin'),
      caption: trans.__(
        'Save the notebook and run it on a twin, for two rounds, from its kernel'
      ),
      icon: twinIcon,
      isEnabled: hasNotebook,
      describedBy: NOTEBOOK_ARGS,
      execute: async args => {
        const panel = panelOf(args);
        if (panel === null) {
          return;
        }
        await rehearse(panel, workbench, commands, trans);
        views.contents
          .filter(view => view.model.path === panel.context.localPath)
          .forEach(view => void view.model.check());
      }
    });

    commands.addCommand(CommandIDs.openRehearsed, {
      label: trans.__('Open Executed Notebook'),
      caption: trans.__(
        'Open the notebook as its last rehearsal ran it, with its outputs'
      ),
      icon: twinIcon,
      isEnabled: hasNotebook,
      describedBy: NOTEBOOK_ARGS,
      execute: async args => {
        const panel = panelOf(args);
        if (panel === null) {
          return;
        }
        try {
          const path = await workbench.api.executedRehearsal(localPath(panel));
          await commands.execute('docmanager:open', { path });
        } catch (error) {
          Notification.error(messageOf(error), { autoClose: 8000 });
        }
      }
    });

    async function open(panel: NotebookPanel): Promise<void> {
      const path = localPath(panel);
      const view = await views.open(
        `flip-send-${path}`,
        () => make(panel, path),
        { mode: 'split-right', ref: panel.id }
      );
      void view.model.check();
    }

    async function make(panel: NotebookPanel, path: string): Promise<SendView> {
      const [{ SendModel }, { SendView }] = await Promise.all([
        import('../models/send'),
        import('../widgets/send/send')
      ]);
      const save = async (): Promise<void> => {
        await panel.context.ready;
        if (!panel.isDisposed && panel.context.model.dirty) {
          await panel.context.save();
        }
      };
      const model = new SendModel(path, workbench, save, trans, state);
      const view = new SendView({
        model,
        commands,
        trans,
        goToCell: id => goToCell(app, panel, id),
        tagParameters: () => {
          tagParameters(panel);
          void model.check();
        },
        confirmAndSend: () => void confirmAndSend(model)
      });
      view.title.label = trans.__('Send %1', PathExt.basename(path));
      view.title.icon = fileUploadIcon;
      view.title.caption = trans.__('Send %1 to the Trusts', path);
      panels.set(view, panel);
      return view;
    }

    async function confirmAndSend(model: SendModel): Promise<void> {
      const bundle = model.preview?.bundle;
      if (bundle === undefined) {
        return;
      }
      const answer = await showDialog({
        title: trans._n(
          'Sign and send to %1 Trust?',
          'Sign and send to %1 Trusts?',
          model.chosen.length
        ),
        body: trans.__(
          'You sign bundle %1 as shown. Each Trust decides.',
          shortDigest(bundle)
        ),
        buttons: [
          Dialog.cancelButton({ label: trans.__('Cancel') }),
          Dialog.okButton({ label: trans.__('Sign and Send') })
        ]
      });
      if (!answer.button.accept || model.preview?.bundle !== bundle) {
        return;
      }
      const receipt = await model.send();
      if (receipt?.runs.length === 1) {
        await commands.execute(CommandIDs.openRun, {
          run: receipt.runs[0].run
        });
      }
    }

    for (const [id, label, caption] of [
      [
        CommandIDs.checkNotebook,
        trans.__('Check Before Sending'),
        trans.__('Save the notebook and look it over, Trust by Trust')
      ],
      [
        CommandIDs.sendNotebook,
        trans.__('Send to Trusts…'),
        trans.__(
          'Save, check and send the notebook; nothing leaves before you sign'
        )
      ]
    ]) {
      commands.addCommand(id, {
        label,
        caption,
        icon: fileUploadIcon,
        isEnabled: () => hasNotebook() && workbench.study !== null,
        describedBy: NOTEBOOK_ARGS,
        execute: async args => {
          const panel = panelOf(args);
          if (panel !== null) {
            await open(panel);
          }
        }
      });
    }
    views.restore(restorer, {
      command: CommandIDs.sendNotebook,
      args: view => ({ path: panels.get(view)?.context.path ?? '' }),
      name: view => panels.get(view)?.context.path ?? '',
      when: notebooks.restored
    });
    addToPalette(palette, trans, [
      CommandIDs.rehearseNotebook,
      CommandIDs.openRehearsed,
      CommandIDs.checkNotebook,
      CommandIDs.sendNotebook
    ]);
  }
};

/**
 * The path as the server's disk knows it, without the drive of a collaborative session.
 */
function localPath(panel: NotebookPanel): string {
  return panel.context.localPath;
}

/**
 * Run `flip.rehearse` in the notebook's own kernel; a line over the first cell tells how it went.
 */
async function rehearse(
  panel: NotebookPanel,
  workbench: IWorkbench,
  commands: CommandRegistry,
  trans: TranslationBundle
): Promise<void> {
  const path = localPath(panel);
  const name = PathExt.basename(path);
  await panel.context.ready;
  await panel.context.save();
  await panel.sessionContext.ready;
  const kernel = panel.sessionContext.session?.kernel;
  if (!kernel) {
    Notification.error(trans.__('%1 has no kernel. Start one first.', name), {
      autoClose: 8000
    });
    return;
  }
  const { RehearsalLine } = await import('../widgets/notebook/rehearsalline');
  const line = RehearsalLine.of(panel, commands, trans);
  line.say('running', trans.__('Rehearsing on the twin…'));
  const call = `__import__('flipnb').rehearse(__import__('pathlib').Path(${JSON.stringify(name)})).seconds`;
  const reply = await kernel.requestExecute({
    code: '',
    silent: true,
    user_expressions: { flip: call }
  }).done;
  const said =
    reply.content.status === 'ok'
      ? (reply.content.user_expressions.flip as unknown as IExpression)
      : null;
  if (said?.status === 'ok') {
    try {
      line.say('passed', (await workbench.api.rehearsal(path)).said);
    } catch (error) {
      line.say('failed', messageOf(error));
    }
  } else {
    const why = said?.evalue ?? trans.__('the kernel stopped');
    line.say('failed', trans.__('It did not pass its rehearsal. %1', why));
  }
  if (!panel.isVisible) {
    tellElsewhere(panel, line.text, line.state, commands, trans);
  }
}

/**
 * What became of a rehearsal while the person looks at something else.
 */
function tellElsewhere(
  panel: NotebookPanel,
  text: string,
  state: RehearsalState,
  commands: CommandRegistry,
  trans: TranslationBundle
): void {
  const message = `${PathExt.basename(panel.context.path)}: ${text}`;
  const open = {
    label: trans.__('Open'),
    callback: () =>
      void commands.execute('docmanager:open', { path: panel.context.path })
  };
  Notification.emit(message, state === 'passed' ? 'success' : 'error', {
    autoClose: 8000,
    actions: [open]
  });
}

interface IExpression {
  status: 'ok' | 'error';
  data?: { 'text/plain'?: string };
  evalue?: string;
}

function goToCell(
  app: JupyterFrontEnd,
  panel: NotebookPanel,
  id: string
): void {
  const { content } = panel;
  const index = content.widgets.findIndex(cell => cell.model.id === id);
  if (index >= 0) {
    app.shell.activateById(panel.id);
    content.activeCellIndex = index;
    void content.scrollToItem(index, 'center');
  }
}

function tagParameters(panel: NotebookPanel): void {
  const cell = panel.content.widgets.find(cell => cell.model.type === 'code');
  if (cell) {
    const tags = (cell.model.getMetadata('tags') as string[] | undefined) ?? [];
    cell.model.setMetadata('tags', [...tags, 'parameters']);
  }
}
