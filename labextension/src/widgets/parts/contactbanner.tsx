import type { TranslationBundle } from '@jupyterlab/translation';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX } from 'react';

import { CommandIDs } from '../../commands';
import { clock } from '../../models/wording';
import type { IWorkbench } from '../../tokens';
import { LinkButton } from './linkbutton';
import { useSignal } from './signal';

/**
 * What is wrong with the contact to the hub, since when, and the way to try again; nothing where all is well.
 */
export function ContactBanner(props: {
  workbench: IWorkbench;
  commands: CommandRegistry;
  trans: TranslationBundle;
}): JSX.Element | null {
  const { workbench, commands, trans } = props;
  useSignal(workbench.changed);
  const { contact } = workbench;
  if (contact.state === 'unconfigured') {
    return (
      <p className="jp-FlipBanner jp-mod-warn" role="status">
        {contact.message} {contact.remedy}
      </p>
    );
  }
  if (workbench.away !== null) {
    const since = clock(workbench.away);
    return (
      <p className="jp-FlipBanner jp-mod-warn" role="status">
        {trans.__(
          'No contact with the hub since %1. Runs go on; so do rehearsal, editing, twin and results here.',
          since
        )}{' '}
        <LinkButton onClick={() => void commands.execute(CommandIDs.tryHub)}>
          {trans.__('Try Now')}
        </LinkButton>
      </p>
    );
  }
  return workbench.problem ? (
    <p className="jp-FlipBanner jp-mod-warn" role="alert">
      {workbench.problem}
    </p>
  ) : null;
}
