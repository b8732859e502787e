import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ILayoutRestorer } from '@jupyterlab/application';
import {
  Clipboard,
  Dialog,
  ICommandPalette,
  InputDialog,
  Notification,
  showDialog
} from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { IStatusBar } from '@jupyterlab/statusbar';
import type { TranslationBundle } from '@jupyterlab/translation';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { lockIcon } from '@jupyterlab/ui-components';
import type { Widget } from '@lumino/widgets';

import { FlipApi, messageOf } from '../api';
import {
  addToPalette,
  CommandIDs,
  NO_ARGS,
  REQUEST_ARGS,
  RUN_ARGS
} from '../commands';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- the model is what is provided
import { Desk } from '../models/desk';
import { IDesk } from '../tokens';
import { Views } from '../views';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- it listens from the start
import { announce } from './announce';

/**
 * The data controller's desk. Everywhere but in an enclave its commands are hidden.
 */
export const deskPlugin: JupyterFrontEndPlugin<IDesk> = {
  id: 'flipnb:desk',
  description:
    "Shows the desk of a Trust's data controller, inside the enclave.",
  autoStart: true,
  provides: IDesk,
  optional: [
    ITranslator,
    ICommandPalette,
    ILayoutRestorer,
    ILauncher,
    IStatusBar
  ],
  activate: (
    app: JupyterFrontEnd,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    launcher: ILauncher | null,
    statusBar: IStatusBar | null
  ): IDesk => {
    const trans = (translator ?? nullTranslator).load('flipnb');
    const { commands, shell, serviceManager } = app;
    const desk = new Desk(new FlipApi(serviceManager.serverSettings));
    const views = new Views(app, 'flipnb-desk');
    let bundles: { [id: string]: string } = {};
    let opened: (bundle: string | null) => void = () => undefined;

    serviceManager.events?.stream.connect((_, event) => {
      desk.take(event.schema_id, event);
    }, desk);

    const isHere = (): boolean => desk.status !== null;

    async function show(
      id: string,
      label: string,
      make: () => Promise<Widget>
    ): Promise<void> {
      await views.open(id, async () => {
        const view = await make();
        view.title.label = label;
        view.title.icon = lockIcon;
        return view;
      });
    }

    function deskLabel(): string {
      const waiting = desk.requests.filter(one => one.state === 'waiting');
      const images = desk.status?.images_waiting ?? 0;
      const whole = waiting.length + images;
      return whole === 0 ? trans.__('Desk') : trans.__('Desk (%1)', whole);
    }

    function sees(bundle: string | null): boolean {
      const { currentWidget } = shell;
      return (
        currentWidget?.id === 'flip-desk' ||
        (bundle !== null && bundles[currentWidget?.id ?? ''] === bundle)
      );
    }

    function chosen(args: { bundle?: string }): string | undefined {
      const { currentWidget } = shell;
      return args.bundle ?? bundles[currentWidget?.id ?? ''];
    }

    commands.addCommand(CommandIDs.showDesk, {
      label: trans.__('Desk'),
      caption: trans.__(
        'What waits for the data controller, and what runs here'
      ),
      icon: lockIcon,
      isVisible: isHere,
      isEnabled: isHere,
      describedBy: NO_ARGS,
      execute: async () => {
        opened(null);
        await show('flip-desk', deskLabel(), async () => {
          const { DeskView } = await import('../widgets/desk/desk');
          const view = new DeskView({ desk, commands, trans });
          desk.changed.connect(() => {
            view.title.label = deskLabel();
          }, view);
          return view;
        });
      }
    });

    commands.addCommand(CommandIDs.openRequest, {
      label: trans.__('Open Request'),
      caption: trans.__('A request whole: what is new, and what would leave'),
      icon: lockIcon,
      isVisible: isHere,
      isEnabled: isHere,
      describedBy: REQUEST_ARGS,
      execute: async args => {
        const bundle = chosen(args) ?? (await ask(desk, trans));
        if (bundle === undefined) {
          return;
        }
        const id = `flip-request-${bundle}`;
        bundles = { ...bundles, [id]: bundle };
        opened(bundle);
        await show(id, trans.__('Request %1', bundle.slice(0, 8)), async () => {
          const [{ RequestModel }, { RequestView }] = await Promise.all([
            import('../models/request'),
            import('../widgets/desk/request')
          ]);
          const model = new RequestModel(bundle, desk);
          return new RequestView({ model, commands, trans });
        });
      }
    });

    for (const [command, label, step] of [
      [CommandIDs.nextRequest, trans.__('Next Request'), 1],
      [CommandIDs.previousRequest, trans.__('Previous Request'), -1]
    ] as const) {
      commands.addCommand(command, {
        label,
        caption: trans.__('Another request that waits'),
        isVisible: isHere,
        isEnabled: isHere,
        describedBy: REQUEST_ARGS,
        execute: async args => {
          const bundle = neighbour(desk, chosen(args), step);
          if (bundle !== undefined) {
            await commands.execute(CommandIDs.openRequest, { bundle });
          }
        }
      });
    }

    commands.addCommand(CommandIDs.copyDigest, {
      label: trans.__('Copy Digest'),
      caption: trans.__('The digest of the bundle, to compare it'),
      isVisible: isHere,
      isEnabled: isHere,
      describedBy: REQUEST_ARGS,
      execute: args => {
        Clipboard.copyToSystem(chosen(args) ?? '');
      }
    });

    commands.addCommand(CommandIDs.approveRequest, {
      label: trans.__('Approve…'),
      caption: trans.__(
        "Open the enclave's own page, which asks for your passphrase"
      ),
      isVisible: isHere,
      isEnabled: isHere,
      describedBy: REQUEST_ARGS,
      execute: async args => {
        const bundle = chosen(args);
        if (bundle !== undefined) {
          await offerPage(desk, bundle, trans);
        }
      }
    });

    commands.addCommand(CommandIDs.declineRequest, {
      label: trans.__('Decline…'),
      caption: trans.__('Refuse a request, with a reason for the researcher'),
      isVisible: isHere,
      isEnabled: isHere,
      describedBy: REQUEST_ARGS,
      execute: async args => {
        const bundle = chosen(args);
        if (bundle === undefined) {
          return;
        }
        const answer = await InputDialog.getText({
          title: trans.__('Decline bundle %1?', bundle.slice(0, 16)),
          label: trans.__('The reason, for the researcher'),
          okLabel: trans.__('Decline'),
          cancelLabel: trans.__('Cancel')
        });
        if (answer.button.accept && answer.value) {
          await told(desk.decline(bundle, answer.value), trans);
        }
      }
    });

    commands.addCommand(CommandIDs.stopHere, {
      label: trans.__('Stop Here…'),
      caption: trans.__('Stop a run at this Trust alone'),
      isVisible: isHere,
      isEnabled: isHere,
      describedBy: RUN_ARGS,
      execute: async args => {
        const { run } = args as { run?: string };
        if (run === undefined) {
          return;
        }
        const answer = await showDialog({
          title: trans.__('Stop it here?'),
          body: trans.__(
            'The run goes on at the other Trusts, if enough of them are left. It can not be taken up again here.'
          ),
          buttons: [
            Dialog.cancelButton({ label: trans.__('Keep Running') }),
            Dialog.warnButton({ label: trans.__('Stop Here') })
          ]
        });
        if (answer.button.accept) {
          await told(desk.stop(run), trans);
        }
      }
    });

    commands.addCommand(CommandIDs.openExecuted, {
      label: trans.__('Open Executed Notebook'),
      caption: trans.__(
        'Text and pictures of what ran here; it may show patients'
      ),
      isVisible: isHere,
      isEnabled: isHere,
      describedBy: RUN_ARGS,
      execute: async args => {
        const { run } = args as { run?: string };
        if (run !== undefined) {
          const title = trans.__('Executed %1', run.slice(0, 8));
          await show(`flip-executed-${run}`, title, async () => {
            const { ExecutedView } = await import('../widgets/desk/executed');
            return new ExecutedView({ run, desk, trans });
          });
        }
      }
    });

    commands.addCommand(CommandIDs.showImages, {
      label: trans.__('Held Images'),
      caption: trans.__('Images that wait until you release or refuse them'),
      icon: lockIcon,
      isVisible: isHere,
      isEnabled: isHere,
      describedBy: NO_ARGS,
      execute: () =>
        show('flip-images', trans.__('Held Images'), async () => {
          const [{ HeldImagesModel }, { HeldImagesView }] = await Promise.all([
            import('../models/heldimages'),
            import('../widgets/desk/heldimages')
          ]);
          return new HeldImagesView({
            model: new HeldImagesModel(desk),
            trans
          });
        })
    });

    commands.addCommand(CommandIDs.openAudit, {
      label: trans.__('Audit Log'),
      caption: trans.__(
        'What left this enclave, what was refused, what was decided'
      ),
      icon: lockIcon,
      isVisible: isHere,
      isEnabled: isHere,
      describedBy: NO_ARGS,
      execute: () =>
        show('flip-audit', trans.__('Audit Log'), async () => {
          const [{ AuditModel }, { AuditView }, { saveAs }] = await Promise.all(
            [
              import('../models/audit'),
              import('../widgets/desk/audit'),
              import('../widgets/parts/saveas')
            ]
          );
          const model = new AuditModel(desk);
          const exportLog = (): void =>
            void model.whole().then(
              text => saveAs('audit.jsonl', text, 'application/jsonl'),
              error => Notification.error(messageOf(error), { autoClose: 8000 })
            );
          return new AuditView({ model, trans, exportLog });
        })
    });

    async function begin(): Promise<void> {
      if (!(await desk.begin())) {
        return;
      }
      addToPalette(palette, trans, [
        CommandIDs.showDesk,
        CommandIDs.openRequest,
        CommandIDs.showImages,
        CommandIDs.openAudit
      ]);
      launcher?.add({
        command: CommandIDs.showDesk,
        category: trans.__('FLIP'),
        rank: 4
      });
      commands.notifyCommandChanged();
      opened = announce(desk, commands, trans, statusBar, sees);
    }

    const begun = begin();
    views.restore(restorer, { command: CommandIDs.showDesk, when: begun });
    return desk;
  }
};

