import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ILabShell, ILayoutRestorer } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { SidePanel } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { AccordionPanel } from '@lumino/widgets';

import { addToPalette, CommandIDs, NO_ARGS } from '../commands';
import { flipIcon, trustIcon } from '../icons';

import { sectionHeights } from '../models/heights';
import { IDesk, IWorkbench } from '../tokens';
import { Views } from '../views';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- the panel is there from the start
import { DeskSection } from '../widgets/desk/desksection';
// eslint-disable-next-line jupyter/prefer-lazy-imports -- the panel is there from the start
import {
  CohortSection,
  PanelHeader,
  RunSection,
  SectionWidget,
  TrustSection
} from '../widgets/panel/sidepanel';
import type { TrustView } from '../widgets/panel/trust';

const PANEL_ID = 'jp-flip-panel';
const RANK = 600;
const SPARE = 8;

/**
 * The side panel: studies, Trusts and runs.
 */
export const panelPlugin: JupyterFrontEndPlugin<void> = {
  id: 'flipnb:panel',
  description: 'Shows studies, Trusts and runs in a side panel.',
  autoStart: true,
  requires: [IWorkbench],
  optional: [ITranslator, ICommandPalette, ILayoutRestorer, IDesk, ILabShell],
  activate: (
    app: JupyterFrontEnd,
    workbench: IWorkbench,
    translator: ITranslator | null,
    palette: ICommandPalette | null,
    restorer: ILayoutRestorer | null,
    desk: IDesk | null,
    labShell: ILabShell | null
  ): void => {
    const trans = (translator ?? nullTranslator).load('flipnb');
    const { commands, shell } = app;
    const props = { workbench, commands, trans };

    const panel = new SidePanel({ translator: translator ?? nullTranslator });
    panel.id = PANEL_ID;
    panel.addClass('jp-FlipPanel');
    panel.title.icon = flipIcon;
    panel.title.caption = trans.__('FLIP: Trusts, cohorts and runs');
    panel.node.setAttribute('role', 'region');
    panel.node.setAttribute('aria-label', trans.__('FLIP'));
    const header = new SectionWidget(PanelHeader, props);
    panel.header.addWidget(header);
    const ofResearcher = (
      [
        [trans.__('Trusts'), TrustSection],
        [trans.__('Cohorts'), CohortSection],
        [trans.__('Runs'), RunSection]
      ] as const
    ).map(([title, component]) => {
      const section = new SectionWidget(component, props);
      section.title.label = title;
      panel.addWidget(section);
      return section;
    });
    if (desk !== null) {
      const section = new DeskSection({ desk, commands, trans });
      section.title.label = trans.__('Desk');
      let opened = false;
      const arrange = (): void => {
        if (desk.status !== null && section.parent === null) {
          panel.addWidget(section);
        }
        // In an enclave, a data controller who is no researcher as well has nothing but the desk.
        if (
          desk.status !== null &&
          workbench.contact.state === 'unconfigured'
        ) {
          header.hide();
          ofResearcher.forEach(other => {
            other.parent = null;
          });
          if (labShell !== null && !opened) {
            opened = true;
            void app.restored.then(() => openWhereEmpty(labShell, commands));
          }
        }
      };
      desk.changed.connect(arrange, panel);
      workbench.changed.connect(arrange, panel);
    }
    shell.add(panel, 'left', { rank: RANK, type: 'FLIP' });
    fitSections(panel);
    restorer?.add(panel, PANEL_ID);

    commands.addCommand(CommandIDs.showPanel, {
      label: trans.__('Show FLIP'),
      caption: trans.__('Show the panel with Trusts and runs'),
      icon: flipIcon,
      describedBy: NO_ARGS,
      execute: () => {
        shell.activateById(PANEL_ID);
        // The panel is shown with the next message: only then can anything in it have the focus.
        requestAnimationFrame(() => firstOf(panel.node)?.focus());
      }
    });
    const trusts = new Views<TrustView>(app, 'flipnb-trust');
    commands.addCommand(CommandIDs.openTrust, {
      label: trans.__('Open Trust'),
      caption: trans.__('What a Trust has, allows and needs; its packages'),
      icon: trustIcon,
      isVisible: args => 'trust' in args,
      describedBy: {
        args: {
          type: 'object',
          properties: {
            trust: { type: 'string', description: "The Trust's key" }
          }
        }
      },
      execute: async args => {
        const { trust } = args as { trust?: string };
        if (trust === undefined) {
          return;
        }
        await trusts.open(`flip-trust-${trust}`, async () => {
          const { TrustView } = await import('../widgets/panel/trust');
          const view = new TrustView({ ...props, trust });
          view.title.icon = trustIcon;
          const name = (): void => {
            view.title.label = workbench.trustTitle(trust);
          };
          name();
          workbench.changed.connect(name, view);
          return view;
        });
      }
    });
    trusts.restore(restorer, {
      command: CommandIDs.openTrust,
      args: view => ({ trust: view.trust }),
      name: view => view.trust
    });
    addToPalette(palette, trans, [CommandIDs.showPanel]);
  }
};

/**
 * Open the desk where a data controller would see the launcher alone, with nothing of theirs.
 */
function openWhereEmpty(shell: ILabShell, commands: CommandRegistry): void {
  const open = [...shell.widgets('main')];
  if (open.every(widget => widget.id.startsWith('launcher'))) {
    void commands.execute(CommandIDs.showDesk);
  }
}

/**
 * What takes the focus when the panel is asked for by keys: its first row, else the first thing that can be used.
 */
function firstOf(panel: HTMLElement): HTMLElement | null {
  const rows = [...panel.querySelectorAll<HTMLElement>('.jp-FlipRow')];
  return (
    rows.find(row => row.tabIndex === 0 && row.offsetParent !== null) ??
    panel.querySelector<HTMLElement>('select, button')
  );
}

/**
 * Keep the panel's sections as tall as their rows, until the person moves one of the lines between them.
 */
function fitSections(panel: SidePanel): void {
  const content = panel.content as AccordionPanel;
  let moved = false;
  content.handleMoved.connect(() => {
    moved = true;
  });
  const fit = (): void => {
    const shown = content.widgets.filter(section => !section.isHidden);
    const wanted = shown.map(
      section => (section.node.firstElementChild?.scrollHeight ?? 0) + SPARE
    );
    const room = shown.reduce(
      (sum, section) => sum + section.node.clientHeight,
      0
    );
    if (moved || room < 1 || shown.length !== content.widgets.length) {
      return;
    }
    content.setRelativeSizes(sectionHeights(wanted, room));
  };
  const observer = new ResizeObserver(() => requestAnimationFrame(fit));
  const watch = (): void =>
    content.widgets.forEach(section => {
      observer.observe(section.node.firstElementChild ?? section.node);
    });
  const mutations = new MutationObserver(watch);
  mutations.observe(content.node, { childList: true, subtree: true });
  observer.observe(content.node);
}
