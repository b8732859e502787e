import type { TranslationBundle } from '@jupyterlab/translation';
import { ReactWidget } from '@jupyterlab/ui-components';
import type { CommandRegistry } from '@lumino/commands';
import type { JSX } from 'react';

import { CommandIDs } from '../../commands';
import type { IDesk } from '../../tokens';
import { useSignal } from '../parts/signal';

interface IDeskStatusProps {
  desk: IDesk;
  commands: CommandRegistry;
  trans: TranslationBundle;
}

/**
 * "FLIP: 3 wait for you" in the status bar; opens the desk.
 */
export class DeskStatusItem extends ReactWidget {
  constructor(private readonly _props: IDeskStatusProps) {
    super();
    this.addClass('jp-FlipStatus');
  }

  protected override render(): JSX.Element {
    return <Waiting {...this._props} />;
  }
}

function Waiting(props: IDeskStatusProps): JSX.Element {
  const { desk, commands, trans } = props;
  useSignal(desk.changed);
  const waiting = desk.requests.filter(request => request.state === 'waiting');
  return (
    <button
      type="button"
      className="jp-FlipStatus-button"
      title={trans.__('Open the desk')}
      onClick={() => void commands.execute(CommandIDs.showDesk)}
    >
      {trans._n(
        'FLIP: %1 waits for you',
        'FLIP: %1 wait for you',
        waiting.length
      )}
    </button>
  );
}