/**
 * A link to the approval page. The person opens it: no script in this origin can read that page or press its button.
 */
async function offerPage(
  desk: IDesk,
  bundle: string,
  trans: TranslationBundle
): Promise<void> {
  try {
    const [page, { ApprovalLink }] = await Promise.all([
      desk.approvalPage(bundle),
      import('../widgets/desk/approvallink')
    ]);
    await showDialog({
      title: trans.__('Approve bundle %1', bundle.slice(0, 16)),
      body: new ApprovalLink(page, trans),
      buttons: [Dialog.cancelButton({ label: trans.__('Close') })]
    });
    await desk.refresh();
  } catch (error) {
    Notification.error(messageOf(error), { autoClose: 8000 });
  }
}

/**
 * The request after (`step` 1) or before (-1) the one that is open, among those that wait; where none is open the first.
 */
function neighbour(
  desk: IDesk,
  bundle: string | undefined,
  step: number
): string | undefined {
  const waiting = desk.requests.filter(
    request => request.state === 'waiting' || request.bundle === bundle
  );
  const at = waiting.findIndex(request => request.bundle === bundle);
  return waiting[at + step]?.bundle;
}

async function ask(
  desk: IDesk,
  trans: TranslationBundle
): Promise<string | undefined> {
  const requests = desk.requests.filter(request => request.state === 'waiting');
  if (requests.length === 0) {
    return undefined;
  }
  const names = requests.map(
    request => `${request.title} ${request.bundle.slice(0, 16)}`
  );
  const answer = await InputDialog.getItem({
    title: trans.__('Open Request'),
    items: names
  });
  return answer.value === null
    ? undefined
    : requests[names.indexOf(answer.value)]?.bundle;
}

async function told(
  act: Promise<void>,
  trans: TranslationBundle
): Promise<void> {
  try {
    await act;
  } catch (error) {
    Notification.error(trans.__('It was not done. %1', messageOf(error)), {
      autoClose: 8000
    });
  }
}
